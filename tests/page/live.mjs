// The page beside a running `meshtap tap`, while a shop sells and a hostile server responds.
// Arguments: the page's address.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";

import { accessible, ask, filter, launch, listed, open, picture, rows, until } from "./browser.mjs";
import * as hostile from "./hostile.mjs";

const [url] = process.argv.slice(2);
const step = (name) => console.log(`step: ${name}`);
const browser = await launch();
const server = await hostile.serve();

async function refusals() {
  step("refusals");
  const { host, pathname, port } = new URL(url);
  const wrong = `http://${host}/${"A".repeat(pathname.length - 2)}/`;
  for (const other of [wrong, `http://${host}/`, `http://${host}/api/state`]) {
    const got = await ask(other);
    assert.equal(got.status, 403, other);
    assert.ok(!got.text.includes("<"), got.text);
  }
  for (const name of ["evil.example", `evil.example:${port}`, `127.0.0.1.evil.example:${port}`]) {
    assert.equal((await ask(url, { headers: { host: name } })).status, 421, name);
  }
  const got = await ask(url);
  assert.equal(got.status, 200);
  assert.match(got.headers["content-security-policy"], /^default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'/);
  assert.equal(got.headers["access-control-allow-origin"], undefined);
}

async function everything() {
  const { page, problems, well } = await open(browser, url);
  step("live rows");
  await until(page, () => Number(document.getElementById("fig-count").textContent.replace(/\D/g, "")) > 30);
  const link = await page.locator("#link").textContent();
  assert.equal(link, "live");

  step("pause and follow");
  await page.keyboard.press("p");
  const came = (many) => until(page, (wanted) => Number(/ (\d+) new/.exec(document.getElementById("pause").textContent)?.[1]) >= wanted, many);
  // Figures are made now and then.
  await came(20);
  const held = await listed(page);
  await came(50);
  assert.equal(await listed(page), held);
  await page.keyboard.press("p");
  await until(page, (before) => Number(document.getElementById("fig-count").textContent.replace(/\D/g, "")) > before, held);
  await page.locator("#grid").hover();
  await page.mouse.wheel(0, -2000);
  await until(page, () => document.getElementById("follow").getAttribute("aria-pressed") === "false");
  await page.keyboard.press("f");
  await until(page, () => { const grid = document.getElementById("grid"); return grid.scrollHeight - grid.scrollTop - grid.clientHeight < 60; });

  step("hostile responses");
  await hostile.ask();
  const cases = Object.keys(hostile.CASES);
  await filter(page, "host:hostile.example", cases.length);
  await page.fill("#filter", "nonsense:x");
  await page.waitForSelector("#filter[aria-invalid=true]");
  assert.match(await page.locator("#filter-note").textContent(), /no kind of term/);
  for (const name of cases) {
    await filter(page, `host:hostile.example path:${name}?`, 1);
    await until(page, (wanted) => document.querySelector("#rows .row:not([hidden]) .target").textContent.startsWith(`${wanted}?`), name);
    await rows(page).first().locator(".where").click();
    await until(page, (wanted) => document.querySelector("#detail h2 bdi")?.textContent.startsWith(`${wanted}?`), name);
    const headers = await page.locator("#detail .panel").textContent();
    assert.ok(headers.includes("<script>window.ran = true</script>"), `${name}: ${headers}`);
    assert.ok(!/[\u202a-\u202e\u2066-\u2069]/.test(headers), name);
    await page.click("#part-Response");
    await well();
    await hostileBody(page, name);
    await page.click("#part-Headers");
  }
  await well();

  step("copy as curl");
  await page.click("#detail .close");
  await filter(page, "host:hostile.example path:/broken-json", 1);
  await until(page, () => document.querySelector("#rows .row:not([hidden]) .target").textContent.startsWith("/broken-json"));
  await page.locator("#grid").focus();
  await page.keyboard.press("g");
  await page.keyboard.press("c");
  await until(page, () => document.getElementById("notice").textContent.includes("copied"));
  const command = await page.evaluate(() => navigator.clipboard.readText());
  // The server that responds is in this process.
  const { stdout: again } = await promisify(execFile)("bash", ["-c", command]);
  assert.ok(again.endsWith('{"a": [1, 2, {"b": "c'), again);
  await until(page, () => Number(document.getElementById("fig-count").textContent.replace(/\D/g, "")) === 2);
  await page.keyboard.press("Escape");

  step("keyboard alone");
  await page.keyboard.press("/");
  await page.keyboard.type("host:hostile.example");
  await page.keyboard.press("Control+a");
  await page.keyboard.type("process:payment");
  await until(page, () => document.getElementById("filter-note").textContent === "" && document.querySelectorAll("#rows .row:not([hidden])").length > 0);
  await page.keyboard.press("Enter");
  await page.keyboard.press("g");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#detail .panel");
  await page.keyboard.press("Escape");
  await page.waitForSelector("#detail", { state: "hidden" });
  assert.equal(await page.evaluate(() => document.activeElement.id), "grid");

  step("redaction");
  await page.fill("#filter", "process:cart header:authorization");
  await until(page, () => /→ cart/.test(document.querySelector("#rows .row:not([hidden]) .pair")?.textContent));
  await rows(page).first().locator(".where").click();
  await page.waitForSelector("#detail .panel dl");
  const text = await page.locator("#detail .panel").textContent();
  assert.ok(text.includes("[redacted:") && !text.includes("s3cr3t"), text);
  await page.keyboard.press("Escape");

  step("service map");
  await page.fill("#filter", "");
  await page.keyboard.press("Escape");
  await page.click("#tab-map");
  await until(page, () => ["gateway", "cart", "catalog", "stock", "payment"].every((name) => document.getElementById("pairs").textContent.includes(name)));
  const boxes = await page.locator("#map .box").count();
  assert.ok(boxes >= 6, `${boxes} boxes`);
  const pair = page.locator("#pairs tr", { hasText: /gateway.*cart/ }).first();
  await pair.locator("button").click();
  await page.waitForSelector("#edge:not([hidden])");
  await until(page, () => [...document.querySelectorAll("#rows .row:not([hidden]) .pair")].every((cell) => /^gateway(:\d+)? → cart:\d+$/.test(cell.textContent)));
  await page.click("#edge-clear");

  step("sort");
  await page.click("[data-sort=took]");
  await until(page, () => document.querySelector("[data-sort=took]").parentElement.getAttribute("aria-sort") === "descending");
  await page.click("[data-sort=time]");

  await exchanged(page, problems);
  await well();

  step("its own traffic");
  const own = JSON.parse((await ask(`${url}api/match?filter=port:${new URL(url).port}`)).text);
  assert.deepEqual(own.ranges, []);
  await page.context().close();
}

async function hostileBody(page, name) {
  console.log(`step: ${name}`);
  const body = () => page.locator("#detail .body").textContent();
  if (name === "/binary") {
    assert.match(await body(), /^00000000  /);
  } else if (name === "/script") {
    assert.ok((await body()).includes("<script>"), await body());
  } else if (name === "/zero") {
    assert.equal(await body(), "a\\x00b\\x07c\\x1b[31md");
  } else if (name === "/rtl") {
    assert.ok((await body()).includes("\\u{202e}gnp.exe"), await body());
  } else if (name === "/huge") {
    await page.fill("#detail .body-tools input", "F 0123");
    await until(page, () => document.querySelector(".hits").textContent === "3499 found");
    await page.keyboard.press("Enter");
    assert.equal(await page.locator(".hits").textContent(), "1 of 3499");
  } else if (name === "/json-script") {
    assert.match(await body(), /^{\n  "<\/pre><script>": "/);
    await page.getByRole("button", { name: "Hex", exact: true }).click();
    assert.match(await body(), /^00000000  7b 22 3c/);
  } else if (name === "/one-line") {
    assert.match(await body(), /^\[\n  0,\n  1,\n/);
  }
}

/// Out as a HAR document, and in again by a drop.
async function exchanged(page, problems) {
  step("export and import");
  const total = Object.keys(hostile.CASES).length + 1;
  await filter(page, "host:hostile.example", total);
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#export")]);
  const file = path.join(os.tmpdir(), `meshtap-page-${process.pid}.har`);
  await download.saveAs(file);
  const document = fs.readFileSync(file, "utf8");
  fs.rmSync(file);
  assert.equal(JSON.parse(document).log.entries.length, total);
  const drop = async (name, content) => {
    const data = await page.evaluateHandle(([title, text]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([text], title));
      return transfer;
    }, [name, content]);
    await page.dispatchEvent("main", "drop", { dataTransfer: data });
  };
  await drop("again.har", document);
  await filter(page, "host:hostile.example", 2 * total);
  await drop("none.har", "this is none");
  await until(page, () => document.getElementById("notice").textContent.includes("neither a HAR document"));
  // The browser notes a refused request, and nothing else is wrong.
  assert.match(problems.splice(0).join(), /^error: Failed to load resource: .* 422 [^,]*$/);
  await page.fill("#filter", "");
}

/// What people see, at three sizes, and for everybody.
async function seen() {
  for (const [name, width, height, scheme] of [["wide", 1280, 800, "light"], ["dark", 1280, 800, "dark"], ["narrow", 390, 844, "light"], ["tablet", 820, 1180, "dark"]]) {
    step(`seen ${name}`);
    const { page, well } = await open(browser, url, { width, height, scheme });
    await page.fill("#filter", "-host:hostile.example");
    await until(page, () => document.querySelectorAll("#rows .row:not([hidden])").length > 8 && !document.getElementById("fig-p95").textContent.startsWith("–"));
    await accessible(page, `${name}: the list`);
    await picture(page, `page-${name}-list`);
    await page.fill("#filter", "-host:hostile.example process:catalog path:/catalog?");
    await until(page, () => {
      const targets = [...document.querySelectorAll("#rows .row:not([hidden]) .target")];
      return targets.length > 2 && targets.every((target) => target.textContent.startsWith("/catalog?"));
    });
    await rows(page).nth(1).locator(".where").click();
    await page.waitForSelector("#detail .panel dl");
    await accessible(page, `${name}: the headers`);
    await picture(page, `page-${name}-headers`);
    await page.click("#part-Response");
    await page.fill("#detail .body-tools input", "price");
    await accessible(page, `${name}: the body`);
    await picture(page, `page-${name}-body`);
    await page.click("#part-Timing");
    await accessible(page, `${name}: the timing`);
    await page.click("#detail .close");
    await page.fill("#filter", "-host:hostile.example");
    await page.click("#tab-map");
    await until(page, () => document.querySelectorAll("#map .box").length >= 6);
    await accessible(page, `${name}: the map`);
    await picture(page, `page-${name}-map`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wide, 0, `${name}: it scrolls sideways`);
    await well();
    await page.context().close();
  }
}

try {
  await refusals();
  await everything();
  await seen();
  console.log("passed");
} finally {
  server.close();
  await browser.close();
}
