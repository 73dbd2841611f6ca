// Who calls whom: a picture, and the same as a table.

import { count, counted, duration, element, quantile, rate, share, visible } from "./format.js";

const NS = "http://www.w3.org/2000/svg";
const [BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, EDGE] = [168, 44, 196, 38, 26];
/// Pairs in the picture; the table has all.
const DRAWN = 60;

function svg(name, attributes, ...children) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/// Pairs with their figures, the busiest first.
export function pairs(rows) {
  const found = new Map();
  let [first, last] = [Infinity, -Infinity];
  for (const row of rows) {
    if (row.open) continue;
    const key = `${row.from}\n${row.to}`;
    let pair = found.get(key);
    if (!pair) {
      pair = { from: row.from, to: row.to, count: 0, failed: 0, tls: 0, took: [] };
      found.set(key, pair);
    }
    pair.count += 1;
    if (row.failed) pair.failed += 1;
    if (row.tls) pair.tls += 1;
    pair.took.push(row.took);
    if (row.start < first) first = row.start;
    if (row.start > last) last = row.start;
  }
  const seconds = Math.max(1, (last - first) / 1000);
  const made = [...found.values()];
  for (const pair of made) {
    const sorted = Float64Array.from(pair.took).sort();
    Object.assign(pair, { p50: quantile(sorted, 0.5), p95: quantile(sorted, 0.95), rate: pair.count / seconds });
    delete pair.took;
  }
  return made.sort((a, b) => b.count - a.count || (a.from + a.to < b.from + b.to ? -1 : 1));
}

/// Columns: whoever is called stands to the right of its callers, where there is no circle.
function columns(edges) {
  const names = [...new Set(edges.flatMap(({ from, to }) => [from, to]))];
  const calls = new Map(names.map((name) => [name, []]));
  for (const { from, to } of edges) if (from !== to) calls.get(from).push(to);
  const state = new Map();
  const order = [];
  const back = new Set();
  // Depth first without recursion: a chain may be long.
  const called = new Set(edges.filter(({ from, to }) => from !== to).map(({ to }) => to));
  for (const root of [...names].sort((a, b) => called.has(a) - called.has(b))) {
    if (state.has(root)) continue;
    const stack = [[root, 0]];
    state.set(root, 1);
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      const [name, at] = top;
      const next = calls.get(name)[at];
      top[1] += 1;
      if (next === undefined) {
        state.set(name, 2);
        order.push(name);
        stack.pop();
      } else if (state.get(next) === 1) {
        back.add(`${name}\n${next}`);
      } else if (!state.has(next)) {
        state.set(next, 1);
        stack.push([next, 0]);
      }
    }
  }
  const column = new Map(names.map((name) => [name, 0]));
  for (const name of order.reverse()) {
    for (const next of calls.get(name)) {
      if (!back.has(`${name}\n${next}`)) column.set(next, Math.max(column.get(next), column.get(name) + 1));
    }
  }
  return column;
}

