// One body: as text, indented, as fields, or as bytes; with a search that marks what it finds.

import { bytes, count, counted, element, visible, visibleText } from "./format.js";

/// Characters and bytes that are shown before one asks for more: a browser lays out so much at
/// once without a pause.
const TEXT_STEP = 200_000;
const HEX_STEP = 16 * 1024;
/// Longest text that is indented and coloured.
const PRETTY_MOST = 2_000_000;
/// Matches that are marked.
const MARKS = 5_000;

/// From base64 to bytes.
export function decode(text) {
  const raw = atob(text);
  const made = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at += 1) made[at] = raw.charCodeAt(at);
  return made;
}

const TOKEN = /"(?:[^"\\]|\\.)*"?|[{}[\],:]|[^\s{}[\],:"]+|\s+/gy;

/// JSON with indents, as tokens of text and class. Every character but white space stays as it was
/// sent: numbers keep their digits, names that are there twice stay twice.
export function* indented(text) {
  let depth = 0;
  let fresh = false;
  const line = () => `\n${"  ".repeat(Math.min(depth, 40))}`;
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(text); match !== null; match = TOKEN.exec(text)) {
    const [token] = match;
    const char = token[0];
    if (/\s/.test(char)) continue;
    if (char === "}" || char === "]") {
      depth = Math.max(0, depth - 1);
      if (!fresh) yield [line(), ""];
      fresh = false;
      yield [char, ""];
      continue;
    }
    if (fresh) yield [line(), ""];
    fresh = false;
    if (char === "{" || char === "[") {
      depth += 1;
      fresh = true;
      yield [char, ""];
    } else if (char === ",") {
      yield [`,${line()}`, ""];
    } else if (char === ":") {
      yield [": ", ""];
    } else if (char === '"') {
      const rest = text.slice(TOKEN.lastIndex, TOKEN.lastIndex + 200);
      yield [token, /^\s*:/.test(rest) ? "name" : "string"];
    } else {
      yield [token, /^[-\d]/.test(token) ? "number" : "word"];
    }
  }
}

