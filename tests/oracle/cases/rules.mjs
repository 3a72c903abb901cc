// The rules by which a bundler takes packages apart and puts them together again. Each case is a small function with packages of its own:
// `files` by path, `links` from → to, and the `options` of its construct. `formats` are those that it is built in, `beside` are packages
// that are deployed beside the bundle, and `provided` is where those are here that Lambda's runtime would bring along.

/** A package: its manifest, and its files. */
const installed = (name, manifest, files) => ({
  [`node_modules/${name}/package.json`]: JSON.stringify({ name, version: "1.0.0", ...manifest }),
  ...Object.fromEntries(Object.entries(files).map(([file, text]) => [`node_modules/${name}/${file}`, text])),
});

/** Files in a directory of the project. */
const under = (directory, files) => Object.fromEntries(Object.entries(files).map(([file, text]) => [`${directory}/${file}`, text]));

const answering = (imports, expression) => `${imports}\nexport const handler = async () => (${expression});\n`;

/** The order in which modules are evaluated. */
const event = (name) => `(globalThis.events ??= []).push(${JSON.stringify(name)});`;

const ESM = { type: "module" };
const BANNER = { banner: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);` };

/** CommonJS as compilers write it, and as people do. */
const compiled = installed("compiled", { main: "index.js" }, {
  "index.js": `Object.defineProperty(exports, "__esModule", { value: true }); exports.default = "the default"; exports.named = "named";`,
});
const plain = installed("plain", {}, {
  "index.js": `module.exports = function plain() { return "called"; }; module.exports.prop = "prop";`,
});
const live = installed("live", { ...ESM, main: "index.js" }, {
  "index.js": `export let count = 0; export const increase = () => { count += 1; return count; }; export default () => count;`,
});
const dual = installed("dual", {
  main: "./main.js",
  module: "./module.js",
  exports: {
    ".": { custom: "./custom.js", browser: "./browser.js", node: { import: "./import.mjs", require: "./require.cjs" }, default: "./default.js" },
  },
}, {
  "main.js": `exports.what = "main";`,
  "module.js": `export const what = "module";`,
  "custom.js": `exports.what = "custom";`,
  "browser.js": `exports.what = "browser";`,
  "import.mjs": `export const what = "import";`,
  "require.cjs": `exports.what = "require";`,
  "default.js": `exports.what = "default";`,
});
const fields = installed("fields", { main: "./main", module: "./module.js", browser: "./browser.js" }, {
  "main.js": `exports.what = "main";`,
  "module.js": `export const what = "module";`,
  "browser.js": `exports.what = "browser";`,
});
const shaken = installed("shaken", { ...ESM, sideEffects: false, main: "index.js" }, {
  "index.js": `${event("index")} export { a } from "./a.js"; export { b } from "./b.js";`,
  "a.js": `${event("a")} export const a = "a";`,
  "b.js": `${event("b")} export const b = "b";`,
});

export default {
  "conditions: import": { files: { ...dual, "index.ts": answering(`import { what } from "dual";`, "what") } },
  "conditions: require": { files: { ...dual, "index.ts": answering(`const { what } = require("dual");`, "what") } },
  "conditions: both in one function": {
    files: { ...dual, "index.ts": answering(`import { what } from "dual"; const other = require("dual");`, "[what, other.what]") },
  },
  "conditions: dynamic import": { files: { ...dual, "index.ts": answering("", `(await import("dual")).what`) } },
  "conditions: of the options": {
    files: { ...dual, "index.ts": answering(`import { what } from "dual";`, "what") },
    options: { esbuildArgs: { "--conditions": "custom" } },
  },
  "conditions: module": {
    files: {
      ...installed("modular", { exports: { module: "./module.js", default: "./default.js" } }, {
        "module.js": `export const what = "module";`,
        "default.js": `exports.what = "default";`,
      }),
      "index.ts": answering(`import { what } from "modular";`, "what"),
    },
  },
  "main fields: by default": { files: { ...fields, "index.ts": answering(`import { what } from "fields";`, "what") } },
  "main fields: of the options": {
    files: { ...fields, "index.ts": answering(`import { what } from "fields";`, "what") },
    options: { mainFields: ["module", "main"] },
  },
  "extensions and directories": {
    files: {
      ...installed("loose", { main: "./lib/start" }, {
        "lib/start.js": `exports.start = "start";`,
        "util.js": `exports.util = "util";`,
        "folder/index.js": `exports.folder = "folder";`,
        "other/package.json": `{ "main": "./main.js" }`,
        "other/main.js": `exports.other = "other";`,
        "typed.ts": `export const typed: string = "typed";`,
      }),
      "index.ts": answering(
        `import { start } from "loose"; import { util } from "loose/util"; import { folder } from "loose/folder"; import { other } from "loose/other"; import { typed } from "loose/typed";`,
        "[start, util, folder, other, typed]",
      ),
    },
  },
  "subpaths and patterns of exports": {
    files: {
      ...installed("paths", { exports: { ".": "./index.js", "./features/*": "./src/*.js", "./deep/*.js": "./src/*.js" } }, {
        "index.js": `exports.a = 1;`,
        "src/one.js": `exports.one = "one";`,
        "src/two.js": `exports.two = "two";`,
      }),
      "index.ts": answering(`import { one } from "paths/features/one"; import { two } from "paths/deep/two.js";`, "[one, two]"),
    },
  },
  "imports of a package and of the function": {
    files: {
      ...installed("inner", { imports: { "#secret": "./secret.js" } }, {
        "index.js": `exports.secret = require("#secret").secret;`,
        "secret.js": `exports.secret = "secret";`,
      }),
      "package.json": JSON.stringify({ imports: { "#mapped": "inner" } }),
      "index.ts": answering(`import { secret } from "#mapped";`, "secret"),
    },
  },
  ...Object.fromEntries(
    [
      ["a .ts file", "index.ts", {}],
      ["a .mts file", "index.mts", {}],
      ["a .cts file", "index.cts", {}],
      ["a .js file", "index.js", {}],
      ["a .mjs file", "index.mjs", {}],
      ["a .ts file of a module", "index.ts", { "package.json": `{ "type": "module" }` }],
      ["a .js file of a module", "index.js", { "package.json": `{ "type": "module" }` }],
    ].map(([what, entry, more]) => [
      `interop with CommonJS in ${what}`,
      {
        entry,
        files: {
          ...compiled, ...plain, ...more,
          [entry]: answering(
            `import def, { named } from "compiled"; import * as all from "compiled"; import fn, { prop } from "plain"; import * as fns from "plain";`,
            "[typeof def, def.default ?? def, named, Object.keys(all).sort(), typeof all.default, fn(), prop, Object.keys(fns).sort(), typeof fns.default]",
          ),
        },
      },
    ]),
  ),
  "import = require": {
    formats: ["cjs"],
    files: { ...plain, "index.ts": answering(`import plain = require("plain");`, "[plain(), plain.prop]") },
  },
  "an ES module by require": {
    files: { ...live, "index.ts": answering(`const all = require("live");`, "[Object.keys(all).sort(), all.__esModule, all.increase(), all.count]") },
  },
  "an ES module by require in CommonJS": {
    entry: "index.js",
    formats: ["cjs"],
    files: { ...live, "index.js": `const { default: count, increase } = require("live");\nexports.handler = async () => [increase(), increase(), count()];\n` },
  },
  "dynamic imports": {
    files: {
      ...live, ...compiled, ...plain,
      "index.ts": answering(
        `const namesOf = async (module: Promise<object>) => Object.keys(await module).sort();`,
        `[await namesOf(import("live")), await namesOf(import("compiled")), await namesOf(import("plain"))]`,
      ),
    },
  },
  "live bindings": {
    files: {
      ...live,
      "own.ts": `export * from "live"; export { count as renamed, default } from "live";`,
      "index.ts": answering(
        `import current, { count, increase, renamed } from "./own"; import * as all from "live"; const before = count;`,
        "[before, increase(), count, renamed, all.count, current(), Object.keys(all)]",
      ),
    },
  },
  "exports under names that are no identifiers": {
    files: {
      ...installed("odd", ESM, { "index.js": `const a = 1; export { a as "a-b", a as $$1, a as a$$1, a as default };` }),
      "index.ts": answering(`import * as odd from "odd"; import { "a-b" as ab, a$$1 } from "odd";`, "[Object.keys(odd).sort(), ab, a$$1]"),
    },
  },
  "an ES module that names CommonJS again": {
    files: {
      ...compiled,
      ...installed("again", ESM, { "index.js": `export * from "compiled"; export const own = "own";` }),
      "index.ts": answering(`import { own, named } from "again"; import * as all from "again";`, "[own, named, Object.keys(all).sort()]"),
    },
  },
  "side effects: what is not used is not evaluated": {
    files: { ...shaken, "index.ts": answering(`import { a } from "shaken";`, "[a, globalThis.events]") },
  },
  "side effects: an import for nothing": {
    entry: "index.js",
    files: { ...shaken, ...plain, "index.js": answering(`import { a } from "shaken"; import unused from "plain";`, "[globalThis.events ?? null]") },
  },
  "side effects: a list of them": {
    files: {
      ...installed("listed", { ...ESM, sideEffects: ["./effect.js"], main: "index.js" }, {
        "index.js": `import "./effect.js"; import "./none.js"; export const value = 1;`,
        "effect.js": event("effect"),
        "none.js": event("none"),
      }),
      "index.ts": answering(`import { value } from "listed";`, "[value, globalThis.events]"),
    },
  },
  "side effects: an import for nothing else": {
    files: {
      ...installed("effect", ESM, { "index.js": `${event("effect")} export const unused = 1;` }),
      ...installed("common", {}, { "index.js": `${event("common")} exports.unused = 1;` }),
      ...installed("script", {}, { "index.js": event("script") }),
      "index.ts": answering(`import "effect"; import "common"; import "script";`, "globalThis.events"),
    },
  },
  "evaluation: an own module before a package": {
    files: {
      ...installed("eager", ESM, { "index.js": `${event("eager")} export const flavour = process.env.FLAVOUR ?? "none";` }),
      ...installed("early", ESM, { "index.js": `${event("early")} export const early = 1;` }),
      "env.ts": `${event("env")} process.env.FLAVOUR = "own";`,
      "index.ts": answering(`import { early } from "early"; import "./env"; import { flavour } from "eager";`, "[early, flavour, globalThis.events]"),
    },
  },
  "evaluation: modules and CommonJS in turns": {
    files: {
      ...installed("m1", ESM, { "index.js": `${event("m1")} export const m1 = 1;` }),
      ...installed("m2", ESM, { "index.js": `import { m1 } from "m1"; import { c2 } from "c2"; ${event("m2")} export const m2 = m1 + c2;` }),
      ...installed("c1", {}, { "index.js": `${event("c1")} exports.c1 = 1;` }),
      ...installed("c2", {}, { "index.js": `${event("c2")} exports.c2 = 1;` }),
      "own.ts": `import { m2 } from "m2"; ${event("own")} export const own = m2;`,
      "index.ts": answering(`import { c1 } from "c1"; import { own } from "./own"; import { m1 } from "m1"; import { c2 } from "c2";`, "[c1, own, m1, c2, globalThis.events]"),
    },
  },
  "evaluation: not before it is required": {
    files: {
      ...installed("lazy", {}, { "index.js": `${event("lazy")} exports.lazy = "lazy";` }),
      "index.ts": `const before = () => [...((globalThis as any).events ?? [])];\nexport const handler = async () => { const was = before(); const { lazy } = require("lazy"); return [was, lazy, before()]; };\n`,
    },
  },
  "two versions of a package": {
    files: {
      ...installed("versioned", { version: "2.0.0" }, { "index.js": `exports.version = "2.0.0";` }),
      ...installed("old", {}, {
        "index.js": `exports.old = require("versioned").version;`,
        "node_modules/versioned/package.json": `{ "name": "versioned", "version": "1.0.0" }`,
        "node_modules/versioned/index.js": `exports.version = "1.0.0";`,
      }),
      "index.ts": answering(`import { version } from "versioned"; import { old } from "old";`, "[version, old]"),
    },
  },
  "the layout of pnpm": {
    files: {
      "node_modules/.pnpm/a@1.0.0/node_modules/a/package.json": `{ "name": "a", "main": "a.js" }`,
      "node_modules/.pnpm/a@1.0.0/node_modules/a/a.js": `exports.a = "a and " + require("b").b;`,
      "node_modules/.pnpm/b@1.0.0/node_modules/b/package.json": `{ "name": "b", "main": "b.js" }`,
      "node_modules/.pnpm/b@1.0.0/node_modules/b/b.js": `exports.b = "b";`,
      "index.ts": answering(`import { a } from "a";`, "a"),
    },
    links: { "node_modules/a": ".pnpm/a@1.0.0/node_modules/a", "node_modules/.pnpm/a@1.0.0/node_modules/b": "../../b@1.0.0/node_modules/b" },
  },
  "a package of the workspace": {
    files: {
      ...live,
      "packages/shared/package.json": `{ "name": "shared", "main": "index.ts" }`,
      "packages/shared/index.ts": `import { increase, count } from "live"; export const shared = (): number[] => [increase(), count];`,
      "index.ts": answering(`import { shared } from "shared"; import { count } from "live";`, "[shared(), count]"),
    },
    links: { "node_modules/shared": "../packages/shared" },
  },
  "a package that uses the workspace": {
    isSplit: false,
    files: {
      ...installed("user", {}, { "index.js": `exports.state = require("shared").state;` }),
      "packages/shared/package.json": `{ "name": "shared", "main": "index.js" }`,
      "packages/shared/index.js": `exports.state = {};`,
      "index.ts": answering(`import { state } from "user"; import { state as own } from "shared";`, "state === own"),
    },
    links: { "node_modules/shared": "../packages/shared", "node_modules/user/node_modules/shared": "../../../packages/shared" },
  },
  "a package by name and by path": {
    files: { ...live, "index.ts": answering(`import { increase } from "live"; import { count } from "./node_modules/live/index.js"; increase();`, "count") },
  },
  "tsconfig: paths": {
    files: {
      ...live,
      ...installed("shadowed", {}, { "index.js": `exports.who = "package";` }),
      "tsconfig.json": `{ "compilerOptions": { "paths": { "shadowed": ["./src/own.ts"], "@/*": ["./src/*"], "mapped": ["./node_modules/live"] } } }`,
      "src/own.ts": `export const who = "own";`,
      "index.ts": answering(`import { who } from "shadowed"; import { who as at } from "@/own"; import { increase } from "mapped"; import { count } from "live"; increase();`, "[who, at, count]"),
    },
  },
  "tsconfig: baseUrl": {
    files: {
      ...installed("lib", {}, { "index.js": `exports.who = "package";` }),
      ...plain,
      "tsconfig.json": `{ "compilerOptions": { "baseUrl": "./src" } }`,
      "src/lib.ts": `export const who = "own";`,
      "index.ts": answering(`import { who } from "lib"; import fn from "plain";`, "[who, fn()]"),
    },
  },
  "tsconfig: of the options, with JSX from a package": {
    entry: "index.tsx",
    files: {
      ...installed("tinyjsx", {}, { "jsx-runtime.js": `exports.jsx = (name, props) => [name, props];` }),
      "tsconfig.own.json": `{ "compilerOptions": { "jsx": "react-jsx", "jsxImportSource": "tinyjsx" } }`,
      "index.tsx": `export const handler = async () => <a b="c" />;\n`,
    },
    options: { tsconfig: "tsconfig.own.json" },
  },
  "circular packages in CommonJS": {
    files: {
      ...installed("left", {}, { "index.js": `exports.early = 1; const right = require("right"); exports.seen = right.seen; exports.late = 2;` }),
      ...installed("right", {}, { "index.js": `exports.seen = Object.keys(require("left"));` }),
      "index.ts": answering(`import * as left from "left"; import { seen } from "right";`, "[left.seen, seen, left.late]"),
    },
  },
  "circular packages in modules": {
    files: {
      ...installed("east", ESM, { "index.js": `import { west } from "west"; export function east() { return "east"; } export const both = east() + west();` }),
      ...installed("west", ESM, { "index.js": `import { east } from "east"; export function west() { return "west of " + east(); }` }),
      "index.ts": answering(`import { both } from "east"; import { west } from "west";`, "[both, west()]"),
    },
  },
  "an instance of a class from another file of the package": {
    files: {
      ...installed("classy", ESM, {
        "index.js": `export { Thing } from "./thing.js"; export const isThing = (one) => one instanceof (globalThis.Thing);`,
        "thing.js": `export class Thing {} globalThis.Thing = Thing;`,
      }),
      "index.ts": answering(`import { isThing } from "classy"; import { Thing } from "classy/thing.js";`, "[isThing(new Thing()), Thing.name]"),
    },
  },
  "a package that throws": {
    files: { ...installed("broken", {}, { "index.js": `throw new RangeError("no good");` }), "index.ts": answering(`import broken from "broken";`, "broken") },
  },
  "a module that throws": {
    files: { ...installed("broken", ESM, { "index.js": `throw new RangeError("no good"); export const a = 1;` }), "index.ts": answering(`import { a } from "broken";`, "a") },
  },
  "a package that throws each time": {
    files: {
      ...installed("broken", {}, { "index.js": `${event("try")} throw new RangeError("no good");` }),
      "index.ts": `const attempt = () => { try { return require("broken"); } catch (error: any) { return error.message; } };\nconst all = [attempt(), attempt()];\nexport const handler = async () => [all, (globalThis as any).events];\n`,
    },
  },
  "a package that does without another one": {
    files: {
      ...installed("careful", {}, { "index.js": `let found; try { found = require("not-installed-at-all"); } catch (error) { found = error.code; } exports.found = found;` }),
      "index.ts": answering(`import { found } from "careful";`, "found"),
    },
  },
  "an export that there is not": { files: { ...live, "index.ts": answering(`import { cont } from "live";`, "cont") } },
  "an export that CommonJS has not": { files: { ...plain, "index.ts": answering(`import { cont } from "plain";`, "typeof cont") } },
  "native code in a package": {
    files: {
      ...installed("native", {}, { "index.js": `module.exports = require("./build/native.node");`, "build/native.node": "" }),
      "index.ts": answering(`import native from "native";`, "native"),
    },
  },
  "a package that there is not": { files: { "index.ts": answering(`import nothing from "nowhere-to-be-found";`, "nothing") } },
  "a builtin that a package requires": {
    files: { ...installed("uses-os", {}, { "index.js": `exports.eol = require("os").EOL;` }), "index.ts": answering(`import { eol } from "uses-os";`, "eol") },
  },
  "a builtin that a package requires later": {
    files: {
      ...installed("uses-os-later", {}, { "index.js": `exports.eol = () => require("os").EOL;` }),
      "index.ts": `import { eol } from "uses-os-later";\nexport const handler = async () => { try { return eol(); } catch (error: any) { return error.message; } };\n`,
    },
  },
  "a builtin that a package requires, with a banner": {
    formats: ["esm"],
    options: BANNER,
    files: { ...installed("uses-os", {}, { "index.js": `exports.eol = require("os").EOL;` }), "index.ts": answering(`import { eol } from "uses-os";`, "eol") },
  },
  "a banner that counts": {
    isSplit: false,
    options: { banner: "globalThis.banners = (globalThis.banners ?? 0) + 1;" },
    files: { ...live, "index.ts": answering(`import { count } from "live";`, "[count, globalThis.banners]") },
  },
  "a footer": {
    isSplit: false,
    options: { footer: "globalThis.footers = (globalThis.footers ?? 0) + 1;" },
    files: { ...live, "index.ts": answering(`import { count } from "live";`, "[count, globalThis.footers]") },
  },
  "where a package is": {
    files: {
      ...installed("placed", {}, { "index.js": `exports.place = [typeof __dirname === "undefined" ? "none" : __dirname === process.env.LAMBDA_TASK_ROOT, typeof module, typeof exports, this === module.exports];` }),
      ...installed("located", ESM, { "index.js": `export const at = typeof import.meta.url;` }),
      "index.ts": answering(`import { place } from "placed"; import { at } from "located";`, "[place, at]"),
    },
  },
  "a module that awaits": {
    formats: ["esm"],
    isSplit: false,
    files: { ...installed("awaits", ESM, { "index.js": `export const value = await Promise.resolve("awaited");` }), "index.ts": answering(`import { value } from "awaits";`, "value") },
  },
  "data of packages": {
    files: {
      ...installed("data", {}, {
        "data.json": `{ "a": 1, "b": { "c": [2] } }`,
        "note.txt": "a note",
        "index.js": `exports.data = require("./data.json"); exports.note = require("./note.txt");`,
      }),
      "index.ts": answering(`import { data, note } from "data"; import json, { a } from "data/data.json"; import text from "data/note.txt";`, "[data, note, json, a, text]"),
    },
  },
  // A module with an attribute is another one to esbuild than the same file without, so all of this is built whole.
  "data of packages with an attribute": {
    isSplit: false,
    files: {
      ...installed("data", {}, { "data.json": `{ "a": 1 }`, "index.js": `exports.data = require("./data.json");` }),
      "index.ts": answering(`import json from "data/data.json" with { type: "json" }; import { data } from "data";`, "[json, data, json === data]"),
    },
  },
  "loaders for packages": {
    files: {
      ...installed("loaded", {}, {
        "page.html": "<p>",
        "bytes.bin": "bytes",
        "icon.svg": "<svg/>",
        "code.script": "exports.script = 'script';",
        "index.js": `exports.all = [require("./page.html"), [...require("./bytes.bin")], require("./icon.svg"), require("./code.script").script];`,
      }),
      "index.ts": answering(`import { all } from "loaded"; import page from "loaded/page.html";`, "[all, page]"),
    },
    options: { loader: { ".html": "text", ".bin": "binary", ".svg": "dataurl", ".script": "js" } },
  },
  "files of packages": {
    formats: ["cjs"],
    files: {
      ...installed("filed", {}, {
        "page.html": "<p>a page</p>",
        "index.js": `exports.page = () => require("fs").readFileSync(require("path").join(__dirname, require("./page.html")), "utf8");`,
      }),
      "index.ts": answering(`import { page } from "filed";`, "page()"),
    },
    options: { loader: { ".html": "file" } },
  },
  "definitions in packages": {
    files: {
      ...installed("defined", {}, { "index.js": `exports.all = [typeof VERSION === "undefined" ? "none" : VERSION, process.env.STAGE];` }),
      "index.ts": answering(`import { all } from "defined"; declare const VERSION: string;`, "[all, VERSION]"),
    },
    options: { define: { VERSION: `"7"`, "process.env.STAGE": `"defined"` } },
  },
  "a file that is injected into packages": {
    isSplit: false,
    files: {
      ...installed("injected", {}, { "index.js": `exports.counter = () => ++counter.count;` }),
      "shim.js": `export const counter = { count: 0 };`,
      "index.ts": answering(`import { counter as count } from "injected"; declare const counter: { count: number };`, "[count(), counter.count]"),
    },
    options: { inject: ["shim.js"] },
  },
  "an alias: a package by another one": {
    files: {
      ...live,
      ...installed("replaced", {}, { "index.js": `exports.who = "replaced";`, "sub.js": `exports.sub = "sub of replaced";` }),
      ...installed("instead", ESM, { "index.js": `export const who = "instead";`, "sub.js": `export const sub = "sub of instead";` }),
      ...installed("user", {}, { "index.js": `exports.who = require("replaced").who;` }),
      "index.ts": answering(
        `import { who } from "replaced"; import { sub } from "replaced/sub.js"; import { who as other } from "user"; import * as instead from "instead"; import { increase } from "live";`,
        `[who, sub, other, instead.who, (await import("replaced")).who, require("replaced").who, increase()]`,
      ),
    },
    options: { esbuildArgs: { "--alias:replaced": "instead" } },
  },
  "an alias: a package that there is not": {
    files: { ...live, "index.ts": answering(`import { increase } from "virtual"; import { count } from "live"; const before = count;`, "[before, increase(), count]") },
    options: { esbuildArgs: { "--alias:virtual": "live" } },
  },
  "an alias: to a package that there is not": {
    files: { ...live, "index.ts": answering(`import { increase } from "live";`, "increase()") },
    options: { esbuildArgs: { "--alias:live": "nowhere-to-be-found" } },
  },
  "an alias: a package by an own file": {
    files: {
      ...live,
      ...installed("replaced", {}, { "index.js": `exports.who = "replaced";` }),
      "src/own.ts": `import { increase } from "live"; export const who = "own"; export const increased: number = increase();`,
      "index.ts": answering(`import { who, increased } from "replaced"; import { who as own } from "./src/own"; import { count } from "live";`, "[who, own, increased, count]"),
    },
    options: { esbuildArgs: { "--alias": ["replaced=./src/own.ts"] } },
  },
  "an alias: a package by an own file, for a package as well": {
    isSplit: false,
    files: {
      ...installed("replaced", {}, { "index.js": `exports.state = "replaced";` }),
      ...installed("user", {}, { "index.js": `exports.state = require("replaced").state;` }),
      "own.ts": `export const state = {};`,
      "index.ts": answering(`import { state } from "replaced"; import { state as other } from "user";`, "[state, state === other]"),
    },
    options: { esbuildArgs: { "--alias:replaced": "./own.ts" } },
  },
  "an alias: a scope, and what is below it": {
    files: {
      ...live,
      ...installed("@new/one", {}, { "index.js": `exports.one = "one";`, "deep/two.js": `exports.two = "two";` }),
      "index.ts": answering(`import { one } from "@old/one"; import { two } from "@old/one/deep/two"; import { increase } from "live";`, "[one, two, increase()]"),
    },
    options: { esbuildArgs: { "--alias:@old": "@new" } },
  },
  "an alias: a builtin by a package": {
    files: {
      ...installed("no-files", {}, { "index.js": `exports.existsSync = () => "no files";` }),
      ...installed("asks", {}, { "index.js": `exports.ask = () => require("fs").existsSync("/");` }),
      "index.ts": answering(`import { existsSync } from "fs"; import { ask } from "asks";`, "[existsSync(), ask()]"),
    },
    options: { esbuildArgs: { "--alias:fs": "no-files" } },
  },
  "an alias: by an external package, which the function has for itself": {
    beside: ["functions/node_modules/outside"],
    entry: "functions/index.ts",
    files: {
      ...live,
      ...under("functions", installed("outside", {}, { "index.js": `exports.who = "outside";`, "sub.js": `exports.sub = "sub";` })),
      ...installed("replaced", {}, { "index.js": `exports.who = "replaced";` }),
      "functions/index.ts": answering(`import { who } from "replaced"; import { sub } from "replaced/sub.js"; import { increase } from "live";`, "[who, sub, increase()]"),
    },
    options: { externalModules: ["outside"], esbuildArgs: { "--alias:replaced": "outside" } },
  },
  "an alias: of an external package": {
    files: {
      ...live,
      ...installed("instead", {}, { "index.js": `exports.who = "instead";` }),
      "index.ts": answering(`import { who } from "outside"; import { increase } from "live";`, "[who, increase()]"),
    },
    options: { externalModules: ["outside"], esbuildArgs: { "--alias:outside": "instead" } },
  },
  "an alias: the longest one": {
    files: {
      ...live,
      ...installed("short", {}, { "long/index.js": `exports.what = "short/long";`, "other.js": `exports.other = "short/other";` }),
      ...installed("longer", {}, { "index.js": `exports.what = "longer";` }),
      ...installed("replacedmore", {}, { "index.js": `exports.more = "more";` }),
      "index.ts": answering(`import { what } from "replaced/long"; import { other } from "replaced/other"; import { more } from "replacedmore"; import { increase } from "live";`, "[what, other, more, increase()]"),
    },
    options: { esbuildArgs: { "--alias": ["replaced=short", "replaced/long=longer"] } },
  },
  "an alias: of the SDK of the runtime": {
    files: {
      ...live,
      ...installed("no-sdk", {}, { "index.js": `exports.S3Client = "no client";` }),
      "index.ts": answering(`import { S3Client } from "@aws-sdk/client-s3"; import { increase } from "live";`, "[S3Client, increase()]"),
    },
    options: { esbuildArgs: { "--alias:@aws-sdk/client-s3": "no-sdk" } },
  },
  "an external package": {
    beside: ["node_modules/outside"],
    files: {
      ...live,
      ...installed("outside", { exports: { ".": { import: "./index.mjs", require: "./index.cjs" }, "./sub": "./sub.js" } }, {
        "index.mjs": `export const kind = "import";`,
        "index.cjs": `exports.kind = "require";`,
        "sub.js": `exports.sub = "sub";`,
      }),
      ...installed("needs-outside", {}, { "index.js": `exports.sub = () => require("outside/sub").sub;` }),
      "index.ts": answering(`import { kind } from "outside"; import { sub } from "outside/sub"; import { increase } from "live"; import "needs-outside";`, "[kind, sub, increase()]"),
    },
    options: { externalModules: ["outside"] },
  },
  "an external package of a package": {
    beside: ["node_modules/outside"],
    formats: ["cjs"],
    files: {
      ...installed("outside", {}, { "index.js": `exports.state = {};` }),
      ...installed("needs-outside", {}, { "index.js": `exports.state = require("outside").state;` }),
      "index.ts": answering(`import { state } from "needs-outside"; import { state as own } from "outside";`, "state === own"),
    },
    options: { externalModules: ["outside"] },
  },
  "one instance for a module and its requirer": {
    files: {
      ...installed("hazard", { exports: { import: "./index.mjs", require: "./index.cjs" } }, {
        "index.mjs": `export const state = { from: "import" };`,
        "index.cjs": `exports.state = { from: "require" };`,
      }),
      ...installed("requirer", {}, { "index.js": `exports.state = require("hazard").state;` }),
      "index.ts": answering(`import { state } from "hazard"; import { state as other } from "requirer";`, "[state, other, state === other]"),
    },
  },
  "an empty package": {
    entry: "index.js",
    files: { ...installed("empty", {}, { "index.js": "" }), ...live, "index.js": answering(`import * as empty from "empty"; import { count } from "live";`, "[Object.keys(empty), count]") },
  },
  "a script that only does something": {
    files: { ...installed("script", {}, { "index.js": `globalThis.script = "ran";` }), "index.ts": answering(`import "script";`, "globalThis.script") },
  },
  "a module that only does something, and data beside it": {
    files: {
      ...installed("script", ESM, { "index.js": `globalThis.script = "ran";`, "other.mjs": `globalThis.other = "ran";`, "data.json": `{ "a": 1 }` }),
      "index.ts": answering(`import "script"; import "script/other.mjs"; import data from "script/data.json";`, "[globalThis.script, globalThis.other, data]"),
    },
  },
  "an older target": {
    files: { ...live, ...compiled, "index.ts": answering(`import { increase, count } from "live"; import { named } from "compiled";`, "[increase(), count, named]") },
    options: { target: "es2018" },
  },
  "what is written: by the function and by packages": {
    files: {
      ...installed("talks", {}, {
        "index.js": `console.error("loaded"); console.log("out"); exports.talk = (who) => { console.warn("warned by %s", who); process.stderr.write("raw\\n"); };`,
      }),
      ...installed("modular", ESM, { "index.js": `console.error(new Error("an error").message, { a: [1] }); export const modular = 1;` }),
      "index.ts": `import { talk } from "talks"; import { modular } from "modular";\nconsole.info("own");\nexport const handler = async () => { talk("me"); console.debug("later"); console.error("%d", modular); };\n`,
    },
  },
  "what is written: warnings": {
    files: {
      ...installed("old", {}, {
        "index.js": `process.emitWarning("old is old", "DeprecationWarning", "OLD1"); exports.old = () => process.emitWarning("old is old", "DeprecationWarning", "OLD1");`,
      }),
      ...installed("unusual", ESM, { "index.js": `process.emitWarning("it is unusual", { type: "UnusualWarning", detail: "in detail" }); export const unusual = 1;` }),
      "index.ts": `import { old } from "old"; import { unusual } from "unusual"; import { deprecate } from "util";
        const own = deprecate(() => unusual, "own is old", "OWN1");
        export const handler = async () => { old(); own(); own(); process.emitWarning("at last"); await new Promise(setImmediate); };\n`,
    },
  },
  "what is written: what Node warns of by itself": {
    files: {
      ...installed("ages", {}, { "index.js": `exports.buffer = () => new Buffer(1).length;` }),
      ...installed("listens", ESM, {
        "index.js": `import { EventEmitter } from "events"; const emitter = new EventEmitter(); for (let n = 0; n < 11; n += 1) emitter.on("x", () => n); export const count = emitter.listenerCount("x");`,
      }),
      ...installed("removes", ESM, { "index.js": `import fs from "fs"; try { fs.rmdirSync("nowhere-to-be-found", { recursive: true }); } catch {} export const removed = 1;` }),
      "index.ts": answering(
        `import { buffer } from "ages"; import { count } from "listens"; import { removed } from "removes"; import url from "url";`,
        `[buffer(), count, removed, url.parse("http://a:b/").host]`,
      ),
    },
  },
  "what is written: with a package that Lambda's runtime brings along": {
    beside: ["runtime/node_modules/@aws-sdk/client-pretended"],
    provided: "runtime/node_modules",
    files: {
      ...live,
      ...under("runtime", installed("@aws-sdk/client-pretended", {}, { "index.js": `process.emitWarning("too old"); exports.Client = class Client {};` })),
      "index.ts": `import { Client } from "@aws-sdk/client-pretended"; import { increase } from "live";\nexport const handler = async () => { console.error(new Client()); return increase(); };\n`,
    },
  },
  "what is written: before a package throws": {
    files: {
      ...installed("broken", {}, { "index.js": `console.error("about to"); process.emitWarning("fail"); throw new RangeError("no good");` }),
      "index.ts": answering(`import broken from "broken";`, "broken"),
    },
  },
  "what is written: of an error that is thrown": {
    files: {
      ...live,
      "index.ts": `import { increase } from "live";\nexport const handler = async () => { console.error(increase()); throw new TypeError("thrown"); };\n`,
    },
  },
};
