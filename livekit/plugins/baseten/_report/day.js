"use strict";
// Sorts and filters the table. Everything is on the page without it, the worst call first.

const body = document.querySelector("#calls tbody");
const rows = [...body.rows];
const heads = [...document.querySelectorAll("#calls thead th")];
const filter = document.getElementById("filter");
const kind = document.getElementById("kind");
const words = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

function sort(head) {
  const column = heads.indexOf(head);
  // What is worst or most first; times in their order.
  const first = column === 0 ? "ascending" : "descending";
  const other = column === 0 ? "descending" : "ascending";
  const order = head.getAttribute("aria-sort") === first ? other : first;
  for (const one of heads) one.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const value = (row) => Number(row.cells[column].dataset.v);
  body.append(...rows.sort((a, b) => sign * (value(a) - value(b))));
}

function choose() {
  const wanted = filter.value.toLowerCase();
  let count = 0;
  for (const row of rows) {
    const is = words.get(row).includes(wanted) && (!kind.value || row.dataset.kinds.split(" ").includes(kind.value));
    row.hidden = !is;
    count += is;
  }
  document.getElementById("count").textContent = `${count} of ${rows.length}`;
}

for (const head of heads) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  button.addEventListener("click", () => sort(head));
  head.replaceChildren(button);
}
heads[1].setAttribute("aria-sort", "descending");
document.getElementById("filters").hidden = false;
filter.addEventListener("input", choose);
kind.addEventListener("change", choose);
choose();
