// A function does not see that its process was there before it: whatever it can find out is what it finds in a fresh one.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { RuntimeApi, handlers, otherNode, runOnce, start, tree } from "./support.mjs";

const DUMP = `require(${JSON.stringify(path.join(handlers, "dump.cjs"))}).dump()`;

/** A package that notes what it sees while it is loaded, and how often that happens. */
const FILES = {
  "node_modules/noting/package.json": { exports: { import: "./main.mjs", require: "./main.cjs" } },
  "node_modules/noting/main.cjs": `(globalThis.noted ??= []).push(["required", ${DUMP}]); module.exports = globalThis.noted;`,
  "node_modules/noting/main.mjs": `
    import { createRequire } from "node:module";
    const require = createRequire(import.meta.url);
    (globalThis.noted ??= []).push(["imported", ${DUMP}]);
    export default globalThis.noted;`,
  "node_modules/@scope/plain/package.json": { main: "./index.js" },
  "node_modules/@scope/plain/index.js": `process.on("SIGUSR2", () => {}); process.env.SET_BY_PACKAGE = "yes";`,
  "common.cjs": `
    require("@scope/plain");
    const noted = require("noting");
    exports.handler = async () => [noted, ${DUMP}];`,
  "module.mjs": `
    import { createRequire } from "node:module";
    import "@scope/plain";
    import noted from "noting";
    const require = createRequire(import.meta.url);
    export const handler = async () => [noted, ${DUMP}];`,
};

/** What a function may have in its environment that something in a process keeps from its start. */
const VARIABLES = {
  nothing: {},
  "what libraries read": { DEBUG: "app:*", STAGE: "dev", AWS_REGION: "eu-west-1", AWS_ENDPOINT_URL: "http://127.0.0.1:9" },
  "a time zone": { TZ: "Asia/Tokyo" },
  "Node's options": { NODE_OPTIONS: "--stack-trace-limit=3", NODE_PATH: "/nowhere" },
  "a language": { LANG: "de_DE.UTF-8", LC_ALL: "de_DE.UTF-8" },
};

const EXECUTABLES = { "the Node of these tests": process.execPath, "Node 22": otherNode() };
for (const [version, node] of Object.entries(EXECUTABLES)) {
  for (const [what, more] of Object.entries(VARIABLES)) {
    for (const handler of ["common.handler", "module.handler"]) {
      test(`${version}, ${what}, ${handler}: a standby of the function shows what a fresh process shows`, async (context) => {
        const root = tree(context, FILES);
        const options = { root, node, more };
        const packages = [["@scope/plain", root], ["noting", root]];
        const fresh = await runOnce(context, handler, {}, options);
        const ahead = await runOnce(context, handler, {}, { ...options, standby: true, packages });
        assert.equal(fresh.where, "invocation/request-1/response", JSON.stringify(fresh.body));
        const [[[way, seen]], later] = fresh.body;
        assert.equal(way, handler === "common.handler" ? "required" : "imported");
        assert.equal(seen.directory, root);
        assert.deepEqual({ ...seen.variables, ...more }, seen.variables);
        assert.equal(later.variables.SET_BY_PACKAGE, "yes");
        assert.deepEqual(inCommon(ahead.body), inCommon(fresh.body));
      });
    }
  }

  test(`${version}: a standby of nobody shows what a fresh process shows`, async (context) => {
    for (const more of [{}, VARIABLES["what libraries read"]]) {
      const fresh = await runOnce(context, "dump.handler", {}, { node, more });
      const ahead = await runOnce(context, "dump.handler", {}, { node, more, standby: true });
      assert.deepEqual(inCommon([[], ahead.body]), inCommon([[], fresh.body]));
    }
  });

  test(`${version}: nothing is written but what the function writes`, async (context) => {
    const root = tree(context, FILES);
    for (const options of [{}, { standby: true }, { standby: true, packages: [["noting", root]] }]) {
      for (const handler of ["common.handler", "module.handler"]) {
        const api = await new RuntimeApi().listen();
        const worker = start(api, handler, { root, node, ...options });
        if (options.packages) assert.ok(await worker.prepare());
        if (options.standby) worker.assign();
        api.deliver({});
        await api.post();
        worker.child.stdio[3].end();
        await worker.closed;
        api.close();
        const lines = worker.output().split("\n").filter((line) => line && !/^(Debugger listening|For help, see)/.test(line));
        assert.deepEqual(lines, []);
      }
    }
  });
}

/** Without the file that is being loaded, which Node knows already while what it loads is. */
function inCommon([noted, dump]) {
  const common = (one) => ({ ...one, loaded: one.loaded.filter((file) => !/(dump|common)\.cjs$/.test(file)) });
  return [noted.map(([way, seen]) => [way, common(seen)]), common(dump)];
}

