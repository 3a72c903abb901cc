// Handlers are found where AWS's own runtime clients find them, and what is said of those that are not there begins as theirs.

import assert from "node:assert/strict";
import path from "node:path";
import { describe, test } from "node:test";

import { startOfficial } from "./official.mjs";
import { RuntimeApi, runOnce, tree, variables } from "./support.mjs";

const answers = (what) => `exports.handler = async () => ${JSON.stringify(what)};`;
const module = (what) => `export const handler = async () => ${JSON.stringify(what)};`;

/**
 * Handler, files, and what `nodejs22.x` and `nodejs24.x` answer: a result, or the type of an error. With `path`, directories for
 * `NODE_PATH`.
 */
const rows = {
  "a file": ["index.handler", { "index.js": answers("js") }, "js", "js"],
  "a file in a directory": ["src/deep/index.handler", { "src/deep/index.js": answers("deep") }, "deep", "deep"],
  "no extension": ["index.handler", { index: answers("bare"), "index.js": answers("js") }, "bare", "bare"],
  "`.mjs`": ["index.handler", { "index.mjs": module("mjs") }, "mjs", "mjs"],
  "`.cjs`": ["index.handler", { "index.cjs": answers("cjs") }, "cjs", "cjs"],
  "`.js` before `.mjs` before `.cjs`": [
    "index.handler",
    { "index.js": answers("js"), "index.mjs": module("mjs"), "index.cjs": answers("cjs") },
    "js",
    "js",
  ],
  "`.mjs` before `.cjs`": ["index.handler", { "index.mjs": module("mjs"), "index.cjs": answers("cjs") }, "mjs", "mjs"],
  "a directory": ["pack.handler", { "pack/index.js": answers("pack") }, "pack", "Error"],
  "a directory that names its main file": [
    "pack.handler",
    { "pack/package.json": { main: "lib/main.js" }, "pack/lib/main.js": answers("main") },
    "main",
    "Error",
  ],
  "a file before the directory of its name": [
    "pack.handler",
    { "pack/index.js": answers("directory"), "pack.js": answers("file") },
    "file",
    "Error",
  ],
  "a directory without a main file": ["pack.handler", { "pack/other.js": answers("pack") }, "Runtime.ImportModuleError", "Error"],
  "a package": ["wrapper.handler", { "node_modules/wrapper/index.js": answers("package") }, "package", "package"],
  "a file at the root, given with a directory": ["src/index.handler", { "index.js": answers("root") }, "root", "root", ["."]],
  "a package of a layer": [
    "wrapper.handler",
    { "opt/nodejs/node_modules/wrapper/index.js": answers("layer") },
    "layer",
    "layer",
    ["opt/nodejs/node_modules"],
  ],
  "an export in an object": ["index.user.get", { "index.js": "exports.user = { get: async () => 1 };" }, 1, 1],
  "an export in an object of an object": ["index.a.b.c", { "index.mjs": "export const a = { b: { c: async () => 1 } };" }, 1, 1],
  "the default export": ["index.default", { "index.mjs": "export default async () => 1;" }, 1, 1],
  "an export of the default export": [
    "index.handler",
    { "index.mjs": "export default { handler: async () => 1 };" },
    "Runtime.HandlerNotFound",
    1,
  ],
  "a module by `package.json`": ["index.handler", { "package.json": { type: "module" }, "index.js": module("esm") }, "esm", "esm"],
  "a module by the `package.json` above": [
    "src/index.handler",
    { "package.json": { type: "module" }, "src/index.js": module("esm") },
    "esm",
    "esm",
  ],
  "no module within `node_modules`": [
    "node_modules/a/index.handler",
    { "package.json": { type: "module" }, "node_modules/a/index.js": answers("cjs") },
    "cjs",
    "cjs",
  ],
  "a module by its syntax": ["index.handler", { "index.js": module("esm") }, "Runtime.UserCodeSyntaxError", "esm"],
  "a module by its syntax, with an import": [
    "index.handler",
    { "index.js": `import "node:path";\n${module("esm")}` },
    "Runtime.UserCodeSyntaxError",
    "esm",
  ],
  "a module by its syntax, with an await": [
    "index.handler",
    { "index.js": `await 1;\n${module("esm")}` },
    "Runtime.UserCodeSyntaxError",
    "esm",
  ],
  "a module by its syntax that only awaits": [
    "index.handler",
    { "index.js": "exports.handler = await 1;" },
    "Runtime.UserCodeSyntaxError",
    "ReferenceError",
  ],
  "no such export": ["index.hanlder", { "index.js": answers(1) }, "Runtime.HandlerNotFound", "Runtime.HandlerNotFound"],
  "nothing exported": ["index.handler", { "index.js": "1;" }, "Runtime.HandlerNotFound", "Runtime.HandlerNotFound"],
  "no function": ["index.handler", { "index.js": "exports.handler = 5;" }, "Runtime.HandlerNotFound", "Runtime.HandlerNotFound"],
  "no such export in an object": [
    "index.user.got",
    { "index.js": "exports.user = { get: 1 };" },
    "Runtime.HandlerNotFound",
    "Runtime.HandlerNotFound",
  ],
  "no such file": ["indx.handler", { "index.js": answers(1) }, "Runtime.ImportModuleError", "Runtime.ImportModuleError"],
  "no such package": ["index.handler", { "index.js": 'require("nowhere");' }, "Runtime.ImportModuleError", "Runtime.ImportModuleError"],
  "no syntax": ["index.handler", { "index.js": "exports.handler = (;" }, "Runtime.UserCodeSyntaxError", "Runtime.UserCodeSyntaxError"],
  "an error while it is loaded": ["index.handler", { "index.js": "throw new RangeError('x');" }, "RangeError", "RangeError"],
  "two dots": ["src/../index.handler", { "index.js": answers(1) }, "Runtime.MalformedHandlerName", "Runtime.MalformedHandlerName"],
  "no dot": ["index", { "index.js": answers(1) }, "Runtime.MalformedHandlerName", "Runtime.MalformedHandlerName"],
};

