"use strict";
// The call, the part of it in view, and the player. `lanes.js` draws it, `lists.js` tells it in
// words. Every time is in seconds along one axis, x; only the player counts in seconds of audio,
// and `segments` leads from one to the other.

const call = JSON.parse(document.getElementById("call").textContent);
const byId = (id) => document.getElementById(id);
const audio = byId("audio");
const end = Math.max(call.end, 0.5);
const LEAST_SPAN = 0.05; // seconds in view at most zoom
const GUTTER = 100; // pixels for the names of lanes
const MARGIN = end * 0.01;

const view = { from: -MARGIN, to: end + MARGIN };
let head = 0; // where the player stands, on the axis

// Times

function xOfAudio(t) {
  const segments = call.segments;
  for (const [x0, x1, t0, t1] of segments) {
    if (t < t1) return x0 + ((Math.max(t, t0) - t0) / (t1 - t0)) * (x1 - x0);
  }
  return segments.length ? segments[segments.length - 1][1] : 0;
}

function audioOfX(x) {
  let t = 0;
  for (const [x0, x1, t0, t1] of call.segments) {
    if (x < x0) return t0; // in a gap before it
    if (x <= x1) return t0 + (x1 > x0 ? ((x - x0) / (x1 - x0)) * (t1 - t0) : 0);
    t = t1;
  }
  return t;
}

function clock(s, digits = 1) {
  const sign = s < 0 ? "-" : "";
  const unit = 10 ** digits;
  const total = Math.round(Math.abs(s) * unit) / unit;
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor((total % 3600) / 60);
  const seconds = (total % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return sign + (hours ? `${hours}:${String(minutes).padStart(2, "0")}` : minutes) + ":" + seconds;
}

const seconds = (s) => (s === null ? "–" : `${s.toFixed(2)} s`);

// The view

function show(from, to) {
  const least = -MARGIN, most = end + MARGIN;
  const span = Math.min(Math.max(to - from, LEAST_SPAN), most - least);
  view.from = Math.min(Math.max(from, least), most - span);
  view.to = view.from + span;
  byId("tip").hidden = true;
  redraw();
}

function zoom(factor, at = (view.from + view.to) / 2) {
  const span = (view.to - view.from) * factor;
  const share = (at - view.from) / (view.to - view.from);
  if (span < LEAST_SPAN && factor < 1) return;
  show(at - share * span, at + (1 - share) * span);
}

function seek(x, { reveal = false } = {}) {
  head = Math.min(Math.max(x, 0), end);
  if (audio) audio.currentTime = Math.min(audioOfX(head), audio.duration || Infinity);
  if (reveal && (head < view.from || head > view.to)) {
    const span = view.to - view.from;
    show(head - span / 4, head + (span * 3) / 4);
  }
  moved();
}

function moved() {
  byId("clock").textContent = `${clock(head, 2)} / ${clock(end)}`;
  markCurrent();
  redraw();
}

// The player

function play() {
  if (!audio) return;
  if (audio.paused) audio.play().catch((e) => { byId("clock").textContent = e.message; });
  else audio.pause();
}

function tick() {
  if (audio.paused) return;
  followAudio();
  requestAnimationFrame(tick);
}

function followAudio() {
  head = xOfAudio(audio.currentTime);
  const span = view.to - view.from;
  if (byId("follow").checked && (head > view.to - span * 0.05 || head < view.from)) {
    show(head - span * 0.1, head + span * 0.9);
  }
  moved();
}

// Pointing, dragging, zooming

function listen() {
  const lanes = byId("lanes"), overview = byId("overview"), tip = byId("tip");
  const xAt = (event, from = view.from, to = view.to) => {
    const bounds = lanes.getBoundingClientRect();
    return from + ((event.clientX - bounds.left - GUTTER) / (bounds.width - GUTTER)) * (to - from);
  };
  const pointers = new Map(); // those that are down, by id, with where they were last
  let dragged = 0;
  lanes.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    pointers.set(event.pointerId, event);
    lanes.setPointerCapture(event.pointerId);
    dragged = 0;
  });
  lanes.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) { point(event, lanes, tip); return; }
    const perPixel = (view.to - view.from) / (lanes.clientWidth - GUTTER);
    const others = [...pointers.values()].filter((p) => p.pointerId !== event.pointerId);
    if (others.length) { // two fingers
      const was = Math.abs(before.clientX - others[0].clientX), is = Math.abs(event.clientX - others[0].clientX);
      if (was > 8 && is > 8) zoom(was / is, xAt(others[0]));
      dragged = 99;
    } else {
      dragged += Math.abs(event.clientX - before.clientX);
      if (dragged > 4) {
        lanes.classList.add("is-dragged");
        const by = (before.clientX - event.clientX) * perPixel;
        show(view.from + by, view.to + by);
      }
    }
    pointers.set(event.pointerId, event);
    tip.hidden = true;
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    lanes.addEventListener(kind, (event) => {
      if (kind === "pointerup" && pointers.has(event.pointerId) && dragged <= 4) seek(xAt(event));
      pointers.delete(event.pointerId);
      lanes.classList.remove("is-dragged");
    });
  }
  lanes.addEventListener("pointerleave", () => { tip.hidden = true; });
  lanes.addEventListener("wheel", (event) => {
    event.preventDefault();
    const perPixel = (view.to - view.from) / (lanes.clientWidth - GUTTER);
    const sideways = event.shiftKey ? event.deltaY : event.deltaX;
    if (Math.abs(sideways) > (event.shiftKey ? 0 : Math.abs(event.deltaY))) {
      show(view.from + sideways * perPixel, view.to + sideways * perPixel);
    } else {
      const speed = event.ctrlKey ? 0.012 : 0.0025; // a pinch on a touchpad has ctrl
      zoom(Math.exp(event.deltaY * speed), xAt(event));
    }
  }, { passive: false });
  const centre = (event) => {
    if (!event.buttons && event.type === "pointermove") return;
    const at = xAt(event, -MARGIN, end + MARGIN), half = (view.to - view.from) / 2;
    show(at - half, at + half);
  };
  overview.addEventListener("pointerdown", (event) => { overview.setPointerCapture(event.pointerId); centre(event); });
  overview.addEventListener("pointermove", centre);
  document.addEventListener("keydown", pressed);
  byId("play").addEventListener("click", play);
  byId("in").addEventListener("click", () => zoom(0.5, inside(head)));
  byId("out").addEventListener("click", () => zoom(2, inside(head)));
  byId("fit").addEventListener("click", () => show(-MARGIN, end + MARGIN));
  new ResizeObserver(redraw).observe(lanes);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColors(); redraw(); });
}