test("a standby tells what has decided what it has loaded", async (context) => {
  const root = tree(context, {
    "node_modules/one/package.json": { type: "module", exports: "./index.js" },
    "node_modules/one/index.js": `import "@scope/two"; import data from "three/data.js";`,
    "node_modules/@scope/two/index.js": "",
    "node_modules/one/node_modules/three/data.js": `module.exports = require("./data.json");`,
    "node_modules/one/node_modules/three/data.json": {},
    "code/index.mjs": "",
  });
  const read = new Set(await readBy({ root: path.join(root, "code"), packages: [["one", path.join(root, "code")]] }));
  for (const file of [
    "node_modules/one/index.js",
    "node_modules/@scope/two/index.js",
    "node_modules/one/node_modules/three/data.js",
    "node_modules/one/node_modules/three/data.json",
    "node_modules/one/package.json",
    // Something may be put in where there is nothing yet.
    "code/node_modules",
    "code/package.json",
    "package.json",
    // Here links lead elsewhere after an update.
    "node_modules",
    "node_modules/@scope",
    "node_modules/one/node_modules",
  ]) {
    assert.ok(read.has(path.join(root, file)), `${file} is not among ${[...read].join("\n")}`);
  }
});

test("what is required notes itself, but for what an ES module among it imports", async (context) => {
  const root = tree(context, {
    "node_modules/common/index.js": `module.exports = require("esm");`,
    "node_modules/esm/package.json": { exports: "./index.mjs" },
    "node_modules/esm/index.mjs": `export { value } from "./deep.mjs";`,
    "node_modules/esm/deep.mjs": "export const value = 1;",
    "index.cjs": "",
  });
  const more = { NODE_OPTIONS: "--experimental-require-module --experimental-detect-module" };
  const read = await readBy({ root, node: otherNode(), more, packages: [["common", root]] });
  for (const file of ["common/index.js", "esm/index.mjs", "esm/deep.mjs"]) {
    assert.ok(read.includes(path.join(root, "node_modules", file)), `${file} is not among ${read.join("\n")}`);
  }
});

test("a module names what it imports where there is nothing else", async (context) => {
  const root = tree(context, {
    "ahead.mjs": `import "./vendor.mjs"; import { createRequire } from "node:module"; createRequire(import.meta.url)("required"); export const files = ["./vendor.mjs"];`,
    "vendor.mjs": "",
    "node_modules/required/index.js": "",
    "index.mjs": "",
  });
  const read = await readBy({ root, packages: [["./ahead.mjs", root]] });
  const files = ["ahead.mjs", "vendor.mjs", "node_modules/required/index.js"].map((file) => path.join(root, file));
  assert.deepEqual(read.filter((file) => /\.m?js$/.test(file)).sort(), files.sort());
});

/** What a standby says that it has read. */
async function readBy(options) {
  const api = await new RuntimeApi().listen();
  const worker = start(api, "index.handler", { standby: true, ...options });
  const read = await worker.prepare();
  worker.child.stdio[3].end();
  await worker.exited;
  api.close();
  assert.ok(read, worker.output());
  return read;
}

const FAILING = {
  "throws": ["throw new Error('no such luck');", ""],
  "rejects in the background": ["Promise.reject(new Error('late'));", ""],
  "ends the process": ["process.exit(0);", ""],
  "is not there": ["", "missing"],
};
for (const [what, [code, name]] of Object.entries(FAILING)) {
  for (const handler of ["index.handler", "code.handler"]) {
    test(`a package that ${what}: its standby ends without a word, ${handler}`, async (context) => {
      const root = tree(context, { "index.cjs": "", "code.mjs": "", "node_modules/failing/index.js": code });
      const api = await new RuntimeApi().listen();
      const worker = start(api, handler, { root, standby: true, packages: [[name || "failing", root]] });
      const read = await worker.prepare();
      // What fails later than it is loaded may be told of before.
      if (read) assert.equal(what, "rejects in the background");
      await worker.exited;
      api.close();
      assert.deepEqual(api.posts, []);
    });
  }
}

test("a project's package.json that changes while a standby waits is read when the function is loaded", async (context) => {
  const root = tree(context, {
    "package.json": { type: "commonjs" },
    ".sst/tool/node/empty": "",
    "code/index.js": "export const handler = async () => 'a module';",
  });
  const own = path.join(root, ".sst/tool/node");
  fs.cpSync(path.resolve(handlers, "../../../runners/node"), own, { recursive: true });
  const api = await new RuntimeApi().listen();
  const worker = start(api, "index.handler", { root: path.join(root, "code"), standby: true, packages: [], runner: path.join(own, "runner.mjs") });
  await worker.prepare();
  fs.writeFileSync(path.join(root, "package.json"), JSON.stringify({ type: "module" }));
  worker.assign();
  api.deliver({});
  const { body } = await api.post();
  worker.child.stdio[3].end();
  await worker.exited;
  api.close();
  assert.equal(body, '"a module"');
});
