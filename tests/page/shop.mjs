// A small shop: services that call each other, each a process with a name of its own, and people
// who buy. Prints nothing; ends with its parent.

import { fork } from "node:child_process";
import http from "node:http";
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";

const PORTS = { gateway: 8000, cart: 8001, catalog: 8002, stock: 8003, payment: 8004 };
const agent = new http.Agent({ keepAlive: true });

/// Numbers that are the same in each run.
let seed = 7;
const random = () => {
  seed = (seed * 1103515245 + 12345) % 2147483648;
  return seed / 2147483648;
};
const pause = (millis) => new Promise((done) => setTimeout(done, millis));

function call(name, path, { method = "GET", body = null, headers = {} } = {}) {
  return new Promise((done) => {
    const options = { host: "127.0.0.1", port: PORTS[name], path, method, agent, headers: { host: `${name}.shop`, ...headers } };
    const request = http.request(options, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => done({ status: response.statusCode, body: Buffer.concat(chunks) }));
      response.on("error", () => done({ status: 0 }));
    });
    request.on("error", () => done({ status: 0 }));
    request.end(body);
  });
}

const json = (response, status, value, zip = false) => {
  const body = Buffer.from(JSON.stringify(value));
  const headers = { "content-type": "application/json", "x-trace": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" };
  if (zip) headers["content-encoding"] = "gzip";
  response.writeHead(status, headers).end(zip ? gzipSync(body) : body);
};
const items = (many) => Array.from({ length: many }, (_, id) => ({ id, name: `Tea no. ${id}`, price: (4.5 + id * 0.35).toFixed(2), tags: ["organic", "loose leaf"], stock: { berlin: id * 3, oslo: 12 - id } }));

const SERVICES = {
  async gateway(request, response) {
    const name = request.url.startsWith("/cart") || request.url.startsWith("/orders") ? "cart" : "catalog";
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const got = await call(name, request.url, { method: request.method, body: Buffer.concat(chunks), headers: { "content-type": "application/json", authorization: "Bearer s3cr3t-token-of-a-customer" } });
    response.writeHead(got.status || 502, { "content-type": "application/json" }).end(got.body);
  },
  async cart(request, response) {
    await pause(2 + random() * 8);
    if (request.url.startsWith("/orders")) {
      const paid = await call("payment", "/charges", { method: "POST", body: JSON.stringify({ amount: 1450, currency: "EUR", card: "4111 1111 1111 1111" }) });
      return json(response, paid.status === 200 ? 201 : 502, { order: 4711, state: paid.status === 200 ? "paid" : "refused" });
    }
    await call("stock", "/levels?sku=tea-4");
    return json(response, 200, { cart: items(2), total: "9.35" });
  },
  async catalog(request, response) {
    await pause(1 + random() * 20);
    if (request.url.includes("/missing")) return json(response, 404, { error: "no such tea" });
    await call("stock", "/levels");
    return json(response, 200, { items: items(8), next: "/catalog?page=2" }, true);
  },
  async stock(request, response) {
    await pause(random() < 0.1 ? 120 : 3);
    json(response, 200, { levels: { berlin: 3, oslo: 12 } });
  },
  async payment(request, response) {
    await pause(30 + random() * 90);
    if (random() < 0.25) return json(response, 503, { error: "the bank does not respond" });
    return json(response, 200, { charge: "ch_81", captured: true });
  },
};

async function shopper() {
  const visits = [["GET", "/catalog?page=1"], ["GET", "/catalog/tea-4"], ["GET", "/catalog/missing"], ["POST", "/cart/items"], ["GET", "/cart"], ["POST", "/orders"]];
  for (let at = 0; ; at += 1) {
    const [method, path] = visits[Math.floor(random() * visits.length)];
    const body = method === "POST" ? JSON.stringify({ sku: "tea-4", count: 1 + (at % 3) }) : null;
    call("gateway", path, { method, body, headers: { "user-agent": "Shopper/1.0", "content-type": "application/json" } });
    await pause(20 + random() * 60);
  }
}

const [role] = process.argv.slice(2);
if (role) {
  process.title = role;
  process.on("disconnect", () => process.exit());
  if (role === "shopper") shopper();
  else http.createServer((request, response) => SERVICES[role](request, response).catch(() => response.destroy())).listen(PORTS[role], "127.0.0.1", () => process.send("ready"));
} else {
  const self = fileURLToPath(import.meta.url);
  // The gateway last: whoever waits for it waits for all.
  for (const name of ["stock", "payment", "catalog", "cart", "gateway"]) {
    const child = fork(self, [name]);
    await new Promise((done) => child.once("message", done));
  }
  fork(self, ["shopper"]);
}
