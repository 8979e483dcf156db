"use strict";
// The canvases: the lanes of the part in view, and the whole call above them.

let colors = {};
let hits = []; // what can be pointed at, in pixels: {x0, x1, y0, y1, text}
const SLOW_S = call.slow;

let isDue = false;
function redraw() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => { isDue = false; drawLanes(); drawOverview(); });
}

function prepared(canvas, height) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.style.height = `${height}px`;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const g = canvas.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, height);
  g.font = "12px system-ui, 'DejaVu Sans', sans-serif";
  g.textBaseline = "middle";
  return { g, width };
}

function readColors() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ground", "panel", "line", "faint", "text", "dim", "accent", "wave", "wave-speech",
    "speech", "interim", "final", "word", "flush", "link", "bad", "again", "head"];
  colors = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

const peaks = (() => {
  const raw = atob(call.peaks.data);
  return Int8Array.from(raw, (c) => c.charCodeAt(0));
})();

// The waveform between two pixels; `scale` gives a pixel's x, `color` what it is drawn with.
function drawWave(g, left, right, middle, half, scale, color) {
  const rate = call.peaks.rate;
  for (const [x0, x1, t0, t1] of call.segments) {
    const pixel = (x) => left + ((x - scale.from) / (scale.to - scale.from)) * (right - left);
    const first = Math.max(left, Math.floor(pixel(x0)));
    const last = Math.min(right, Math.ceil(pixel(x1)));
    const audioAt = (p) => {
      const x = scale.from + ((p - left) / (right - left)) * (scale.to - scale.from);
      return t0 + ((x - x0) / Math.max(x1 - x0, 1e-9)) * (t1 - t0);
    };
    for (let p = first; p < last; p++) {
      const i0 = Math.max(0, Math.floor(Math.max(audioAt(p), t0) * rate));
      const i1 = Math.max(i0 + 1, Math.ceil(Math.min(audioAt(p + 1), t1) * rate));
      let low = 0, high = 0;
      for (let i = i0; i < i1 && 2 * i < peaks.length; i++) {
        low = Math.min(low, peaks[2 * i]);
        high = Math.max(high, peaks[2 * i + 1]);
      }
      const top = (high / 127) * half, bottom = (-low / 127) * half;
      g.fillStyle = color(p);
      g.fillRect(p, middle - Math.max(top, 0.5), 1, Math.max(top + bottom, 1));
    }
  }
}

// As much of a text as there is room for; of one that grows, the end is what is new.
function fitted(g, text, width, keepEnd) {
  if (width < 10) return "";
  if (g.measureText(text).width <= width) return text;
  if (width < 30) return "";
  const cut = (n) => (keepEnd ? "…" + text.slice(text.length - n) : text.slice(0, n) + "…");
  let low = 0, high = Math.min(text.length, Math.ceil(width));
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (g.measureText(cut(middle)).width <= width) low = middle;
    else high = middle - 1;
  }
  return low > 2 ? cut(low) : "";
}

// A box with as much of its text as there is room for, pointed at as a whole.
function box(lane, x0, x1, y, height, { color, alpha = 0.18, text = "", tip = "", keepEnd = false }) {
  const { g, px, left, width } = lane;
  const from = Math.max(px(x0), left - 2), till = Math.min(Math.max(px(x1), px(x0) + 1), width + 2);
  if (till < left || from > width) return;
  g.globalAlpha = alpha;
  g.fillStyle = color;
  g.fillRect(from, y, Math.max(till - from - 0.5, 1), height);
  g.globalAlpha = 1;
  g.fillRect(from, y, Math.min(2, Math.max(till - from, 1)), height);
  const label = fitted(g, text, till - Math.max(from, left) - 10, keepEnd);
  if (label) {
    g.fillStyle = colors.text;
    g.fillText(label, Math.max(from, left) + 6, y + height / 2 + 0.5);
  }
  if (tip) hits.push({ x0: from - 2, x1: till + 2, y0: y, y1: y + height, text: tip });
}

