// A function finds packages that Lambda's runtime would bring along and the project has not installed.

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";

import { runOnce, tree } from "./support.mjs";

const says = (text) => `module.exports = ${JSON.stringify(text)};`;

/** A package with a different file for each way to load it. */
const conditional = (name) => ({
  [`${name}/package.json`]: {
    name: path.basename(name),
    exports: {
      ".": { import: "./main.mjs", require: "./main.cjs" },
      "./sub": { import: "./sub.mjs", require: "./sub.cjs" },
    },
  },
  [`${name}/main.mjs`]: `import dependency from "dependency"; export default "imported, with " + dependency;`,
  [`${name}/main.cjs`]: `module.exports = "required, with " + require("dependency");`,
  [`${name}/sub.mjs`]: `export default "imported sub";`,
  [`${name}/sub.cjs`]: says("required sub"),
});

const FILES = {
  ...conditional("store/cache/node_modules/given"),
  ...conditional("store/cache/node_modules/@scope/given"),
  "store/cache/node_modules/dependency/index.js": says("a provided dependency"),
  "store/cache/node_modules/plain/lib/part.js": says("part"),
  "store/cache/node_modules/own/index.js": says("not the project's"),
  "store/cache/node_modules/own/given.js": says("not the project's"),
  "store/cache/node_modules/mainless/index.js": says("not the project's"),
  // Node would look here next, but the function's code is elsewhere.
  "store/node_modules/above/index.js": says("above"),
  "project/code/node_modules/own/index.js": says("the project's"),
  "project/code/node_modules/mainless/part.js": says("the project's"),
  "project/code/node_modules/library/index.js": `module.exports = "library, with " + require("dependency");`,
  "project/code/module.mjs": `
    import { execFileSync } from "node:child_process";
    import { createRequire } from "node:module";
    import own from "own";
    import library from "library";
    import given from "given";
    import sub from "given/sub";
    import scoped from "@scope/given/sub";
    import part from "plain/lib/part.js";
    const require = createRequire(import.meta.url);
    export const handler = async () => ({
      own, library, given, sub, scoped, part,
      dynamic: (await import("given")).default,
      required: require("given"),
      child: execFileSync(process.execPath, ["-p", "require('given')"], { encoding: "utf8", cwd: "/" }).trim(),
      nodePath: process.env.NODE_PATH,
      variables: Object.keys(process.env).filter((name) => name.startsWith("SST_")),
    });`,
  "project/code/common.cjs": `
    const { execFileSync } = require("node:child_process");
    const own = require("own");
    const library = require("library");
    const given = require("given");
    const sub = require("given/sub");
    const scoped = require("@scope/given/sub");
    const part = require("plain/lib/part");
    exports.handler = async () => ({
      own, library, given, sub, scoped, part,
      dynamic: (await import("given")).default,
      required: require("given"),
      child: execFileSync(process.execPath, ["-p", "require('given')"], { encoding: "utf8", cwd: "/" }).trim(),
      nodePath: process.env.NODE_PATH,
      variables: Object.keys(process.env).filter((name) => name.startsWith("SST_")),
    });`,
  "project/code/optional.cjs": `exports.handler = async () => require("optional");`,
  "project/code/node_modules/optional/index.js": `
    try { module.exports = require("given"); } catch { module.exports = "without"; }`,
  "project/code/importer.mjs": `
    import value from "importing";
    export const handler = async () => value;`,
  "project/code/node_modules/importing/package.json": { type: "module", exports: "./index.js" },
  "project/code/node_modules/importing/index.js": `export { default } from "given";`,
};

/** The files, and what the runner is told of them. */
function prepare(context, more = {}) {
  const directory = tree(context, { ...FILES, ...more });
  return { root: path.join(directory, "project", "code"), provided: path.join(directory, "store", "cache", "node_modules") };
}

