// The rows of the list: a bounded copy of the summaries that the server keeps, and what of them is
// shown, in which order.

/// Places of a row in the array that the server sends; times become milliseconds and microseconds.
function row(values) {
  const [id, started, nanos, method, host, target, status, sent, got, from, to, type, protocol, tls, call, partial, upgrade, failed] = values;
  const note = [call, partial, upgrade ? "upgrade" : null].filter(Boolean).join(" ");
  return {
    id, start: started / 1000, took: nanos / 1000, method, host, target, status, sent, got, size: sent + got,
    from, to, type, protocol, tls, note, failed,
    // The end of the capture cut it off: neither how it ended nor how long it took is known.
    open: partial === "shutdown",
  };
}

const BY = {
  time: (a, b) => a.id - b.id,
  took: (a, b) => a.took - b.took || a.id - b.id,
  size: (a, b) => a.size - b.size || a.id - b.id,
  status: (a, b) => (a.status ?? 0) - (b.status ?? 0) || a.id - b.id,
};

/// First index whose id is not below `id`.
function lower(rows, id) {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].id < id) low = middle + 1;
    else high = middle;
  }
  return low;
}

export class Rows {
  constructor() {
    this.all = [];
    /// What is shown, in order.
    this.shown = [];
    this.sort = "time";
    this.descending = false;
    /// Ids that match the filter; `null`: every one.
    this.matching = null;
    /// Matching is known up to this id.
    this.matchedThrough = 0;
    /// From and to; `null`: every pair.
    this.edge = null;
    this.paused = false;
    /// Last id that is shown while paused.
    this.pausedAt = 0;
  }

  get last() {
    return this.all.length === 0 ? 0 : this.all[this.all.length - 1].id;
  }

  /// Adds rows as the server sends them, oldest first, and forgets what it keeps no longer.
  add(values, oldest) {
    const fresh = [];
    const last = this.last;
    for (const value of values) {
      if (value[0] > last) fresh.push(row(value));
    }
    for (const one of fresh) this.all.push(one);
    this.forget(oldest);
    // The server may have looked at rows that come here only now.
    const { matching, matchedThrough } = this;
    this.show(matching === null ? fresh : fresh.filter((one) => one.id <= matchedThrough && matching.has(one.id)));
  }

  /// Ends of rows from before have names now: an id, and both.
  name(names) {
    for (const [id, from, to] of names) {
      const one = this.all[lower(this.all, id)];
      if (one?.id === id) Object.assign(one, { from, to });
    }
    if (this.edge !== null) this.rebuild();
  }

  forget(oldest) {
    const gone = lower(this.all, oldest);
    // A cut moves all that is kept: not for each row.
    if (gone === 0 || (gone < 1000 && gone < this.all.length / 20)) return;
    this.all.splice(0, gone);
    this.shown = this.shown.filter((one) => one.id >= oldest);
    if (this.matching !== null) {
      for (const id of this.matching) {
        if (id >= oldest) break;
        this.matching.delete(id);
      }
    }
  }

  /// The first of the rows that the server keeps still.
  clear() {
    Object.assign(this, { all: [], shown: [], matchedThrough: 0, pausedAt: 0 });
    if (this.matching !== null) this.matching = new Set();
  }

  fits(one) {
    if (this.paused && one.id > this.pausedAt) return false;
    return this.edge === null || (one.from === this.edge.from && one.to === this.edge.to);
  }

  show(fresh) {
    const wanted = fresh.filter((one) => this.fits(one));
    if (wanted.length === 0) return;
    for (const one of wanted) this.shown.push(one);
    if (this.sort !== "time" || this.descending) this.order();
  }

  order() {
    const by = BY[this.sort];
    this.shown.sort(this.descending ? (a, b) => by(b, a) : by);
  }

  rebuild() {
    const { matching } = this;
    this.shown = this.all.filter((one) => (matching === null || matching.has(one.id)) && this.fits(one));
    this.order();
  }

  setSort(sort, descending) {
    Object.assign(this, { sort, descending });
    this.order();
  }

  setEdge(edge) {
    this.edge = edge;
    this.rebuild();
  }

  setPaused(paused) {
    this.paused = paused;
    this.pausedAt = this.last;
    if (!paused) this.rebuild();
  }

  /// How many came since the list was paused.
  get held() {
    return this.paused ? this.all.length - lower(this.all, this.pausedAt + 1) : 0;
  }

  /// Everything is shown.
  unfilter() {
    this.matching = null;
    this.matchedThrough = 0;
    this.rebuild();
  }

  /// A new filter: these ranges of ids match.
  setMatching(ranges, through) {
    this.matching = new Set();
    this.matchedThrough = through;
    this.take(ranges);
    this.rebuild();
  }

  /// More of them, of rows that came since.
  addMatching(ranges, through) {
    if (this.matching === null) return;
    const from = this.matchedThrough;
    this.matchedThrough = Math.max(from, through);
    this.take(ranges);
    const fresh = this.all.slice(lower(this.all, from + 1), lower(this.all, through + 1));
    this.show(fresh.filter((one) => this.matching.has(one.id)));
  }

  take(ranges) {
    for (const [first, last] of ranges) {
      for (let id = first; id <= last; id += 1) this.matching.add(id);
    }
  }

  indexOf(id) {
    if (this.sort === "time" && !this.descending) {
      const at = lower(this.shown, id);
      return this.shown[at]?.id === id ? at : -1;
    }
    return this.shown.findIndex((one) => one.id === id);
  }
}
