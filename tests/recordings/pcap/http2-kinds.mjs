// A server and a client by Node's own library: `server PORT`, `client PORT`. Pushes, interim
// responses, trailers, bodies both ways, resets, a refused stream, WebSocket over HTTP/2 (RFC 8441).
import http2 from "node:http2";

const [role, port] = process.argv.slice(2);

function serve() {
  const server = http2.createServer({ settings: { enableConnectProtocol: true } });
  server.on("stream", (stream, headers) => {
    const path = headers[":path"];
    stream.on("error", () => {});
    if (headers[":protocol"] === "websocket") {
      stream.respond({ ":status": 200, "sec-websocket-protocol": "chat" });
      stream.on("data", (bytes) => stream.write(bytes));
      stream.on("end", () => stream.end());
    } else if (path === "/push") {
      for (const name of ["style.css", "script.js"]) {
        stream.pushStream({ ":path": `/${name}`, accept: "*/*" }, (error, pushed) => {
          if (error) throw error;
          pushed.on("error", () => {});
          pushed.respond({ ":status": 200, "content-type": "text/plain" });
          pushed.end(name.repeat(500));
        });
      }
      stream.respond({ ":status": 200 });
      stream.end("<html></html>");
    } else if (path === "/trailers") {
      stream.respond({ ":status": 200, "x-kind": "trailers" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "12345" }));
      stream.end("body with trailers");
    } else if (path === "/interim") {
      stream.additionalHeaders({ ":status": 103, link: "</style.css>" });
      stream.respond({ ":status": 204 }, { endStream: true });
    } else if (path === "/reset") {
      stream.respond({ ":status": 200 });
      stream.write("some");
      stream.on("data", () => {});
      setTimeout(() => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR), 20);
    } else if (path === "/slow") {
      stream.on("data", () => {});
    } else {
      let size = 0;
      stream.on("data", (bytes) => (size += bytes.length));
      stream.on("end", () => {
        stream.respond({ ":status": 201, "x-size": String(size), "x-path": path });
        stream.end("r".repeat(size));
      });
    }
  });
  server.listen(Number(port), "127.0.0.1");
}

function call(session, headers, body, act = () => {}) {
  return new Promise((resolve) => {
    const stream = session.request(headers, { endStream: body === undefined });
    stream.on("error", () => {});
    stream.on("close", resolve);
    stream.on("data", () => {});
    act(stream);
    if (typeof body === "string") stream.end(body);
  });
}

async function ask() {
  for (let connection = 0; connection < 3; connection++) {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    session.on("stream", (pushed) => {
      pushed.on("error", () => {});
      pushed.on("data", () => {});
    });
    await new Promise((resolve) => session.once("remoteSettings", resolve));
    for (let round = 0; round < 4; round++) {
      const extra = { "x-round": `${connection}.${round}`, cookie: ["a=1", `b=${round}`] };
      await Promise.all([
        call(session, { ":path": "/push", ...extra }),
        call(session, { ":path": "/trailers", ...extra }),
        call(session, { ":path": "/interim", ...extra }),
        call(session, { ":path": "/reset", ":method": "POST", ...extra }, "up"),
        call(session, { ":path": `/echo?${round}`, ":method": "PUT", ...extra }, "b".repeat(3000 * round)),
        call(session, { ":path": "/slow", ...extra }, undefined, (stream) =>
          setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), 10),
        ),
        call(
          session,
          { ":method": "CONNECT", ":protocol": "websocket", ":path": "/chat", ...extra },
          null,
          (stream) => {
            // Two masked texts, and the end.
            stream.write(Buffer.from([0x81, 0x85, 1, 2, 3, 4, 0x69, 0x67, 0x6f, 0x68, 0x6e]));
            stream.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
            stream.end(Buffer.from([0x88, 0x80, 0, 0, 0, 0]));
          },
        ),
      ]);
    }
    session.close();
    await new Promise((resolve) => session.once("close", resolve));
  }
}

role === "server" ? serve() : await ask();