// Most of the time processes start.
describe("as AWS's own clients", { concurrency: 3 }, () => {
  const [major] = process.versions.node.split(".").map(Number);
  for (const [kind, runtime, column] of [
    ["classic", "nodejs22.x", 2],
    ["modern", "nodejs24.x", 3],
  ]) {
    for (const [name, row] of Object.entries(rows)) {
      // What a module is by its syntax alone is up to the version of Node there, which has to be the runtime's.
      if (kind === "modern" && major < 22 && name.includes("by its syntax")) continue;
      test(`${runtime}: ${name}`, async (context) => {
        const [handler, files, , , path_ = []] = row;
        const root = tree(context, files);
        const NODE_PATH = path_.map((directory) => path.resolve(root, directory)).join(":");
        const more = { AWS_EXECUTION_ENV: `AWS_Lambda_${runtime}`, ...(NODE_PATH && { NODE_PATH }) };
        const ours = await runOnce(context, handler, {}, { root, more });
        const theirs = await official(context, kind, handler, root, more);
        const expected = row[column];
        assert.deepEqual(theirs.where.endsWith("error") ? theirs.body.errorType : theirs.body, expected, JSON.stringify(theirs));
        assert.equal(ours.where, theirs.where);
        if (!theirs.where.endsWith("error")) return assert.deepEqual(ours.body, theirs.body);
        assert.equal(ours.body.errorType, theirs.body.errorType);
        // Who imports a file that is not there is the client itself.
        const [first] = theirs.body.errorMessage.split(/\n| imported from /);
        assert.ok(ours.body.errorMessage.startsWith(first), `${ours.body.errorMessage} / ${first}`);
      });
    }
  }
});

const said = {
  "one of one": [
    "index.hanlder",
    { "index.js": "exports.handler = 1;" },
    "index.hanlder is undefined or not exported: `index.js` has no export `hanlder`; it exports: `handler`",
  ],
  "one of several": [
    "src/index.gt",
    { "src/index.mjs": "export const get = 1, put = 2; export default 3;" },
    "src/index.gt is undefined or not exported: `src/index.mjs` has no export `gt`; it exports: `get`, `put`. Did you mean `get`?",
  ],
  "none that is similar": [
    "index.handler",
    { "index.js": "exports.get = 1; exports.put = 2;" },
    "index.handler is undefined or not exported: `index.js` has no export `handler`; it exports: `get`, `put`",
  ],
  nothing: ["index.handler", { "index.js": "" }, "index.handler is undefined or not exported: `index.js` exports nothing"],
  "in an object": [
    "index.user.got",
    { "index.js": "exports.user = { get: 1 };" },
    "index.user.got is undefined or not exported: `user` in `index.js` has no `got`; it has: `get`",
  ],
  "no function": ["index.handler", { "index.js": "exports.handler = 5;" }, "index.handler is not a function: `handler` in `index.js` is of the type number"],
  "a bundle": [
    ".sst/artifacts/f/index.hanlder",
    {
      "src/ok.ts": "",
      "src/library.ts": "",
      ".sst/artifacts/f/index.cjs": "exports.handler = 1;",
      ".sst/artifacts/f/index.cjs.map": { sources: ["../../../src/library.ts", "../../../src/ok.ts"] },
    },
    "src/ok.hanlder is undefined or not exported: `src/ok.ts` has no export `hanlder`; it exports: `handler`",
    { _HANDLER: "src/ok.hanlder" },
  ],
  "a file": ["src/indx.handler", { "src/index.mjs": "", "src/other.js": "" }, /Looked for:\n(.*\n)*Did you mean `src\/index.mjs`\?$/],
};
describe("said of a handler that is not there", { concurrency: 3 }, () => {
  for (const [name, [handler, files, expected, more]] of Object.entries(said)) {
    test(name, async (context) => {
      const root = tree(context, files);
      const inside = handler.startsWith(".sst/") ? path.join(root, path.dirname(handler)) : root;
      const named = inside === root ? handler : path.basename(handler);
      for (const runtime of ["nodejs22.x", "nodejs24.x"]) {
        const options = { root: inside, more: { AWS_EXECUTION_ENV: `AWS_Lambda_${runtime}`, ...more } };
        const { body } = await runOnce(context, named, {}, options);
        if (typeof expected === "string") assert.equal(body.errorMessage, expected);
        else assert.match(body.errorMessage, expected);
      }
    });
  }
});

async function official(context, kind, handler, root, more) {
  const api = await new RuntimeApi().listen();
  const worker = startOfficial(kind, variables(api, { _HANDLER: handler, LAMBDA_TASK_ROOT: root, ...more }));
  context.after(async () => {
    worker.child.kill("SIGKILL");
    await worker.closed;
    api.close();
  });
  api.deliver({});
  const ended = worker.closed.then(() => assert.fail(`ended: ${worker.written.stderr}`));
  ended.catch(() => {});
  const { where, body } = await Promise.race([api.post(), ended]);
  return { where, body: JSON.parse(body) };
}
