// How values are shown. Pure functions; nothing here touches the page.

// What a reader must see and a browser would obey or hide: control characters, marks of direction,
// characters without width, halves of a pair.
const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

const escaped = (char) => {
  const code = char.charCodeAt(0);
  return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
};

/// Text of a body: lines stay.
export const visibleText = (text) => text.replace(/\r\n/g, "\n").replace(/\r/g, "\\r").replace(HIDDEN, escaped);

/// A value on one line.
export const visible = (text) =>
  text.replace(/[\t\n\r]/g, (char) => ({ "\t": "\\t", "\n": "\\n", "\r": "\\r" })[char]).replace(HIDDEN, escaped);

/// Three digits that count, and a unit.
export function duration(micros) {
  if (micros < 1000) return `${Math.round(micros)} µs`;
  const units = [[1000, "ms"], [1e6, "s"], [6e7, "min"], [3.6e9, "h"]];
  let [unit, name] = units[0];
  for (const [size, label] of units) {
    if (micros >= size) [unit, name] = [size, label];
  }
  const value = micros / unit;
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${name}`;
}

export function bytes(count) {
  const names = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (count >= 1024 && at < names.length - 1) {
    count /= 1024;
    at += 1;
  }
  return `${at === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${names[at]}`;
}

const grouped = new Intl.NumberFormat("en", { useGrouping: true });
export const count = (number) => grouped.format(number).replaceAll(",", "\u202f");
/// A count with its noun, which is given in the singular.
export const counted = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

export function rate(perSecond) {
  if (!Number.isFinite(perSecond)) return "–";
  return `${perSecond < 10 ? perSecond.toFixed(2) : perSecond < 100 ? perSecond.toFixed(1) : count(Math.round(perSecond))}/s`;
}

export function share(part, whole) {
  if (whole === 0) return "–";
  const percent = (100 * part) / whole;
  if (part > 0 && percent < 0.1) return "<0.1 %";
  return `${percent < 10 && percent > 0 ? percent.toFixed(1) : Math.round(percent)} %`;
}

const two = (number) => String(number).padStart(2, "0");

/// Time of day in the reader's zone, to the millisecond.
export function clock(millis) {
  const date = new Date(millis);
  const rest = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${rest}`;
}

export function day(millis) {
  const date = new Date(millis);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(millis)}`;
}

/// A status as its line has it; undefined where there is none.
export function code(status) {
  return status === undefined || status === null ? undefined : String(status).padStart(3, "0");
}

/// The class of a status: what colours it.
export function kind(row) {
  if (row.failed) return "error";
  if (row.status === null) return "none";
  return ["none", "info", "good", "moved", "bad", "error"][Math.floor(row.status / 100)] ?? "none";
}

/// The value below which a share of the sorted values is.
export function quantile(sorted, share) {
  if (sorted.length === 0) return NaN;
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? sorted[0];
}

/// An element with text in it. The only way in which this page makes elements: what was captured
/// is always text.
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made && !key.includes("-")) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}