function marker(lane, x, y, height, color, tip) {
  const { g, px, left, width } = lane;
  const p = px(x);
  if (p < left || p > width) return;
  g.fillStyle = color;
  g.beginPath();
  g.moveTo(p - 5, y + 3); g.lineTo(p + 5, y + 3); g.lineTo(p, y + height - 3);
  g.fill();
  hits.push({ x0: p - 7, x1: p + 7, y0: y, y1: y + height, text: tip });
}

function inView(items) {
  return items.filter((item) => item.x1 >= view.from && item.x0 <= view.to);
}

const all = {
  interims: call.utterances.flatMap((u) => u.interims),
  finals: call.utterances.flatMap((u) => u.finals),
};

const rows = 1 + Math.max(0, ...call.connections.map((c) => c.row));
const LANES = [
  { name: "", height: 24, draw: drawRuler },
  { name: "audio", height: 92, draw: drawAudio },
  { name: "speech", height: 18, draw: drawSpeech },
  { name: "interims", height: 26, draw: drawInterims },
  { name: "finals", height: 26, draw: drawFinals },
  { name: "words", height: 26, draw: drawWords },
  { name: "delay", height: 22, draw: drawDelays },
  { name: "flushes", height: 22, draw: drawFlushes },
  { name: "connections", height: 4 + 22 * rows, draw: drawConnections },
  { name: "problems", height: 22, draw: drawTroubles },
];
const LANES_HEIGHT = LANES.reduce((sum, lane) => sum + lane.height + 1, 0);

function drawLanes() {
  const { g, width } = prepared(byId("lanes"), LANES_HEIGHT);
  const left = GUTTER;
  const px = (x) => left + ((x - view.from) / (view.to - view.from)) * (width - left);
  hits = [];
  let y = 0;
  for (const each of LANES) {
    g.save();
    g.beginPath();
    g.rect(left, y, width - left, each.height);
    g.clip();
    each.draw({ g, px, left, width }, y, each.height);
    g.restore();
    g.fillStyle = colors.dim;
    g.fillText(each.name, 14, y + (each.name === "connections" ? 13 : each.height / 2));
    y += each.height;
    g.fillStyle = colors.line;
    g.fillRect(0, y, width, 1);
    y += 1;
  }
  if (px(head) >= left) {
    g.fillStyle = colors.head;
    g.fillRect(px(head) - 0.5, 12, 1.5, LANES_HEIGHT);
    g.beginPath();
    g.moveTo(px(head) - 5, 12); g.lineTo(px(head) + 5.5, 12); g.lineTo(px(head) + 0.25, 20);
    g.fill();
  }
}

function drawRuler({ g, px, left, width }, y, height) {
  const perPixel = (view.to - view.from) / (width - left);
  const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
  const step = steps.find((s) => s / perPixel >= 78) || 7200;
  const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
  for (let i = Math.max(0, Math.ceil(view.from / step)); i * step <= Math.min(view.to, end); i++) {
    const p = px(i * step);
    g.fillStyle = colors.line;
    g.fillRect(p, y + 14, 1, height);
    g.fillStyle = colors.dim;
    if (p + 40 < width) g.fillText(clock(i * step, digits), p + 4, y + 13);
  }
}

function drawAudio({ g, px, left, width }, y, height) {
  for (const c of call.connections.filter((each) => each.replayed)) {
    const [x0, x1] = c.replayed;
    const from = px(x0), till = Math.max(px(x1), from + 2);
    g.fillStyle = colors.again;
    g.globalAlpha = 0.16;
    g.fillRect(from, y, till - from, height);
    g.globalAlpha = 1;
    g.fillRect(from, y + height - 3, till - from, 3);
    hits.push({ x0: from, x1: till, y0: y + height - 14, y1: y + height,
      text: `${seconds(c.replayed_s)} of audio sent again on connection ${c.number}` });
  }
  const spoken = call.utterances.map((u) => [px(u.x0), px(u.x1)]);
  let i = 0;
  drawWave(g, left, width, y + height / 2, height / 2 - 6, view, (p) => {
    if (i && p < spoken[i - 1][1]) i = 0; // another segment, from further left
    while (i < spoken.length && spoken[i][1] < p) i++;
    return i < spoken.length && spoken[i][0] <= p ? colors["wave-speech"] : colors.wave;
  });
}