/// Rows of sixteen bytes.
export function hex(data, from, to) {
  const lines = [];
  for (let at = from; at < to; at += 16) {
    const part = data.subarray(at, Math.min(at + 16, to));
    const digits = Array.from(part, (byte) => byte.toString(16).padStart(2, "0"));
    const left = digits.slice(0, 8).join(" ").padEnd(23);
    const right = digits.slice(8).join(" ").padEnd(23);
    const text = Array.from(part, (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${left}  ${right}  ${text}`);
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

function isJson(type, text) {
  return /\bjson\b|\+json/i.test(type) || (/^\s*[[{]/.test(text.slice(0, 100)) && !/html|xml|javascript/i.test(type));
}

/// Of that type, and not something else that a client did not care to name.
const isForm = (type, text) => /x-www-form-urlencoded/i.test(type) && !/^\s*[[{]/.test(text.slice(0, 100));

/// Whether it is JSON, and not what only looks like it.
function parses(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/// How this body can be shown; the first is what is shown first.
function modes(type, text, structure) {
  if (structure) return text === null ? ["Pretty", "Hex"] : ["Pretty", "Text", "Hex"];
  if (text === null) return ["Hex"];
  const pretty = text.length <= PRETTY_MOST && (isJson(type, text) || isForm(type, text));
  return pretty ? ["Pretty", "Text", "Hex"] : ["Text", "Hex"];
}

function remarks(message) {
  const said = [bytes(message.body_size)];
  if (message.messages !== undefined) said.push(counted(message.messages, "message"));
  if (message.body_omitted) said.push(`omitted: ${message.body_omitted}`);
  if (message.body_truncated) said.push("not whole");
  if (message.body_undecoded) said.push("with its content coding");
  return said.join(" · ");
}

export class BodyView {
  /// `structure`: the messages that the body is made of, as lines, or nothing.
  constructor(message, type, name, structure) {
    this.structure = structure ?? null;
    this.text = message.body_encoding === "base64" ? null : message.body ?? "";
    this.data = message.body_encoding === "base64" ? decode(message.body) : null;
    this.type = type;
    this.modes = modes(type, this.text, this.structure);
    this.mode = this.modes[0];
    this.shown = 0;
    this.found = [];
    this.at = -1;
    this.out = element("pre", { className: "body", tabIndex: 0, role: "region", "aria-label": `${name} body` });
    this.more = element("button", { hidden: true, onclick: () => this.extend() }, "Show more");
    this.search = element("input", { type: "search", placeholder: "Search in the body", "aria-label": `Search in the ${name.toLowerCase()} body`, maxLength: 200 });
    this.hits = element("span", { className: "hits", role: "status" });
    this.search.addEventListener("input", () => this.find());
    this.search.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      this.step(event.shiftKey ? -1 : 1);
      event.preventDefault();
    });
    this.element = element("div", { className: "body-view" }, this.toolbar(message, name), this.out, this.more);
    if (this.isEmpty) this.element.replaceChildren(element("p", { className: "quiet" }, remarks(message)));
    else this.render();
  }

  get isEmpty() {
    return this.data === null ? this.text === "" : this.data.length === 0;
  }

  toolbar(message, name) {
    const group = element("div", { className: "choice", role: "group", "aria-label": `How the ${name.toLowerCase()} body is shown` });
    for (const mode of this.modes) {
      group.append(element("button", {
        "aria-pressed": String(mode === this.mode),
        onclick: (event) => {
          this.mode = mode;
          for (const other of group.children) other.setAttribute("aria-pressed", String(other === event.currentTarget));
          this.render();
        },
      }, mode));
    }
    return element("div", { className: "body-tools" }, group, this.search, this.hits, element("span", { className: "quiet" }, remarks(message)));
  }

  render() {
    this.out.replaceChildren();
    this.shown = 0;
    this.rest = null;
    if (this.mode === "Hex") this.data ??= new TextEncoder().encode(this.text);
    if (this.mode === "Pretty" && this.structure === null) {
      if (isForm(this.type, this.text)) return this.form();
      if (!parses(this.text)) this.out.append(element("span", { className: "quiet" }, "[not valid JSON: white space alone was changed]\n"));
      this.rest = indented(this.text);
    }
    this.extend();
  }

  /// Shows the next part.
  extend() {
    const { out } = this;
    if (this.mode === "Hex") {
      const to = Math.min(this.data.length, this.shown + HEX_STEP);
      out.append(hex(this.data, this.shown, to));
      this.left(to, this.data.length);
    } else if (this.rest !== null) {
      this.tokens();
    } else {
      const text = this.mode === "Pretty" ? this.structure : this.text;
      const to = Math.min(text.length, this.shown + TEXT_STEP);
      out.append(visibleText(text.slice(this.shown, to)));
      this.left(to, text.length);
    }
    this.find();
  }

  left(to, whole) {
    this.shown = to;
    this.more.hidden = to >= whole;
    this.more.textContent = `Show more (${count(whole - to)} left)`;
  }

  tokens() {
    const made = document.createDocumentFragment();
    let budget = TEXT_STEP / 4;
    let plain = "";
    const flush = () => {
      if (plain !== "") made.append(plain);
      plain = "";
    };
    for (let next = this.rest.next(); ; next = this.rest.next()) {
      if (next.done) {
        this.more.hidden = true;
        break;
      }
      const [token, name] = next.value;
      const text = visibleText(token);
      if (name === "") {
        plain += text;
      } else {
        flush();
        made.append(element("span", { className: `json-${name}` }, text));
      }
      budget -= text.length + 8;
      if (budget <= 0) {
        this.more.hidden = false;
        this.more.textContent = "Show more";
        break;
      }
    }
    flush();
    this.out.append(made);
  }

  form() {
    const pairs = [...new URLSearchParams(this.text)].slice(0, 1000);
    const wide = Math.min(30, Math.max(...pairs.map(([name]) => name.length), 0));
    for (const [name, value] of pairs) {
      this.out.append(element("span", { className: "json-name" }, visible(name).padEnd(wide)), `  ${visible(value)}\n`);
    }
    this.more.hidden = true;
    this.find();
  }

  /// Marks every place where the text is.
  find() {
    const wanted = this.search.value.toLowerCase();
    this.found = [];
    this.at = -1;
    if (wanted !== "") {
      const walker = document.createTreeWalker(this.out, NodeFilter.SHOW_TEXT);
      const nodes = [];
      let text = "";
      for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
        nodes.push([text.length, node]);
        text += node.data.toLowerCase().length === node.data.length ? node.data.toLowerCase() : node.data;
      }
      const place = (at) => {
        let [low, high] = [0, nodes.length - 1];
        while (low < high) {
          const middle = (low + high + 1) >> 1;
          if (nodes[middle][0] <= at) low = middle;
          else high = middle - 1;
        }
        return [nodes[low][1], at - nodes[low][0]];
      };
      for (let at = text.indexOf(wanted); at >= 0 && this.found.length < MARKS; at = text.indexOf(wanted, at + wanted.length)) {
        const range = new Range();
        range.setStart(...place(at));
        const [node, offset] = place(at + wanted.length - 1);
        range.setEnd(node, offset + 1);
        this.found.push(range);
      }
    }
    this.mark();
  }

  mark() {
    const said = this.found.length === MARKS ? `${MARKS} or more` : String(this.found.length);
    this.hits.textContent = this.search.value === "" ? "" : this.at < 0 ? `${said} found` : `${this.at + 1} of ${said}`;
    if (typeof Highlight === "undefined") return;
    CSS.highlights.set("found", new Highlight(...this.found));
    CSS.highlights.set("here", new Highlight(...this.found.slice(this.at, this.at + 1).filter(() => this.at >= 0)));
  }

  step(by) {
    if (this.found.length === 0) return;
    this.at = (this.at + by + this.found.length) % this.found.length;
    this.found[this.at].startContainer.parentElement?.scrollIntoView({ block: "nearest" });
    const { out } = this;
    const box = this.found[this.at].getBoundingClientRect();
    const frame = out.getBoundingClientRect();
    if (box.top < frame.top || box.bottom > frame.bottom) out.scrollTop += box.top - frame.top - frame.height / 3;
    this.mark();
  }
}
