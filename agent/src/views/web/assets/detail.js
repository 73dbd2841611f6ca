// One exchange, as browsers' developer tools show it.

import { BodyView } from "./body.js";
import { bytes, code, day, duration, element, kind, visible } from "./format.js";

const TABS = ["Headers", "Request", "Response", "Timing"];

const value = (message, name) => message?.headers.find(([key]) => key.toLowerCase() === name)?.[1] ?? "";

function pairs(list) {
  const made = element("dl", { className: "pairs-list" });
  for (const [name, text] of list) {
    made.append(element("div", {}, element("dt", {}, element("bdi", {}, visible(name))), element("dd", {}, element("bdi", {}, visible(text)))));
  }
  return made;
}

const part = (title, ...content) => element("section", { className: "part" }, element("h3", {}, title), ...content);

const end = (at) => (at.address.includes(":") ? `[${at.address}]:${at.port}` : `${at.address}:${at.port}`);

const named = (process) => (process ? `${process.name} (${process.pid})` : null);

function general(record) {
  const list = [
    ["URL", `${record.scheme}://${record.host ?? end(record.server)}${record.target}`],
    ["Status", record.status === undefined ? "no response" : `${code(record.status)} ${record.reason ?? ""}`.trim()],
    ["Version", `HTTP/${record.version}${record.stream === undefined ? "" : `, stream ${record.stream}`}`],
    ["Client", [end(record.client), named(record.side === "server" ? record.caller : record.process)].filter(Boolean).join(" · ")],
    ["Server", [end(record.server), named(record.side === "server" ? record.process : null)].filter(Boolean).join(" · ")],
    ["Seen at", `the ${record.side}'s socket`],
  ];
  const { rpc } = record;
  if (rpc) list.push(["Call", `${rpc.protocol} ${rpc.service}/${rpc.method}: ${rpc.status_name ?? rpc.status ?? "no status"} ${rpc.message ?? ""}`.trim()]);
  if (record.tunnel) list.push(["Tunnel", `${end(record.tunnel.client)} → ${end(record.tunnel.server)}${record.tunnel.target ? ` to ${end(record.tunnel.target)}` : ""}`]);
  if (record.interim) list.push(["Interim", record.interim.join(", ")]);
  if (record.reset !== undefined) list.push(["Reset", `error code ${record.reset}`]);
  if (record.upgrade) list.push(["Upgrade", "the connection speaks something else from here on"]);
  if (record.partial) list.push(["Partial", record.partial]);
  if (record.unknown) list.push(["Unknown", record.unknown.join(", ")]);
  const anomalies = [...(record.request.anomalies ?? []), ...(record.response?.anomalies ?? [])];
  if (anomalies.length > 0) list.push(["Anomalies", anomalies.join(", ")]);
  return list;
}

function headers(record) {
  const made = [part("General", pairs(general(record))), part("Request headers", pairs(record.request.headers))];
  if (record.request.trailers) made.push(part("Request trailers", pairs(record.request.trailers)));
  if (record.response) made.push(part("Response headers", pairs(record.response.headers)));
  if (record.response?.trailers) made.push(part("Response trailers", pairs(record.response.trailers)));
  return made;
}

function message(one, name, structure) {
  if (!one) return [element("p", { className: "quiet" }, "No response was seen.")];
  return [new BodyView(one, value(one, "content-type"), name, structure).element];
}

function timing(record, times) {
  const whole = Math.max(1, times.send_ns + times.wait_ns + times.receive_ns);
  const rows = [
    ["Request sent", times.send_ns, 0, "send"],
    ["Waiting", times.wait_ns, times.send_ns, "wait"],
    ["Response received", times.receive_ns, times.send_ns + times.wait_ns, "receive"],
  ];
  const made = element("div", { className: "waterfall" });
  for (const [name, length, before, shade] of rows) {
    const bar = element("i", { className: shade });
    bar.style.marginLeft = `${(100 * before) / whole}%`;
    bar.style.width = `${Math.max(0.5, (100 * length) / whole)}%`;
    made.append(element("span", {}, name), element("span", { className: "track" }, bar), element("b", {}, duration(length / 1000)));
  }
  const millis = Date.parse(record.time);
  const list = [["Started", day(millis)], ["Took", duration(record.duration_ns / 1000)], ["Sent", bytes(record.request.body_size)], ["Received", bytes(record.response?.body_size ?? 0)]];
  return [part("Where the time went", made), part("Totals", pairs(list))];
}

