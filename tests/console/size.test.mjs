// The page is small: it is a part of the program, and everything in it is read at once.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const MOST = 60 * 1024;

const directory = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../console");
const served = fs.readdirSync(directory, { recursive: true }).filter((name) => /\.(html|css|svg|mjs)$/.test(name));

test("the page has at most 60 KB, compressed", () => {
  assert.ok(served.length > 20, `${served}`);
  const sizes = served.map((name) => gzipSync(fs.readFileSync(path.join(directory, name)), { level: 9 }).length);
  const all = sizes.reduce((sum, size) => sum + size, 0);
  assert.ok(all <= MOST, `${all} bytes`);
});

test("nothing makes code or markup of a text", () => {
  for (const name of served.filter((name) => name.endsWith(".mjs") && !name.startsWith("vendor"))) {
    const text = fs.readFileSync(path.join(directory, name), "utf8");
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc/, name);
  }
});
