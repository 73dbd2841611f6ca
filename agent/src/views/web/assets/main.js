// Wires the page: one place that knows its elements.

import { Detail } from "./detail.js";
import { bytes, count, counted } from "./format.js";
import { List } from "./list.js";
import { draw as drawMap } from "./map.js";
import { glance } from "./plots.js";
import { Rows } from "./rows.js";
import * as server from "./server.js";

const at = (id) => document.getElementById(id);

/// How often figures, plots and the map are made anew, in milliseconds.
const REDRAW = 500;
/// How long one types before the filter is tried.
const TYPING = 150;
/// How often new rows are looked at with the filter.
const MATCHING = 250;

const rows = new Rows();
const figures = { count: at("fig-count"), rate: at("fig-rate"), errors: at("fig-errors"), p50: at("fig-p50"), p95: at("fig-p95") };
const plots = { rate: at("plot-rate"), latency: at("plot-latency") };
const filter = at("filter");

/// Bytes of a file, and of a HAR document, at most.
let limits = [Infinity, Infinity];
let held = null;
let stale = true;
/// No figures are made before this moment.
let rested = 0;
let matching = null;
/// The filter that is in force; while another one is typed that is not whole, still this one.
let applied = "";
let unmatched = false;

const list = new List({
  grid: at("grid"),
  body: at("rows"),
  rows,
  onSelect: (id) => { if (detail.isOpen) open(id); },
  onOpen: (id) => open(id),
  onScrollAway: () => setFollow(false),
});

const detail = new Detail({
  element: at("detail"),
  fetchOne: (id) => server.exchange(id).catch((error) => { notice(error.message); return null; }),
  onClose: () => { document.body.classList.remove("detailed"); at("grid").focus(); list.draw(); },
  onNotice: (text) => notice(text),
});

function open(id) {
  const row = rows.shown[rows.indexOf(id)];
  if (!row) return;
  document.body.classList.add("detailed");
  // Whoever reads one exchange does not want the list to move on.
  setFollow(false);
  detail.open(row).then(() => {
    const index = rows.indexOf(id);
    if (index >= 0) list.reveal(index);
  });
}

let noticeTimer = 0;
function notice(text) {
  at("notice").textContent = text;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => { at("notice").textContent = ""; }, 8000);
}

function setFollow(follow) {
  list.follow = follow;
  at("follow").setAttribute("aria-pressed", String(follow));
  list.draw();
}

function setPaused(paused) {
  rows.setPaused(paused);
  at("pause").setAttribute("aria-pressed", String(paused));
  changed();
}

/// What is shown has changed.
function changed() {
  stale = true;
  list.draw();
  const empty = rows.shown.length === 0;
  at("empty").hidden = !empty;
  if (!empty) return;
  const why = rows.all.length > 0 ? "No exchange matches." : held?.ended ? "There was no exchange." : "Waiting for the first exchange.";
  at("empty-text").textContent = why;
}

function totals() {
  const kept = rows.all.length;
  const shown = rows.shown.length;
  at("totals").textContent = shown === kept ? counted(kept, "exchange") : `${count(shown)} of ${counted(kept, "exchange")}`;
  at("pause").textContent = rows.paused ? `Paused · ${count(rows.held)} new` : "Pause";
  if (!held) return;
  const said = [];
  if (held.evicted > 0) said.push(`${count(held.evicted)} fell out of the ${bytes(held.max_bytes)} of memory`);
  if (held.skipped > 0) said.push(`${count(held.skipped)} sampled out: more came than can be shown`);
  if (held.missed > 0) said.push(`${count(held.missed)} came too fast for this page`);
  at("dropped").textContent = said.join(" · ");
}

/// Figures, plots and the map, now and then.
function redraw() {
  totals();
  const began = performance.now();
  if (!stale || document.hidden || began < rested) return;
  stale = false;
  if (at("view-map").hidden) glance(rows.shown, { figures, plots });
  else drawMap(mapRows(), { map: at("map"), body: at("pairs"), onPair: choosePair });
  // A twelfth of the time at most, however many rows there are.
  rested = performance.now() + 12 * (performance.now() - began);
}

/// The map shows every pair, also when the list shows one.
function mapRows() {
  const { edge } = rows;
  if (edge === null) return rows.shown;
  return rows.all.filter((row) => rows.matching === null || rows.matching.has(row.id));
}

