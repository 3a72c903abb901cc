// What the page has of others is what their packages have, file by file. Browsers know no packages, so what one file imports of another is
// named by its file.
//
// Environment: UPDATE_VENDOR=1 takes the files from the packages that are installed.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const vendor = path.join(repository, "console/vendor");
const require = createRequire(path.join(repository, "tests/fixtures/package.json"));

/** Our name of a file → what packages call it when they import it, and where it is. */
const FILES = {
  "preact.mjs": { package: "preact", file: "dist/preact.mjs", name: "preact" },
  "hooks.mjs": { package: "preact", file: "hooks/dist/hooks.mjs", name: "preact/hooks" },
  "htm.mjs": { package: "htm", file: "dist/htm.mjs", name: "htm" },
  "signals-core.mjs": { package: "@preact/signals-core", file: "dist/signals-core.mjs", name: "@preact/signals-core" },
  "signals.mjs": { package: "@preact/signals", file: "dist/signals.mjs", name: "@preact/signals" },
};

const directoryOf = (name) => require.resolve.paths(name).map((place) => path.join(place, name)).find((place) => fs.existsSync(place));
const sha256 = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");

/** A file of a package with its imports named by our files, and without a map that is not there. */
function taken(text) {
  const local = (whole, before, name) => {
    const found = Object.entries(FILES).find(([, file]) => file.name === name);
    assert.ok(found, `\`${name}\` is imported, and no file`);
    return `${before}"./${found[0]}"`;
  };
  return text.replace(/(\bfrom\s*|\bimport\s*)"([^"]+)"/g, local).replace(/\n?\/\/# sourceMappingURL=.*\n?$/, "\n");
}

test("the files are those of the packages", () => {
  const list = [];
  for (const [name, { package: from, file }] of Object.entries(FILES)) {
    const directory = directoryOf(from);
    const original = fs.readFileSync(path.join(directory, file), "utf8");
    const { version, license } = JSON.parse(fs.readFileSync(path.join(directory, "package.json"), "utf8"));
    const text = taken(original);
    if (process.env.UPDATE_VENDOR) fs.writeFileSync(path.join(vendor, name), text);
    assert.equal(fs.readFileSync(path.join(vendor, name), "utf8"), text, `${name} is not that of ${from}@${version}: UPDATE_VENDOR=1 takes it`);
    list.push({ name, package: from, version, license, file, sha256: sha256(text), original: sha256(original) });
  }
  const index = path.join(vendor, "index.json");
  const text = `${JSON.stringify(list, null, 2)}\n`;
  if (process.env.UPDATE_VENDOR) fs.writeFileSync(index, text);
  assert.equal(fs.readFileSync(index, "utf8"), text);
  const others = fs.readdirSync(vendor).filter((name) => name.endsWith("js") && !(name in FILES));
  assert.deepEqual(others, []);
});

test("their licences go with the program", () => {
  const licences = fs.readFileSync(path.join(vendor, "LICENSES.txt"), "utf8");
  for (const name of new Set(Object.values(FILES).map((file) => file.package))) {
    const directory = directoryOf(name);
    const file = fs.readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry));
    assert.ok(licences.includes(fs.readFileSync(path.join(directory, file), "utf8").trim()), `the licence of ${name} is missing`);
  }
});
