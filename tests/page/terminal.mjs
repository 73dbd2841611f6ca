// Draws what a terminal shows as a terminal emulator does, in a real browser.
// Arguments: a name, the columns, and a file with the text and its colours (ECMA-48 SGR).

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";

import { PICTURES, launch } from "./browser.mjs";

const [name, columns, file] = process.argv.slice(2);
const [BACKGROUND, FOREGROUND] = ["#1b1e24", "#d6dae0"];
/// The eight colours, as VS Code's terminal has them.
const COLOURS = ["#000000", "#f14c4c", "#23d18b", "#e5c07b", "#3b8eea", "#d670d6", "#29b8db", "#e5e5e5"];

const escaped = (text) => text.replace(/[&<>]/g, (one) => `&#${one.charCodeAt(0)};`);

/// Codes → what is in force after them.
function changed(before, codes) {
  const style = { ...before };
  const rest = codes.split(";").map(Number);
  while (rest.length > 0) {
    const code = rest.shift();
    if (code === 38) {
      const [kind, index] = rest.splice(0, 2);
      assert.ok(kind === 5 && index < COLOURS.length, `${name}: a colour that is not known: ${codes}`);
      style.colour = COLOURS[index];
    } else if (code === 0) Object.assign(style, { bold: false, dim: false, reversed: false, colour: null });
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 7) style.reversed = true;
    else if (code === 22) Object.assign(style, { bold: false, dim: false });
    else if (code === 27) style.reversed = false;
    else if (code >= 30 && code < 38) style.colour = COLOURS[code - 30];
    else if (code === 39) style.colour = null;
    else assert.equal(code, 49, `${name}: a code that is not known`);
  }
  return style;
}

function css({ bold, dim, reversed, colour }) {
  const ink = colour ?? FOREGROUND;
  const [front, back] = reversed ? [BACKGROUND, ink] : [ink, "transparent"];
  return `color:${front};background:${back};font-weight:${bold ? 700 : 400};opacity:${dim ? 0.65 : 1}`;
}

function html(text) {
  let style = changed({}, "0");
  return text.split("\n").map((line) => {
    const parts = line.split(/\x1b\[([0-9;]*)m/);
    return `<div>${parts.map((part, at) => {
      if (at % 2 === 1) {
        style = changed(style, part);
        return "";
      }
      return part === "" ? "" : `<span style="${css(style)}">${escaped(part)}</span>`;
    }).join("")}&#8203;</div>`;
  }).join("");
}

const text = fs.readFileSync(file, "utf8").replace(/\n$/, "");
const browser = await launch();
try {
  const page = await browser.newPage({ viewport: { width: 1600, height: 1000 } });
  const screen = "padding:12px 16px;display:inline-block;border-radius:8px;font:15px/20px 'DejaVu Sans Mono',monospace;white-space:pre";
  await page.setContent(`<body style="margin:0"><div id="screen" style="${screen};background:${BACKGROUND}">${html(text)}<i id="cell" style="position:absolute;visibility:hidden">${"0".repeat(100)}</i></div>`);
  const seen = await page.evaluate(() => {
    const lines = [...document.querySelectorAll("#screen > div")];
    const width = (line) => [...line.children].reduce((sum, span) => sum + span.getBoundingClientRect().width, 0);
    return { text: lines.map((line) => line.textContent.replaceAll("\u200b", "")), widths: lines.map(width), cell: document.getElementById("cell").getBoundingClientRect().width / 100 };
  });
  assert.deepEqual(seen.text, text.replace(/\x1b\[[0-9;]*m/g, "").split("\n"));
  // A character that the font lacks has another width, and its line is out of step.
  seen.widths.forEach((width, at) => {
    const cells = seen.text[at].length;
    assert.ok(cells <= Number(columns) && Math.abs(width - cells * seen.cell) < 1, `${name}: line ${at}: ${seen.text[at]}`);
  });
  if (PICTURES) await page.locator("#screen").screenshot({ path: path.join(PICTURES, `terminal-${name}.png`), omitBackground: true });
  console.log("passed");
} finally {
  await browser.close();
}