for (const standby of [false, true]) {
  const start = standby ? "standby" : "direct";
  for (const [handler, way] of [["module.handler", "imported"], ["common.handler", "required"]]) {
    test(`${start}, ${handler}: provided packages`, async (context) => {
      const places = prepare(context);
      const { body } = await runOnce(context, handler, {}, { ...places, standby });
      assert.deepEqual(body, {
        own: "the project's",
        library: "library, with a provided dependency",
        given: `${way}, with a provided dependency`,
        sub: `${way} sub`,
        scoped: `${way} sub`,
        part: "part",
        dynamic: "imported, with a provided dependency",
        required: "required, with a provided dependency",
        child: "required, with a provided dependency",
        nodePath: places.provided,
        variables: [],
      });
    });
  }

  test(`${start}: the function's own NODE_PATH comes first`, async (context) => {
    const places = prepare(context, { "other/dependency/index.js": says("another dependency") });
    const other = path.resolve(places.root, "../../other");
    const { body } = await runOnce(context, "common.handler", {}, { ...places, standby, more: { NODE_PATH: other } });
    assert.equal(body.nodePath, [other, places.provided].join(path.delimiter));
    assert.equal(body.library, "library, with another dependency");
    assert.equal(body.child, "required, with a provided dependency");
  });
}

test("packages that are loaded ahead find what is provided", async (context) => {
  const places = { ...prepare(context), standby: true };
  const run = async (handler, name) =>
    (await runOnce(context, handler, {}, { ...places, packages: [[name, places.root]] })).body;
  assert.equal(await run("optional.handler", "optional"), "required, with a provided dependency");
  assert.equal(await run("importer.handler", "importing"), "imported, with a provided dependency");
});

test("nothing is provided unless the runner is told", async (context) => {
  const { root } = prepare(context, {
    "project/code/state.cjs": `exports.handler = async () => [process.env.NODE_PATH ?? null, require("optional")];`,
  });
  for (const options of [{}, { standby: true }, { standby: true, provided: null }]) {
    const { body } = await runOnce(context, "state.handler", {}, { root, ...options });
    assert.deepEqual(body, [null, "without"]);
  }
});

const MISSING = {
  "a package for require": ["a.cjs", `require("nowhere"); exports.handler = async () => {};`],
  "a package for import": ["a.mjs", `import "nowhere"; export const handler = async () => {};`],
  "a package for import, later": ["a.mjs", `export const handler = async () => import("nowhere");`],
  "a package for import by CommonJS": ["a.cjs", `exports.handler = async () => import("@nowhere/at-all/sub");`],
  "a package for require by a module": [
    "a.mjs",
    `import { createRequire } from "node:module";
     createRequire(import.meta.url)("nowhere"); export const handler = async () => {};`,
  ],
  "a package above the provided ones": ["a.mjs", `import "above"; export const handler = async () => {};`],
  "a part of a provided package": ["a.mjs", `import "given/missing"; export const handler = async () => {};`],
  "a part of an own package": ["a.mjs", `import "own/given.js"; export const handler = async () => {};`],
  "a part of an own package, above": ["directory/a.mjs", `import "own/given.js"; export const handler = async () => {};`],
  "a file": ["a.mjs", `import "./given"; export const handler = async () => {};`],
  "a URL": ["a.mjs", `import "file:///given"; export const handler = async () => {};`],
  "a name of the package itself": ["a.mjs", `import "#given"; export const handler = async () => {};`],
  "the handler": ["b.mjs", ""],
};
for (const [what, [file, code]] of Object.entries(MISSING)) {
  test(`missing, ${what}: the error is the usual one`, async (context) => {
    const handler = path.join(path.dirname(file), "a.handler");
    const { root, provided } = prepare(context, {
      [`project/code/${file}`]: code,
      "project/code/package.json": { imports: { "#given": "missing" } },
    });
    for (const standby of [false, true]) {
      const usual = await runOnce(context, handler, {}, { root, standby });
      const actual = await runOnce(context, handler, {}, { root, standby, provided });
      assert.match(usual.body.errorMessage, /Cannot find/);
      assert.deepEqual(without(actual), without(usual));
    }
  });
}

test("missing, the main file of an own package: that of the provided one is not taken", async (context) => {
  const places = prepare(context, { "project/code/a.mjs": `import "mainless"; export const handler = async () => {};` });
  const own = path.join(places.root, "node_modules", "mainless");
  for (const standby of [false, true]) {
    const { where, body } = await runOnce(context, "a.handler", {}, { ...places, standby });
    assert.equal(where, "init/error");
    // Node may add what `require` would find, by NODE_PATH.
    assert.ok(body.errorMessage.startsWith(`Cannot find package '${own}`), body.errorMessage);
  }
});

/** What was posted, without the lines of a stack trace that are about Node itself. */
function without({ where, body: { trace, ...body } }) {
  return { where, ...body, trace: trace.filter((line) => !/[( ]node:/.test(line)) };
}
