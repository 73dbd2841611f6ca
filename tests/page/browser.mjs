// A real browser, and what a test asks of every page: that nothing went wrong in it.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import http from "node:http";
import path from "node:path";

const modules = createRequire(path.join(process.env.MESHTAP_PAGE_MODULES, "node_modules/"));
const { chromium } = modules("playwright-core");
export const AXE = modules.resolve("axe-core/axe.min.js");
export const PICTURES = process.env.MESHTAP_PICTURES;
/// A debug build on a busy machine of two cores takes its time.
export const TIMEOUT = 60_000;

/// A test that hangs says where.
setTimeout(() => {
  console.error("it takes too long");
  process.exit(1);
}, 5 * TIMEOUT).unref();

export const launch = () => chromium.launch({
  executablePath: process.env.MESHTAP_CHROMIUM ?? "/usr/bin/chromium",
  // The test is root, in a network of its own.
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});

/// A page, and what went wrong in it.
export async function open(browser, url, { width = 1280, height = 800, scheme = "light" } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, acceptDownloads: true, timezoneId: "UTC" });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(url).origin });
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT);
  const problems = [];
  page.on("console", (message) => { if (message.type() !== "log" && message.type() !== "info") problems.push(`${message.type()}: ${message.text()}`); });
  page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => { problems.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  const origin = new URL(url).origin;
  page.on("request", (request) => { if (!request.url().startsWith(origin) && !request.url().startsWith("blob:")) problems.push(`elsewhere: ${request.url()}`); });
  await page.goto(url);
  const well = async () => {
    assert.equal(await page.evaluate(() => window.ran), undefined, "a script of the traffic has run");
    assert.deepEqual(problems, []);
  };
  return { page, context, problems, well };
}

/// How many are listed.
export const listed = async (page) => Number((await page.locator("#fig-count").textContent()).replace(/\D/g, ""));
export const until = (page, check, argument) => page.waitForFunction(check, argument, { timeout: TIMEOUT, polling: 100 });
export const rows = (page) => page.locator("#rows .row:not([hidden])");

/// Types a filter, and waits until it is in force.
export async function filter(page, text, many) {
  await page.fill("#filter", text);
  await until(page, ([wanted]) => Number(document.getElementById("fig-count").textContent.replace(/\D/g, "")) === wanted, [many]);
}

/// A request as no browser would send it.
export const ask = (url, { headers = {}, method = "GET", body = null } = {}) => new Promise((done, failed) => {
  const request = http.request(url, { method, headers, agent: false, setHost: headers.host === undefined }, (response) => {
    const chunks = [];
    response.on("data", (chunk) => chunks.push(chunk));
    response.on("end", () => done({ status: response.statusCode, headers: response.headers, text: Buffer.concat(chunks).toString() }));
  });
  request.on("error", failed);
  request.end(body);
});

/// Nothing that axe knows to be wrong for somebody.
export async function accessible(page, what) {
  // The page's own policy lets no script in: axe comes by the debugger, beside the policy.
  const fs = await import("node:fs");
  await page.evaluate(fs.readFileSync(AXE, "utf8"));
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const said = found.violations.map((one) => `${one.id} (${one.impact}): ${one.nodes.map((node) => `${node.target} ${node.failureSummary}`).join("; ").slice(0, 600)}`);
  assert.deepEqual(said, [], what);
}

/// Those that the documentation shows.
const KEPT = ["page-wide-list", "page-wide-body", "page-dark-map", "page-narrow-list", "page-narrow-map", "page-tablet-list"];

export async function picture(page, name) {
  if (PICTURES && (KEPT.includes(name) || process.env.MESHTAP_PICTURES_ALL)) await page.screenshot({ path: path.join(PICTURES, `${name}.png`) });
}