function drawSpeech(lane, y, height) {
  for (const u of inView(call.utterances)) {
    box(lane, u.x0, u.x1, y + 4, height - 8, { color: colors.speech, alpha: 0.75,
      tip: `utterance ${u.number}: ${seconds(u.x1 - u.x0)}\nfirst interim after ${seconds(u.first_partial_s)}` });
  }
}

function drawInterims(lane, y, height) {
  for (const each of inView(all.interims)) {
    box(lane, each.x0, each.x1, y + 3, height - 6, { color: colors.interim, text: each.text, keepEnd: true,
      tip: `interim, at ${clock(each.x0, 2)}\n${each.text}` });
  }
}

function drawFinals(lane, y, height) {
  for (const each of inView(all.finals)) {
    box(lane, each.x0, each.x1, y + 3, height - 6, { color: colors.final, alpha: 0.22,
      text: who(each) + each.text, tip: toldOf(each) });
  }
}

function toldOf(final) {
  const parts = [
    `${who(final)}${final.text}`,
    `${clock(final.x0, 2)} to ${clock(final.x1, 2)}` + (final.delay_s === null ? "" : `, ${seconds(final.delay_s)} after its last word`),
    final.confidence === null ? "" : `confidence ${final.confidence.toFixed(2)}`,
    ...final.flags,
  ];
  return parts.filter(Boolean).join("\n");
}

const who = (final) => (final.speaker === null ? "" : `${final.speaker}: `);

function drawWords(lane, y, height) {
  if (lane.px(1) - lane.px(0) < 6) return; // nothing to see from so far away
  for (const final of inView(all.finals)) {
    for (const word of inView(final.words)) {
      const sure = word.confidence ?? 1;
      box(lane, word.x0, word.x1, y + 3, height - 6, { color: colors.word, alpha: 0.06 + 0.24 * sure,
        text: word.text, tip: `${word.text}\n${clock(word.x0, 2)} to ${clock(word.x1, 2)}` +
          (word.confidence === null ? "" : `, confidence ${sure.toFixed(2)}`) });
    }
  }
}

function drawDelays(lane, y, height) {
  const { g, px, width } = lane;
  const middle = y + height / 2;
  for (const [i, final] of all.finals.entries()) {
    if (final.delay_s === null || final.at < view.from || final.x1 > view.to) continue;
    const from = px(final.x1), till = Math.max(px(final.at), from + 1);
    const next = i + 1 < all.finals.length ? px(all.finals[i + 1].x1) : Infinity;
    const last = i ? px(all.finals[i - 1].at) : -Infinity;
    g.fillStyle = final.delay_s > SLOW_S ? colors.bad : colors.final;
    g.fillRect(from, middle - 1, till - from, 2);
    g.beginPath();
    g.arc(till, middle, next - till > 8 ? 3.5 : 1.5, 0, 7);
    g.fill();
    if (till + 56 < Math.min(width, next)) {
      g.fillText(seconds(final.delay_s), till + 8, middle + 0.5);
    } else if (till + 56 >= width && from - 56 > last + 56) { // no room but before it
      g.textAlign = "right";
      g.fillText(seconds(final.delay_s), from - 8, middle + 0.5);
      g.textAlign = "left";
    }
    hits.push({ x0: from, x1: till + 8, y0: y, y1: y + height,
      text: `the final came ${seconds(final.delay_s)} after its last word\n${final.text}` });
  }
}

