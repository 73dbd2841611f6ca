// The list: a few elements that are moved and filled as one scrolls, however many rows there are.

import { bytes, clock, code, counted, duration, element, kind, visible } from "./format.js";

/// Rows beyond each edge that are made as well.
const MORE = 8;

const COLUMNS = ["time", "method", "status", "where", "pair", "type", "size", "took"];

export class List {
  constructor({ grid, body, rows, onSelect, onOpen, onScrollAway }) {
    Object.assign(this, { grid, body, rows, onSelect, onOpen, onScrollAway });
    this.pool = [];
    this.selected = null;
    this.follow = true;
    this.planned = false;
    this.height = 0;
    this.followedTo = 0;
    grid.addEventListener("scroll", () => this.scrolled(), { passive: true });
    grid.addEventListener("keydown", (event) => this.key(event));
    // Not on click: while the list moves, the row below the pointer is another one by then.
    body.addEventListener("mousedown", (event) => this.press(event));
    new ResizeObserver(() => this.measure()).observe(grid);
    this.measure();
  }

  measure() {
    const height = parseFloat(getComputedStyle(this.grid).getPropertyValue("--row-height"));
    if (height !== this.height) {
      this.height = height;
      this.pool.forEach((slot) => { slot.index = -1; });
    }
    this.draw();
  }

  /// What a row says has changed.
  renew() {
    for (const slot of this.pool) Object.assign(slot, { id: -1, index: -1 });
    this.draw();
  }

  /// Draws in the next frame.
  draw() {
    if (this.planned) return;
    this.planned = true;
    requestAnimationFrame(() => {
      this.planned = false;
      this.drawNow();
    });
  }

  get headHeight() {
    return this.body.offsetTop;
  }

  drawNow() {
    const { grid, body, height } = this;
    const { shown } = this.rows;
    if (grid.clientHeight === 0) return;
    const total = shown.length * height;
    if (body.dataset.total !== String(total)) {
      body.dataset.total = String(total);
      body.style.height = `${total}px`;
      grid.setAttribute("aria-rowcount", String(shown.length + 1));
    }
    if (this.follow) this.toNewest();
    const first = Math.max(0, Math.floor(grid.scrollTop / height) - MORE);
    const many = Math.ceil(grid.clientHeight / height) + 2 * MORE;
    const last = Math.min(shown.length, first + many);
    while (this.pool.length < many) this.pool.push(this.slot());
    // A row keeps its element while it is in view: index modulo the pool's size.
    const size = this.pool.length;
    const used = new Set();
    for (let index = first; index < last; index += 1) {
      const slot = this.pool[index % size];
      used.add(slot);
      this.fill(slot, index, shown[index]);
    }
    for (const slot of this.pool) {
      if (!used.has(slot) && !slot.row.hidden) {
        slot.row.hidden = true;
        slot.index = -1;
      }
    }
    const active = this.pool.find((slot) => !slot.row.hidden && slot.id === this.selected);
    if (active) grid.setAttribute("aria-activedescendant", active.row.id);
    else grid.removeAttribute("aria-activedescendant");
  }

  get newestFirst() {
    return this.rows.descending && this.rows.sort === "time";
  }

  toNewest() {
    this.grid.scrollTop = this.newestFirst ? 0 : this.grid.scrollHeight;
    this.followedTo = this.grid.scrollTop;
  }

  /// Away from where following has put it: only a person scrolls so.
  scrolled() {
    const by = this.grid.scrollTop - this.followedTo;
    if (this.follow && (this.newestFirst ? by > 1 : by < -1)) this.onScrollAway();
    this.draw();
  }

  slot() {
    const cells = {};
    const row = element("div", { className: "row", role: "row", id: `row-${this.pool.length}` });
    for (const name of COLUMNS) {
      cells[name] = element("span", { className: name, role: "gridcell" });
      row.append(cells[name]);
    }
    const parts = {
      host: element("bdi", { className: "host" }),
      target: element("bdi", { className: "target" }),
      note: element("span", { className: "note" }),
      bar: element("i", { className: "meter" }),
      took: element("span"),
    };
    cells.where.append(parts.host, parts.target, parts.note);
    cells.took.append(parts.bar, parts.took);
    this.body.append(row);
    return { row, cells, parts, index: -1, id: -1, selected: false };
  }

  fill(slot, index, one) {
    const { row, cells, parts } = slot;
    const selected = one.id === this.selected;
    if (slot.index === index && slot.id === one.id && slot.selected === selected) return;
    if (slot.index !== index) {
      row.style.transform = `translateY(${index * this.height}px)`;
      row.classList.toggle("odd", index % 2 === 1);
      row.setAttribute("aria-rowindex", String(index + 2));
    }
    Object.assign(slot, { index, selected });
    row.hidden = false;
    row.classList.toggle("selected", selected);
    row.setAttribute("aria-selected", String(selected));
    if (slot.id === one.id) return;
    slot.id = one.id;
    row.dataset.kind = kind(one);
    cells.time.textContent = clock(one.start);
    cells.method.textContent = visible(one.method);
    cells.status.textContent = code(one.status) ?? "–";
    cells.status.title = one.note;
    parts.host.textContent = visible(one.host);
    parts.target.textContent = visible(one.target);
    parts.note.textContent = one.note;
    cells.pair.textContent = `${visible(one.from)} → ${visible(one.to)}`;
    cells.pair.title = cells.pair.textContent;
    cells.type.textContent = visible(one.type);
    cells.size.textContent = bytes(one.size);
    parts.took.textContent = duration(one.took);
    // From 0.1 ms to 10 s, each tenfold as long.
    const length = Math.min(1, Math.max(0.02, Math.log10(Math.max(one.took, 100) / 100) / 5));
    parts.bar.style.width = `${(length * 100).toFixed(0)}%`;
  }

  press(event) {
    if (event.button !== 0) return;
    const row = event.target.closest(".row");
    const slot = this.pool.find((candidate) => candidate.row === row);
    if (!slot) return;
    this.selected = slot.id;
    this.draw();
    this.onOpen(slot.id);
  }

  select(id) {
    this.selected = id;
    this.onSelect(id);
    this.draw();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.grid.clientHeight / this.height) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps) this.move(steps[event.key]);
    else if (event.key === "Enter" && this.selected !== null && event.target === this.grid) this.onOpen(this.selected);
    else return;
    event.preventDefault();
  }

  /// Selects the row so many rows further on.
  move(step) {
    const { shown } = this.rows;
    if (shown.length === 0) return;
    const at = this.selected === null ? -1 : this.rows.indexOf(this.selected);
    const start = at >= 0 ? at : step < 0 ? shown.length : -1;
    const index = Math.min(shown.length - 1, Math.max(0, start + step));
    if (step < 0 || index < shown.length - 1) this.onScrollAway();
    this.select(shown[index].id);
    this.reveal(index);
  }

  reveal(index) {
    const { grid, height } = this;
    const head = this.headHeight;
    const top = index * height;
    const room = grid.clientHeight - head;
    if (top < grid.scrollTop) grid.scrollTop = top;
    else if (top + height > grid.scrollTop + room) grid.scrollTop = top + height - room;
    this.draw();
  }

  /// Says how many there are, for people who cannot see the list.
  describe() {
    return counted(this.rows.shown.length, "exchange");
  }
}
