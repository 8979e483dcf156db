"use strict";
// The utterances and the wire log in words, and the start of it all.

function element(name, { className = "", text = "", ...rest } = {}, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  Object.assign(made, rest);
  made.append(...children);
  return made;
}

// Shows an utterance or a moment, as near as it takes to read its words.
function jump(x0, x1 = x0) {
  const span = Math.max((x1 - x0) * 1.6, 4);
  if (view.to - view.from > 4 * span || x0 < view.from || x1 > view.to) {
    show((x0 + x1 - span) / 2, (x0 + x1 + span) / 2);
  }
  seek(x0);
}

function jumpButton(x0, x1) {
  const button = element("button", { className: "jump", type: "button", text: clock(x0, 2) });
  button.addEventListener("click", (event) => { event.preventDefault(); jump(x0, x1); });
  return button;
}

const utteranceRows = call.utterances.map((u) => {
  const said = element("td");
  for (const final of u.finals) {
    const line = element("div", { text: who(final) + final.text });
    for (const flag of final.flags) line.append(" ", element("span", { className: "flag", text: flag }));
    said.append(line);
  }
  const last = u.finals[u.finals.length - 1];
  if (!last) said.append(element("span", { className: "note", text: "no final" }));
  const sure = last && last.confidence !== null ? `confidence ${last.confidence.toFixed(2)}` : "";
  const about = [last && last.language, sure, `${u.interims.length} interim${u.interims.length === 1 ? "" : "s"}`].filter(Boolean).join(" · ");
  said.append(element("div", { className: "note", text: about }));
  const delay = last ? last.delay_s : null;
  const row = element("tr", {},
    element("td", {}, jumpButton(u.x0, u.x1)), said,
    element("td", { className: delay > SLOW_S ? "slow" : "", text: seconds(delay) }),
    element("td", { text: seconds(u.first_partial_s) }));
  byId("utterances").append(row);
  return row;
});

function markCurrent() {
  call.utterances.forEach((u, i) => {
    utteranceRows[i].classList.toggle("is-current", head >= u.x0 && head <= u.x1);
  });
}

const AT_ONCE = 300;
const NAMES = { sent: "sent", audio: "sent", received: "received", event: "event", connection: "connection",
  user: "application", problem: "problem" };
let listed = [];
let shown = 0;

function filterLog() {
  const words = byId("filter").value.toLowerCase();
  const kinds = byId("kind").value.split(" ").filter(Boolean);
  listed = call.log.filter(([, , kind, , text]) =>
    (!kinds.length || kinds.includes(kind)) && text.toLowerCase().includes(words));
  byId("log").replaceChildren();
  shown = 0;
  moreLog();
}

function moreLog() {
  byId("log").append(...listed.slice(shown, shown + AT_ONCE).map(logEntry));
  shown = Math.min(listed.length, shown + AT_ONCE);
  byId("more").hidden = shown === listed.length;
  byId("count").textContent = `${listed.length} of ${call.log.length}`;
}

function logEntry([x, at, kind, connection, text]) {
  const name = NAMES[kind] + (connection ? ` ${connection}` : "");
  const button = jumpButton(x, x);
  button.textContent = clock(at, 3);
  const summary = element("summary", {}, button, element("span", { className: "what", text: name }),
    element("code", { text: text.slice(0, 300) }));
  const details = element("details", { className: kind }, summary);
  details.addEventListener("toggle", () => { // made when it is wanted
    if (details.open && !details.querySelector("pre")) details.append(element("pre", { text: pretty(text) }));
  });
  return details;
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

// The start

byId("title").textContent = call.title;
byId("about").textContent = call.about.join(" · ");
byId("notices").append(...call.notices.map((text) => element("li", { text })));
byId("summary").append(...call.summary.map((item) => element("div", {},
  element("dt", { text: item.name }), element("dd", { className: "value", text: item.value }),
  element("dd", { className: "detail", text: item.detail }))));
if (!call.utterances.length) {
  byId("utterances").append(element("tr", {}, element("td", { colSpan: 4, className: "note", text: "Nothing was said." })));
}
byId("play").disabled = !audio;
if (audio) {
  const state = () => {
    byId("play").setAttribute("aria-pressed", String(!audio.paused));
    byId("play").setAttribute("aria-label", audio.paused ? "Play" : "Pause");
  };
  audio.addEventListener("play", () => { state(); tick(); });
  audio.addEventListener("ended", followAudio); // the last frame was drawn before the end
  audio.addEventListener("pause", state);
}
byId("filter").addEventListener("input", filterLog);
byId("kind").addEventListener("change", filterLog);
byId("more").addEventListener("click", moreLog);
readColors();
listen();
filterLog();
moved();
