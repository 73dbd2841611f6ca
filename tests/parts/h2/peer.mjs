// A server and a client of HTTP/2 with prior knowledge, by Node's own library: `server PORT`, and
// `client PORT CONNECTIONS STREAMS BEFORE AFTER`. See peer.py for what each says.
import http2 from "node:http2";

const [role, port, ...numbers] = process.argv.slice(2);

function fields(prefix, id, epoch) {
  const all = { [`${prefix}-id`]: String(id) };
  for (let at = 0; at < 12; at++) {
    const mixed = ((id * 12 + at) * 40503) % 65536;
    if (mixed % 3 !== 0) {
      const value = Math.floor(mixed / 3) % 4;
      all[`${prefix}-name-${epoch}-${at}`] = `${prefix}${at} is ${value}`;
    }
  }
  return all;
}

const body = (id, long) => String(id) + (id % long === 0 ? ".".repeat(20000) : "");

function serve() {
  const server = http2.createServer();
  server.on("stream", (stream, headers) => {
    const [id, epoch] = [Number(headers["x-id"]), Number(headers["x-epoch"])];
    stream.on("data", () => {});
    stream.on("end", () => {
      stream.respond({ ":status": 200, ...fields("y", id, epoch) });
      stream.end(body(id, 7));
    });
  });
  server.listen(Number(port), "127.0.0.1");
}

function call(session, id, epoch) {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ":method": "POST",
      ":path": "/late",
      "x-epoch": String(epoch),
      ...fields("x", id, epoch),
    });
    let received = "";
    stream.setEncoding("latin1");
    stream.on("data", (text) => (received += text));
    stream.on("error", reject);
    stream.on("end", () =>
      received === body(id, 7) ? resolve() : reject(new Error(received.slice(0, 50))),
    );
    stream.end(body(id, 11));
  });
}

async function ask() {
  const [connections, streams, before, after] = numbers.map(Number);
  let started = false;
  let warm = 0;
  const one = async (connection) => {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    let counted = 0;
    for (let round = 0; counted < after; round++) {
      const counts = started;
      const ids = [];
      for (let stream = 0; stream < streams; stream++) {
        ids.push((round * streams + stream) * connections + connection);
      }
      const epoch = (id) => Math.floor(id / (connections * streams * 5));
      await Promise.all(ids.map((id) => call(session, id, epoch(id))));
      if (counts) {
        counted++;
        console.log(ids.join(" "));
      }
      if (round === before && ++warm === connections) {
        console.log("warm");
      }
    }
    session.close();
  };
  process.stdin.once("data", () => {
    started = true;
    process.stdin.pause();
  });
  await Promise.all(Array.from({ length: connections }, (_, connection) => one(connection)));
  // Whoever else has not closed a connection.
  process.exit();
}

role === "server" ? serve() : await ask();
