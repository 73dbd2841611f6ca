// A hundred thousand exchanges: they come in by a file, and the list stays smooth.
// Arguments: the page's address.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

import { launch, listed, open, until } from "./browser.mjs";

const [url] = process.argv.slice(2);
const MANY = 100_000;
/// Milliseconds of scripts, styles and layout for each frame of a scroll: a frame has 16.
const WORK = 16;

function document() {
  const file = path.join(os.tmpdir(), `meshtap-many-${process.pid}.har`);
  const out = fs.openSync(file, "w");
  fs.writeSync(out, '{"log":{"version":"1.2","entries":[');
  let chunk = "";
  for (let at = 0; at < MANY; at += 1) {
    const started = new Date(1_700_000_000_000 + at * 7).toISOString();
    const status = at % 50 === 0 ? 503 : at % 11 === 0 ? 404 : 200;
    chunk += `${at === 0 ? "" : ","}${JSON.stringify({ startedDateTime: started, time: 1 + (at % 400), request: { method: "GET", url: `http://shop-${at % 12}.example/items/${at}`, headers: [] }, response: { status, headers: [], content: { size: at % 5000 } } })}`;
    if (chunk.length > 1 << 20) { fs.writeSync(out, chunk); chunk = ""; }
  }
  fs.writeSync(out, `${chunk}]}}`);
  fs.closeSync(out);
  return file;
}

const browser = await launch();
try {
  const { page, context, well } = await open(browser, url);
  const file = document();
  const began = Date.now();
  await page.setInputFiles("#file", file);
  await until(page, (many) => Number(document.getElementById("fig-count").textContent.replace(/\D/g, "")) >= many, MANY);
  console.log(`figure: ${MANY} exchanges imported and listed in ${Date.now() - began} ms`);
  fs.rmSync(file);
  const before = await listed(page);
  assert.ok(before >= MANY, `${before} are listed`);
  const elements = await page.evaluate(() => document.querySelectorAll("*").length);
  assert.ok(elements < 1500, `${elements} elements`);

  const session = await context.newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  console.log(`figure: heap ${(usedSize / 2 ** 20).toFixed(0)} MiB, ${elements} elements`);
  assert.ok(usedSize < 256 * 2 ** 20, `${usedSize} bytes of heap`);

  await page.click("#follow");
  // Time of the processor: other programs run meanwhile.
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  const spent = async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    const parts = ["ScriptDuration", "LayoutDuration", "RecalcStyleDuration"];
    return 1000 * metrics.filter(({ name }) => parts.includes(name)).reduce((sum, { value }) => sum + value, 0);
  };
  const idle = await spent();
  const frames = await page.evaluate(async () => {
    const grid = document.getElementById("grid");
    const times = [];
    const end = grid.scrollHeight - grid.clientHeight;
    const frame = () => new Promise(requestAnimationFrame);
    let last = await frame();
    for (let at = 0; at <= 240; at += 1) {
      // Slowly, then in leaps over all of it.
      grid.scrollTop = at < 120 ? at * 90 : ((at - 120) / 120) * end;
      const now = await frame();
      times.push(now - last);
      last = now;
    }
    return { times: times.sort((a, b) => a - b), rows: document.querySelectorAll("#rows .row:not([hidden])").length };
  });
  const [p50, p95, most] = [0.5, 0.95, 0.999].map((share) => frames.times[Math.floor(share * frames.times.length)]);
  console.log(`figure: frames while scrolling: p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms, longest ${most.toFixed(1)} ms`);
  // Frames also wait for other programs, and for drawing without a graphics card.
  const work = ((await spent()) - idle) / frames.times.length;
  console.log(`figure: work for each frame ${work.toFixed(1)} ms`);
  assert.ok(frames.rows > 10 && work < WORK, `${frames.rows} rows, ${work} ms for each frame`);

  const typed = Date.now();
  await page.fill("#filter", "status:503");
  await until(page, (many) => Number(document.getElementById("fig-count").textContent.replace(/\D/g, "")) === many, MANY / 50);
  console.log(`figure: filtered in ${Date.now() - typed} ms`);
  await page.click("[data-sort=took]");
  await well();
  console.log("passed");
} finally {
  await browser.close();
}
