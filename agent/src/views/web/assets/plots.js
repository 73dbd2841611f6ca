// Two small plots and five figures of what is listed.

import { count, duration, quantile, rate, share } from "./format.js";

const BINS = 90;
/// Microseconds at which the bars of the histogram begin: two for each doubling, from 64 µs on.
const FIRST = 64;
const BARS = 40;
/// The rate is of so long, in milliseconds.
const WINDOW = 60_000;

const colour = (style, name) => style.getPropertyValue(name).trim();

/// A canvas that is as sharp as the screen.
function prepare(canvas) {
  const box = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, box.width, box.height);
  return [context, box.width, box.height];
}

/// Bars of stacked values, and the labels under them.
function bars(canvas, stacks, colours, labels) {
  const [context, width, height] = prepare(canvas);
  if (width === 0) return;
  const style = getComputedStyle(canvas);
  const base = height - 13;
  const most = Math.max(1, ...stacks.map((stack) => stack.reduce((sum, part) => sum + part, 0)));
  const step = width / stacks.length;
  context.fillStyle = colour(style, "--line");
  context.fillRect(0, base, width, 1);
  stacks.forEach((stack, at) => {
    let top = base;
    stack.forEach((part, which) => {
      if (part === 0) return;
      const tall = Math.max(1.5, (part / most) * (base - 3));
      top -= tall;
      context.fillStyle = colour(style, colours[which]);
      context.fillRect(at * step, Math.max(0, top), Math.max(1, step - 1), tall);
    });
  });
  context.fillStyle = colour(style, "--quiet");
  context.font = "10px system-ui, sans-serif";
  for (const [text, where] of labels) {
    context.textAlign = where === 0 ? "left" : where === 1 ? "right" : "center";
    context.fillText(text, where * width, height - 2);
  }
}

function over(rows, canvas) {
  let [first, last] = [Infinity, -Infinity];
  for (const row of rows) {
    if (row.start < first) first = row.start;
    if (row.start > last) last = row.start;
  }
  const stacks = Array.from({ length: BINS }, () => [0, 0, 0]);
  const span = Math.max(1000, last - first);
  for (const row of rows) {
    const at = Math.min(BINS - 1, Math.floor(((row.start - first) / span) * BINS));
    stacks[at][row.failed ? 2 : row.status >= 400 ? 1 : 0] += 1;
  }
  const time = (millis) => new Date(millis).toTimeString().slice(0, 8);
  const labels = rows.length === 0 ? [] : [[time(first), 0], [time(last), 1]];
  bars(canvas, stacks, ["--plot", "--bad", "--error"], labels);
  canvas.setAttribute("aria-label", `Exchanges over time: ${count(rows.length)} within ${rows.length === 0 ? "no time" : duration(span * 1000)}`);
  return last;
}

function latencies(sorted, canvas) {
  const stacks = Array.from({ length: BARS }, () => [0]);
  for (const took of sorted) {
    const at = Math.floor(2 * Math.log2(Math.max(took, FIRST) / FIRST));
    stacks[Math.min(BARS - 1, at)][0] += 1;
  }
  const place = (micros) => (2 * Math.log2(micros / FIRST)) / BARS;
  const labels = [[1000, "1 ms"], [10_000, "10 ms"], [100_000, "100 ms"], [1e6, "1 s"], [1e7, "10 s"]];
  bars(canvas, stacks, ["--plot"], labels.map(([micros, text]) => [text, place(micros)]));
  const [p50, p95] = [quantile(sorted, 0.5), quantile(sorted, 0.95)];
  const said = sorted.length === 0 ? "nothing yet" : `half within ${duration(p50)}, 95 % within ${duration(p95)}`;
  canvas.setAttribute("aria-label", `Latency: ${said}`);
  return [p50, p95];
}

/// Draws all of it.
export function glance(rows, { figures, plots }) {
  const last = over(rows, plots.rate);
  const ended = rows.filter((row) => !row.open);
  const sorted = Float64Array.from(ended, (row) => row.took).sort();
  const [p50, p95] = latencies(sorted, plots.latency);
  const recent = rows.filter((row) => row.start > last - WINDOW);
  const oldest = recent.reduce((least, row) => Math.min(least, row.start), Infinity);
  const failed = ended.reduce((sum, row) => sum + (row.failed ? 1 : 0), 0);
  figures.count.textContent = count(rows.length);
  figures.rate.textContent = recent.length === 0 ? "–" : rate(recent.length / Math.max(1, (last - oldest) / 1000));
  figures.errors.textContent = share(failed, ended.length);
  figures.errors.classList.toggle("warn", failed > 0);
  figures.p50.textContent = ended.length === 0 ? "–" : duration(p50);
  figures.p95.textContent = ended.length === 0 ? "–" : duration(p95);
}