function drawFlushes(lane, y, height) {
  for (const flush of call.flushes) {
    const answer = flush.answered === null ? "never answered" :
      `answered after ${seconds(flush.took_s)}: ${flush.text || "nothing was said"}`;
    if (flush.answered !== null) {
      const from = lane.px(flush.x), till = lane.px(flush.answered);
      lane.g.fillStyle = colors.flush;
      lane.g.fillRect(from, y + height / 2 - 0.5, Math.max(till - from, 1), 1.5);
      lane.g.fillRect(till - 1, y + 6, 2, height - 12);
    }
    marker(lane, flush.x, y, height, colors.flush, `flush() at ${clock(flush.x, 2)}\n${answer}`);
  }
}

// Times without a connection, between one that ended and the next.
const gaps = call.connections.slice(1).flatMap((c, i) => {
  const x0 = Math.max(...call.connections.slice(0, i + 1).map((before) => before.closed));
  return c.carried > x0 ? [{ x0, x1: c.carried }] : [];
});

function drawConnections(lane, y) {
  for (const gap of inView(gaps)) {
    lane.g.fillStyle = colors.bad;
    lane.g.globalAlpha = 0.16;
    lane.g.fillRect(lane.px(gap.x0), y + 3, Math.max(lane.px(gap.x1) - lane.px(gap.x0), 1), 18);
    lane.g.globalAlpha = 1;
    hits.push({ x0: lane.px(gap.x0), x1: lane.px(gap.x1), y0: y, y1: y + 22,
      text: `no connection for ${seconds(gap.x1 - gap.x0)}` });
  }
  for (const c of call.connections) {
    const top = y + 3 + 22 * c.row, color = c.is_lost ? colors.bad : colors.link;
    const tip = [
      `connection ${c.number}` + (c.is_reused ? ", opened before it was needed" : ""),
      `handshake ${seconds(c.handshake_s)}, wanted at ${clock(c.asked, 2)}, at work from ${clock(c.carried, 2)}`,
      `${seconds(c.sent_s)} of audio sent` + (c.replayed_s ? `, ${seconds(c.replayed_s)} of it again` : "") +
        (c.silence_s ? `, and ${seconds(c.silence_s)} of silence to end utterances` : ""),
      c.ending,
    ].join("\n");
    const begin = Math.min(c.asked, c.opened);
    if (c.carried - begin > 0) box(lane, begin, c.carried, top, 18, { color: colors.dim, alpha: 0.25, tip });
    box(lane, c.carried, c.closed, top, 18, { color: colors.link, tip, text: `${c.number}` });
    if (c.is_lost) {
      const p = lane.px(c.closed);
      lane.g.fillStyle = color;
      lane.g.fillRect(p - 4, top, 4, 18);
      hits.push({ x0: p - 6, x1: p + 6, y0: top, y1: top + 18, text: c.ending });
    }
  }
}

function drawTroubles(lane, y, height) {
  for (const each of call.troubles) {
    marker(lane, each.x, y, height, each.is_fatal ? colors.bad : colors.again, each.message);
  }
}

function drawOverview() {
  const height = 40;
  const { g, width } = prepared(byId("overview"), height);
  const scale = { from: -MARGIN, to: end + MARGIN };
  const px = (x) => GUTTER + ((x - scale.from) / (scale.to - scale.from)) * (width - GUTTER);
  drawWave(g, GUTTER, width, height / 2, height / 2 - 5, scale, () => colors.wave);
  for (const c of call.connections.filter((each) => each.is_lost)) {
    g.fillStyle = colors.bad;
    g.fillRect(px(c.closed) - 1, 0, 2, height);
  }
  g.fillStyle = colors.ground;
  g.globalAlpha = 0.7;
  g.fillRect(GUTTER, 0, px(view.from) - GUTTER, height);
  g.fillRect(px(view.to), 0, width - px(view.to), height);
  g.globalAlpha = 1;
  g.strokeStyle = colors.accent;
  g.strokeRect(px(view.from) + 0.5, 0.5, px(view.to) - px(view.from) - 1, height - 1);
  g.fillStyle = colors.head;
  g.fillRect(px(head) - 0.5, 0, 1.5, height);
  g.fillStyle = colors.dim;
  g.fillText("whole call", 14, height / 2);
}