function choosePair({ from, to }) {
  rows.setEdge({ from, to });
  at("edge").hidden = false;
  at("edge-name").textContent = `${from} → ${to}`;
  showTab("list");
  changed();
}

function clearPair() {
  rows.setEdge(null);
  at("edge").hidden = true;
  changed();
}

function showTab(name) {
  for (const tab of ["list", "map"]) {
    const selected = tab === name;
    at(`tab-${tab}`).setAttribute("aria-selected", String(selected));
    at(`tab-${tab}`).tabIndex = selected ? 0 : -1;
    at(`view-${tab}`).hidden = !selected;
  }
  stale = true;
  rested = 0;
  redraw();
  list.draw();
}

/// A new filter: all rows are looked at again.
async function applyFilter() {
  const text = filter.value.trim();
  matching?.abort();
  filter.removeAttribute("aria-invalid");
  at("filter-note").textContent = "";
  if (text === "") {
    matching = null;
    applied = "";
    rows.unfilter();
    changed();
    return;
  }
  const current = new AbortController();
  matching = current;
  try {
    const found = await server.match(text, 0, current.signal);
    if (matching !== current) return;
    if (found.error) {
      filter.setAttribute("aria-invalid", "true");
      at("filter-note").textContent = found.error;
      return;
    }
    applied = text;
    rows.setMatching(found.ranges, found.through);
    changed();
  } catch (error) {
    if (error.name !== "AbortError") notice(error.message);
  }
}

/// Rows that came since are looked at, too.
async function matchNew() {
  if (!unmatched || rows.matching === null || matching === null) return;
  unmatched = false;
  const current = matching;
  try {
    const found = await server.match(applied, rows.matchedThrough, current.signal);
    if (matching !== current || found.error) return;
    rows.addMatching(found.ranges, found.through);
    changed();
  } catch {
    unmatched = true;
  }
}

let typing = 0;
filter.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(applyFilter, TYPING);
});
filter.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && filter.value === "") at("grid").focus();
  else if (event.key === "Enter" || event.key === "ArrowDown") at("grid").focus();
  else return;
  event.preventDefault();
});

/// Why a file need not be sent, if so. A HAR document is text, and begins with a brace.
async function tooLarge(file) {
  const [most, mostHar] = limits;
  if (file.size > most) return `more than ${bytes(most)}: use meshtap replay`;
  const start = file.size > mostHar ? await file.slice(0, 64).text() : "";
  return /^[\ufeff\s]*\{/.test(start) ? `a HAR document of more than ${bytes(mostHar)}` : null;
}

async function choose(files) {
  const [file] = files;
  if (!file) return;
  const why = await tooLarge(file);
  if (why !== null) return notice(`${file.name}: ${why}`);
  notice(`Sending ${file.name}`);
  server.send(file, (part) => notice(`Sending ${file.name}: ${Math.round(part * 100)} %`)).then(
    (done) => notice(`${counted(done.exchanges, "exchange")} from ${file.name}${done.remark ? `; ${done.remark}` : ""}`),
    (error) => notice(`${file.name}: ${error.message}`),
  );
}

/// The list as it is: every row when nothing narrows it, else the ids.
function exportHar() {
  if (rows.shown.length === 0) return notice("Nothing is listed.");
  const ids = rows.shown.map((row) => row.id).sort((a, b) => a - b);
  const ranges = [];
  for (const id of ids) {
    const last = ranges[ranges.length - 1];
    if (last && last[1] + 1 === id) last[1] = id;
    else ranges.push([id, id]);
  }
  const link = document.createElement("a");
  link.href = "api/har";
  link.download = "meshtap.har";
  // Many ranges make a long address: then the filter says which, where nothing else narrows.
  const text = ranges.map(([first, last]) => (first === last ? first : `${first}-${last}`)).join(",");
  if (text.length <= 6000) link.href = `api/har?ids=${text}`;
  else if (rows.matching !== null && rows.edge === null && !rows.paused) link.href = `api/har?filter=${encodeURIComponent(applied)}`;
  else link.href = `api/har?ids=${ids[0]}-${ids[ids.length - 1]}`;
  document.body.append(link);
  link.click();
  link.remove();
  return notice(`To meshtap.har: ${counted(rows.shown.length, "exchange")}.`);
}

function sortBy(name) {
  const descending = rows.sort === name ? !rows.descending : name !== "time";
  rows.setSort(name, descending);
  if (name !== "time") setFollow(false);
  for (const button of document.querySelectorAll("[data-sort]")) {
    const order = button.dataset.sort === name ? (descending ? "descending" : "ascending") : "none";
    button.parentElement.setAttribute("aria-sort", order);
  }
  at("grid").scrollTop = 0;
  changed();
}

const KEYS = {
  "/": () => { filter.focus(); filter.select(); },
  j: () => list.move(1),
  k: () => list.move(-1),
  g: () => list.move(-Infinity),
  G: () => { list.move(Infinity); setFollow(true); },
  p: () => setPaused(!rows.paused),
  f: () => setFollow(!list.follow),
  c: () => copySelected(),
  e: () => exportHar(),
  i: () => at("file").click(),
  1: () => showTab("list"),
  2: () => showTab("map"),
  "?": () => at("help").showModal(),
};

async function copySelected() {
  if (detail.isOpen) return detail.copyCurl();
  if (list.selected === null) return notice("Nothing is selected.");
  const found = await server.exchange(list.selected);
  if (found?.curl) return detail.copy(found.curl, "The curl command", found.curl_note);
  return notice(found?.curl_error ?? "It is not held any more.");
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || at("help").open) return;
  const typed = event.target.closest("input, textarea, select");
  if (event.key === "Escape" && !typed && detail.isOpen) {
    detail.close();
  } else if (!typed && Object.hasOwn(KEYS, event.key)) {
    KEYS[event.key]();
    event.preventDefault();
  }
});