/// Places of the boxes, and of the bends where a line passes a column: `bends` by pair.
function layout(edges) {
  const column = columns(edges);
  const lanes = [];
  const links = [];
  const bends = new Map();
  for (const [name, at] of column) (lanes[at] ??= []).push(name);
  for (const edge of edges) {
    const [from, to] = [column.get(edge.from), column.get(edge.to)];
    let last = edge.from;
    const passed = [];
    for (let at = from + 1; at < to; at += 1) {
      // Names have no line feed: this one is nobody's.
      const bend = `${edge.from}\n${edge.to}\n${at}`;
      lanes[at].push(bend);
      links.push([last, bend]);
      passed.push(bend);
      last = bend;
    }
    if (to > from) links.push([last, edge.to]);
    bends.set(edge, passed);
  }
  const step = BOX_HEIGHT + GAP_Y;
  const most = Math.max(...lanes.map((lane) => lane.length));
  const place = new Map();
  const arrange = (lane, at) => {
    const top = ((most - lane.length) * step) / 2;
    lane.forEach((name, index) => place.set(name, { x: EDGE + at * (BOX_WIDTH + GAP_X), y: EDGE + top + index * step }));
  };
  lanes.forEach((lane, at) => arrange(lane.sort(), at));
  // Each near those that it is linked to: forth, back and forth.
  for (const [side, other] of [[1, 0], [0, 1], [1, 0]]) {
    const order = [...lanes.keys()];
    for (const at of side === 1 ? order : order.reverse()) {
      const middle = (name) => {
        const near = links.filter((link) => link[side] === name).map((link) => place.get(link[other]).y);
        return near.length === 0 ? place.get(name).y : near.reduce((sum, y) => sum + y, 0) / near.length;
      };
      const wanted = new Map(lanes[at].map((name) => [name, middle(name)]));
      arrange(lanes[at].sort((a, b) => wanted.get(a) - wanted.get(b) || (a < b ? -1 : 1)), at);
    }
  }
  return { place, bends, column, width: 2 * EDGE + lanes.length * (BOX_WIDTH + GAP_X) - GAP_X, height: 2 * EDGE + most * step };
}

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function health(pair) {
  const part = pair.failed / pair.count;
  return part >= 0.05 ? "error" : part > 0 ? "bad" : "good";
}

/// A line, and where its label would stand.
function curve(from, to, through) {
  const [x1, y1, y2] = [from.x + BOX_WIDTH, from.y + BOX_HEIGHT / 2, to.y + BOX_HEIGHT / 2];
  if (from === to) return [`M${x1 - 40},${from.y} c0,-26 30,-26 30,0`, [x1 - 25, from.y - 14]];
  if (to.x <= from.x) {
    // Backwards: below the boxes.
    const low = Math.max(from.y, to.y) + BOX_HEIGHT + 24;
    const [a, b] = [from.x + BOX_WIDTH / 2, to.x + BOX_WIDTH / 2];
    return [`M${a},${from.y + BOX_HEIGHT} C${a},${low} ${b},${low} ${b},${to.y + BOX_HEIGHT + 6}`, [(a + b) / 2, low - 8]];
  }
  let path = `M${x1},${y1}`;
  let [x, y] = [x1, y1];
  const stops = [...through.map((bend) => [bend.x, bend.y + BOX_HEIGHT / 2, BOX_WIDTH]), [to.x - 6, y2, 0]];
  const label = [(x + stops[0][0]) / 2, (y + stops[0][1]) / 2];
  for (const [nextX, nextY, flat] of stops) {
    const bow = (nextX - x) / 2;
    path += ` C${x + bow},${y} ${nextX - bow},${nextY} ${nextX},${nextY}`;
    if (flat > 0) path += ` h${flat}`;
    [x, y] = [nextX + flat, nextY];
  }
  return [path, label];
}

const overlaps = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

/// A place for the label where nothing else stands, near the one that is wanted.
function room([x, y], width, taken) {
  for (let tries = 0; tries < 24; tries += 1) {
    const shift = Math.ceil(tries / 2) * 10 * (tries % 2 === 0 ? 1 : -1);
    const box = { x: x - width / 2, y: y - 9 + shift, width, height: 18 };
    if (!taken.some((other) => overlaps(box, other))) {
      taken.push(box);
      return [x, y + shift];
    }
  }
  return null;
}

function label(pair, wanted, taken) {
  const text = `${rate(pair.rate)} · ${share(pair.failed, pair.count)} · ${duration(pair.p95)}`;
  const width = text.length * 5.8 + 12;
  const found = room(wanted, width, taken);
  if (found === null) return null;
  const [x, y] = found;
  return svg("g", { class: "edge-label", "data-health": health(pair) },
    svg("rect", { x: x - width / 2, y: y - 9, width, height: 17, rx: 8 }),
    svg("text", { x, y: y + 3.5, "text-anchor": "middle" }, text));
}

