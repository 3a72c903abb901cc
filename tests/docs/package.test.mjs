// What the documentation calls the npm package, and its tarballs, is what they are called.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { PARTS, fileOf, source } from "../../npm/pack.mjs";

const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const below = (directory, ending) =>
  fs.readdirSync(path.join(repository, directory), { recursive: true })
    .filter((file) => ending.test(file) && !file.includes("node_modules"))
    .map((file) => path.join(directory, file));
const files = ["README.md", "CONTRIBUTING.md", "npm/README.md", ...below("docs", /\.md$/), ...below("launch-configs", /\.(md|xml|json)$/)];
const read = (file) => fs.readFileSync(path.join(repository, file), "utf8");

test("the package is called as in `npm/package.json`", () => {
  const wrong = files.flatMap((file) => [...read(file).matchAll(/@[\w-]+\/sst\b/g)].filter(([name]) => name !== source.name).map(([name]) => `${file}: ${name}`));
  assert.deepEqual(wrong, []);
  // The page about the name itself says what that command would do.
  const others = /npm install (--[\w-]+ )*sst\b|node_modules\/sst\b/;
  assert.deepEqual(files.filter((file) => others.test(read(file))), ["docs/coming-from-sst-v1.md"]);
  for (const file of ["docs/getting-started.md", "docs/coming-from-sst-v1.md", "npm/README.md"]) assert.ok(read(file).includes(source.name), file);
});

test("tarballs are called as `make package` calls them", () => {
  const names = PARTS.map(fileOf);
  const written = read("docs/getting-started.md").match(/packages\/(\S+)\{(\S+)\}\.tgz/);
  for (const end of written[2].split(",")) assert.ok(names.includes(`${written[1]}${end}.tgz`), end);
});
