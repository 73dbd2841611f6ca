// A server whose responses are made to break a page that shows them, and who asks it.

import http from "node:http";
import net from "node:net";

export const PORT = 8100;
const SCRIPT = "<script>window.ran = true</script><img src=x onerror='window.ran = true'>";
const RTL = "\u202egnp.exe\u202c \u2066hidden\u2069 \u200bzero";

const raw = (head, body = "") => {
  const bytes = Buffer.from(body);
  const fields = `HTTP/1.1 ${head}\r\nConnection: close\r\nContent-Length: ${bytes.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(fields, "latin1"), bytes]);
};

/// By path: what is sent, byte by byte.
export const CASES = {
  "/script": () => raw(`200 OK\r\nContent-Type: text/html\r\nX-Evil: ${SCRIPT}`, `<html>${SCRIPT}<body onload="window.ran = true">`),
  "/json-script": () => raw("200 OK\r\nContent-Type: application/json", JSON.stringify({ "</pre><script>": SCRIPT, deep: [[[["javascript:window.ran = true"]]]] })),
  "/broken-json": () => raw("200 OK\r\nContent-Type: application/json", `{"a": [1, 2, {"b": "c`),
  "/deep": () => raw("200 OK\r\nContent-Type: application/json", "[".repeat(20000)),
  "/huge": () => raw("200 OK\r\nContent-Type: text/plain", "0123456789abcdef ".repeat(3500)),
  "/one-line": () => raw("200 OK\r\nContent-Type: application/json", JSON.stringify(Array.from({ length: 8000 }, (_, n) => n))),
  "/binary": () => raw("200 OK\r\nContent-Type: image/png", Buffer.from(Array.from({ length: 4096 }, (_, n) => n % 256))),
  "/rtl": () => raw("200 OK\r\nContent-Type: text/plain; charset=utf-8", `name: ${RTL}`),
  "/zero": () => raw("200 OK\r\nContent-Type: text/plain", "a\u0000b\u0007c\u001b[31md"),
  "/empty": () => raw("200 OK\r\nContent-Type: application/json"),
  "/latin": () => raw("200 OK\r\nContent-Type: text/html\r\nX-Latin: caf\u00e9 \u0001", Buffer.from([0xff, 0xfe, 0x3c, 0x00])),
  "/long-head": () => raw(`200 OK\r\nContent-Type: text/plain\r\nX-Long: ${"y".repeat(20000)}`, "x"),
  "/odd-type": () => raw('200 OK\r\nContent-Type: "><script>window.ran = true</script>', "x"),
  "/none": () => Buffer.alloc(0),
};

/// Serves them until it is closed.
export const serve = () => new Promise((done) => {
  const server = net.createServer((socket) => {
    socket.once("data", (data) => {
      const path = data.toString("latin1").split(" ")[1]?.split("?")[0];
      const made = CASES[path]?.() ?? raw("404 Not Found", "no");
      socket.end(made);
    });
    socket.on("error", () => {});
  });
  server.listen(PORT, "127.0.0.1", () => done(server));
});

/// Asks for each once; hostile in what it asks, too.
export async function ask() {
  for (const path of Object.keys(CASES)) {
    await new Promise((done) => {
      const headers = { host: "hostile.example", "user-agent": SCRIPT, "x-rtl": encodeURIComponent(RTL) };
      const target = `${path}?q=%3Cscript%3E${encodeURIComponent(RTL)}`;
      const request = http.request({ host: "127.0.0.1", port: PORT, path: target, headers, agent: false }, (response) => {
        response.resume();
        response.on("close", done);
      });
      // Some of it is no HTTP to Node.
      request.on("error", done);
      request.end();
    });
  }
}