function picture(edges, onPair) {
  const { place, bends, column, width, height } = layout(edges);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `${edges.length} pairs that call each other; the table has the figures` });
  const arrow = svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto" }, svg("path", { d: "M0,0.5 L7,4 L0,7.5z" }));
  root.append(svg("defs", {}, arrow));
  const most = Math.max(...edges.map((edge) => edge.count));
  const labels = [];
  const taken = [...column.keys()].map((name) => ({ ...place.get(name), width: BOX_WIDTH, height: BOX_HEIGHT }));
  for (const edge of edges) {
    const [path, middle] = curve(place.get(edge.from), place.get(edge.to), bends.get(edge).map((bend) => place.get(bend)));
    const wide = 1.2 + 3.3 * (Math.log(1 + edge.count) / Math.log(1 + most));
    const line = svg("path", { d: path, class: "edge", "stroke-width": wide.toFixed(2), "marker-end": "url(#arrow)", "data-health": health(edge) });
    const wrap = svg("g", { class: "edge-group" }, line, svg("path", { d: path, class: "edge-area" }));
    wrap.append(svg("title", {}, `${visible(edge.from)} → ${visible(edge.to)}: ${counted(edge.count, "exchange")}`));
    wrap.addEventListener("click", () => onPair(edge));
    root.append(wrap);
    labels.push(label(edge, middle, taken));
  }
  const inward = new Map();
  for (const edge of edges) {
    const sum = inward.get(edge.to) ?? { rate: 0, failed: 0, count: 0 };
    inward.set(edge.to, { rate: sum.rate + edge.rate, failed: sum.failed + edge.failed, count: sum.count + edge.count });
  }
  for (const name of column.keys()) {
    const { x, y } = place.get(name);
    const box = inward.get(name);
    const second = box ? `${rate(box.rate)} · ${share(box.failed, box.count)} errors` : "calls only";
    root.append(svg("g", { class: "box", transform: `translate(${x},${y})`, "data-health": box ? health(box) : "none" },
      svg("title", {}, visible(name)),
      svg("rect", { width: BOX_WIDTH, height: BOX_HEIGHT, rx: 9 }),
      svg("rect", { width: 4, height: BOX_HEIGHT - 16, x: 8, y: 8, rx: 2, class: "box-mark" }),
      svg("text", { x: 20, y: 19, class: "box-name" }, short(visible(name), 22)),
      svg("text", { x: 20, y: 34, class: "box-rate" }, second)));
  }
  root.append(...labels.filter((one) => one !== null));
  return root;
}

function table(found, onPair) {
  return found.map((pair) => {
    const open = element("button", { className: "as-link", title: "List these exchanges", onclick: () => onPair(pair) }, element("bdi", {}, visible(pair.from)));
    const cell = (text) => element("td", { className: "num" }, text);
    const errors = cell(share(pair.failed, pair.count));
    errors.classList.toggle("warn", pair.failed > 0);
    const security = pair.tls === 0 ? "plain" : pair.tls === pair.count ? "TLS" : `TLS ${share(pair.tls, pair.count)}`;
    return element("tr", {}, element("th", { scope: "row" }, open), element("td", {}, element("bdi", {}, visible(pair.to))),
      cell(count(pair.count)), cell(rate(pair.rate)), errors, cell(duration(pair.p50)), cell(duration(pair.p95)), element("td", {}, security));
  });
}

/// Draws both.
export function draw(rows, { map, body, onPair }) {
  const found = pairs(rows);
  body.replaceChildren(...table(found.slice(0, 1000), onPair));
  if (found.length === 0) {
    map.replaceChildren(element("p", { className: "empty" }, "Nobody has called anybody yet."));
    return;
  }
  const { scrollLeft, scrollTop } = map;
  map.replaceChildren(picture(found.slice(0, DRAWN), onPair));
  if (found.length > DRAWN) map.append(element("p", { className: "quiet pad" }, `The ${DRAWN} busiest pairs of ${count(found.length)}; the table has all.`));
  Object.assign(map, { scrollLeft, scrollTop });
}