export class Detail {
  constructor({ element: root, fetchOne, onClose, onNotice }) {
    Object.assign(this, { root, fetchOne, onClose, onNotice });
    this.tab = "Headers";
    this.id = null;
    this.shown = null;
  }

  /// Shows one, and says when it is there no more.
  async open(row) {
    this.id = row.id;
    this.root.hidden = false;
    const found = await this.fetchOne(row.id);
    // Another one was selected meanwhile.
    if (this.id !== row.id) return;
    this.shown = found;
    this.row = row;
    if (found === null) this.fallen(row);
    else this.render();
  }

  close() {
    this.id = null;
    this.shown = null;
    this.root.hidden = true;
    this.root.replaceChildren();
    if (typeof Highlight !== "undefined") CSS.highlights.clear();
    this.onClose();
  }

  get isOpen() {
    return this.id !== null;
  }

  closer() {
    return element("button", { className: "close", "aria-label": "Close the exchange", title: "Close (Esc)", onclick: () => this.close() }, "×");
  }

  title(row) {
    const status = element("span", { className: "pill" }, code(row.status) ?? "–");
    status.dataset.kind = kind(row);
    return element("h2", {}, status, element("b", {}, visible(row.method)), element("bdi", {}, visible(row.target)));
  }

  fallen(row) {
    const text = "Newer exchanges needed its room: it is not held any more.";
    this.root.replaceChildren(element("div", { className: "detail-head" }, this.title(row), this.closer()), element("p", { className: "quiet pad" }, text));
  }

  render() {
    const { record, curl, curl_error: refused } = this.shown;
    const copy = element("button", { disabled: !curl, title: refused ?? "Copy as curl (c)", onclick: () => this.copyCurl() }, "Copy as curl");
    const json = element("button", { onclick: () => this.copy(JSON.stringify(record, null, 2), "JSON") }, "Copy JSON");
    const tabs = element("div", { className: "tabs", role: "tablist", "aria-label": "Parts of the exchange" });
    const panel = element("div", { className: "panel", id: "panel", role: "tabpanel", tabIndex: 0 });
    for (const name of TABS) {
      const tab = element("button", { role: "tab", id: `part-${name}`, "aria-controls": "panel", onclick: () => this.show(name) }, name);
      tab.addEventListener("keydown", (event) => this.arrow(event));
      tabs.append(tab);
    }
    this.panel = panel;
    this.tabs = tabs;
    const head = element("div", { className: "detail-head" }, this.title(this.row), this.closer());
    this.root.replaceChildren(head, element("div", { className: "detail-tools" }, tabs, element("span", { className: "push" }), copy, json), panel);
    this.show(this.tab);
  }

  arrow(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    const next = TABS[(TABS.indexOf(this.tab) + step + TABS.length) % TABS.length];
    this.show(next);
    document.getElementById(`part-${next}`).focus();
    event.preventDefault();
  }

  show(name) {
    this.tab = name;
    for (const tab of this.tabs.children) {
      const selected = tab.textContent === name;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
    }
    this.panel.setAttribute("aria-labelledby", `part-${name}`);
    const { record, timing: times, request_messages: asked, response_messages: responded } = this.shown;
    const content = {
      Headers: () => headers(record),
      Request: () => message(record.request, "Request", asked),
      Response: () => message(record.response, "Response", responded),
      Timing: () => timing(record, times),
    };
    if (typeof Highlight !== "undefined") CSS.highlights.clear();
    this.panel.replaceChildren(...content[name]());
    this.panel.scrollTop = 0;
  }

  copyCurl() {
    if (this.shown?.curl) this.copy(this.shown.curl, "The curl command", this.shown.curl_note);
    else this.onNotice(this.shown?.curl_error ?? "Nothing is selected.");
  }

  async copy(text, what, note = null) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // No clipboard without a secure context or a permission: by selection then.
      const area = element("textarea", { value: text, className: "hidden" });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    this.onNotice(`${what} was copied${note ? `: ${note}` : "."}`);
  }
}