const inside = (x) => (x >= view.from && x <= view.to ? x : (view.from + view.to) / 2);

function point(event, lanes, tip) {
  const { offsetX: x, offsetY: y } = event;
  const hit = hits.findLast((h) => x >= h.x0 && x <= h.x1 && y >= h.y0 && y <= h.y1);
  tip.hidden = !hit || x < GUTTER;
  if (tip.hidden) return;
  tip.textContent = hit.text;
  tip.style.left = `${Math.max(8, Math.min(x + 14, lanes.clientWidth - tip.offsetWidth - 8))}px`;
  const below = y + 18 + tip.offsetHeight < lanes.clientHeight;
  tip.style.top = `${below ? y + 18 : Math.max(4, y - tip.offsetHeight - 10)}px`;
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inField = event.target.closest("input, select, textarea");
  if (inField && inField.type !== "checkbox") return;
  if (event.key === " " && event.target.closest("button, summary, input")) return; // it is pressed
  const actions = {
    " ": play,
    "+": () => zoom(0.5, inside(head)), "=": () => zoom(0.5, inside(head)),
    "-": () => zoom(2, inside(head)), 0: () => show(-MARGIN, end + MARGIN),
    ArrowLeft: () => seek(head - 1, { reveal: true }), ArrowRight: () => seek(head + 1, { reveal: true }),
    Home: () => seek(0, { reveal: true }), End: () => seek(end, { reveal: true }),
  };
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
}