at("pause").addEventListener("click", () => setPaused(!rows.paused));
at("follow").addEventListener("click", () => setFollow(!list.follow));
at("edge-clear").addEventListener("click", clearPair);
at("export").addEventListener("click", exportHar);
at("import").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", (event) => { choose(event.target.files); event.target.value = ""; });
at("help-open").addEventListener("click", () => at("help").showModal());
at("help-close").addEventListener("click", () => at("help").close());
for (const button of document.querySelectorAll("[data-sort]")) button.addEventListener("click", () => sortBy(button.dataset.sort));
for (const name of ["list", "map"]) {
  const other = name === "list" ? "map" : "list";
  at(`tab-${name}`).addEventListener("click", () => showTab(name));
  at(`tab-${name}`).addEventListener("keydown", (event) => {
    if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
    showTab(other);
    at(`tab-${other}`).focus();
    event.preventDefault();
  });
}

let dragging = 0;
const drops = (event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragenter", (event) => { if (drops(event)) { dragging += 1; at("drop").hidden = false; } });
addEventListener("dragleave", (event) => { if (drops(event)) { dragging -= 1; at("drop").hidden = dragging > 0; } });
addEventListener("dragover", (event) => { if (drops(event)) event.preventDefault(); });
addEventListener("drop", (event) => {
  dragging = 0;
  at("drop").hidden = true;
  event.preventDefault();
  choose(event.dataTransfer.files);
});
addEventListener("resize", () => { stale = true; });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { stale = true; });

function linkSays(state) {
  const text = { live: held?.ended ? "ended" : "live", waiting: "connecting again", closed: "meshtap has ended" }[state];
  at("link").textContent = text;
  at("link").dataset.state = held?.ended && state === "live" ? "ended" : state;
}

server.follow({
  onLink: linkSays,
  onRows: ({ rows: values, first }) => {
    rows.add(values, first);
    unmatched = true;
    changed();
  },
  onNames: (names) => {
    rows.name(names);
    list.renew();
    changed();
  },
  onHeld: (now) => {
    held = now;
    rows.forget(now.first);
    linkSays("live");
    changed();
  },
});
setInterval(redraw, REDRAW);
setInterval(matchNew, MATCHING);

server.state().then((state) => {
  document.title = `${state.source} · meshtap`;
  limits = [state.max_import, state.max_har];
  filter.placeholder = state.example;
  const wide = Math.max(...state.language.map(([term]) => term.length));
  at("language").textContent = state.language.map(([term, what]) => `${term.padEnd(wide)}  ${what}`).join("\n");
}).catch((error) => notice(error.message));
