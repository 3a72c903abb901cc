// What becomes of a vendor bundle while files are saved and packages are installed, and what a standby loads of it ahead.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { test } from "node:test";

import { Builds } from "../../src/builder/sidecar/builds.mjs";
import { RuntimeApi, start } from "../node-runner/support.mjs";
import { ALWAYS, layOut, liveOnce, npm, requestOf, workplace, write } from "./support.mjs";

const manifest = (name, version, more) => JSON.stringify({ name, version, type: "module", main: "index.js", ...more });

/** A function on the disk, with what builds it. */
function project(t, files, options = {}) {
  const place = workplace(t);
  const one = layOut(place, "app", options.format ?? "esm", { files, options: options.construct });
  const builds = new Builds(one.directory, npm, ALWAYS);
  t.after(() => builds.cool(one.id));
  return {
    ...one,
    save: (file, text) => write(path.join(one.directory, file), text),
    /** The answer to a call after a build, which is done when nothing goes on in the background. */
    async answer(settings) {
      const answer = await liveOnce(builds, one, settings);
      await builds.settled(one.id);
      return answer;
    },
    build: () => builds.build(requestOf(one)),
    artifacts: path.join(one.directory, ".sst/artifacts/function"),
  };
}

const tiny = (version, more = "") => ({
  "node_modules/tiny/package.json": manifest("tiny", version),
  "node_modules/tiny/index.js": `export const version = "${version}"; export const other = "other ${version}";${more}`,
});

const answering = (imports, expression) => `${imports}\nexport const handler = async () => (${expression});\n`;

test("own files are built alone until something of the packages changes", async (t) => {
  const app = project(t, { ...tiny("1.0.0"), "index.ts": answering(`import { version } from "tiny";`, "version") });
  const outcome = async () => {
    const { result, failed, isSplit } = await app.answer();
    return failed ? [failed.replace(/^.*?: /, "")] : [result, isSplit];
  };
  assert.deepEqual(await outcome(), ["1.0.0", false], "the first build is whole");
  assert.deepEqual(await outcome(), ["1.0.0", true]);
  app.save("index.ts", answering(`import { version } from "tiny";`, "`at ${version}`"));
  assert.deepEqual(await outcome(), ["at 1.0.0", true], "an own file");

  for (const [file, text] of Object.entries(tiny("2.0.0"))) app.save(file, text);
  assert.deepEqual(await outcome(), ["at 2.0.0", false], "the package was installed anew");
  assert.deepEqual(await outcome(), ["at 2.0.0", true]);

  app.save("node_modules/tiny/index.js", `export const version = "edited"; export const other = "other";`);
  assert.deepEqual(await outcome(), ["at edited", false], "a file of the package was edited");
  assert.deepEqual(await outcome(), ["at edited", true]);

  app.save("index.ts", answering(`import { version, other } from "tiny";`, "[version, other]"));
  assert.deepEqual(await outcome(), [["edited", "other"], false], "another export of it");
  assert.deepEqual(await outcome(), [["edited", "other"], true]);

  app.save("index.ts", answering(`import { version } from "tiny"; import { added } from "added";`, "[version, added]"));
  assert.deepEqual(await outcome(), [`Could not resolve "added": run \`npm install added\``]);
  app.save("node_modules/added/package.json", manifest("added", "1.0.0"));
  app.save("node_modules/added/index.js", `export const added = "added";`);
  assert.deepEqual(await outcome(), [["edited", "added"], false], "another package");
  assert.deepEqual(await outcome(), [["edited", "added"], true]);

  app.save("index.ts", answering(`import { version } from "tiny"; import { missing } from "added";`, "[version, missing]"));
  assert.deepEqual(await outcome(), [`No matching export in "node_modules/added/index.js" for import "missing"`]);
  app.save("index.ts", "export const handler = async () => {");
  assert.deepEqual(await outcome(), ["Unexpected end of file"]);
  app.save("index.ts", answering(`import { version } from "tiny"; import { added } from "added";`, "[added, version]"));
  assert.deepEqual(await outcome(), [["added", "edited"], true], "after errors it is as quick as before");

  fs.rmSync(path.join(app.directory, "node_modules/added"), { recursive: true });
  assert.deepEqual(await outcome(), [`Could not resolve "added": run \`npm install added\``]);
  const left = fs.readdirSync(app.artifacts).filter((name) => /^vendor-.*js$/.test(name));
  assert.ok(left.length <= 3, `what no worker loads any more is removed: ${left}`);
});

test("a build says which files it was made of, whole or not", async (t) => {
  const app = project(t, {
    ...tiny("1.0.0"),
    "node_modules/deep/package.json": manifest("deep", "1.0.0"),
    "node_modules/deep/index.js": `export { version } from "tiny";`,
    "lib/own.ts": `import { version } from "deep"; export const own = version;`,
    "index.ts": answering(`import { own } from "./lib/own";`, "own"),
  });
  const inputs = async () => {
    const { built } = await app.answer();
    // Besides these there is what was looked for.
    const read = built.inputs.filter((file) => file.startsWith(app.directory) && fs.existsSync(file));
    return read.map((file) => path.relative(app.directory, file)).sort();
  };
  const expected = ["index.ts", "lib/own.ts", "node_modules/deep/package.json", "node_modules/tiny/package.json", "package.json"];
  assert.deepEqual(await inputs(), expected);
  assert.deepEqual(await inputs(), expected, "built alone");
  app.save("lib/own.ts", "export const own = ;");
  const { failed } = await app.build();
  for (const file of ["index.ts", "lib/own.ts"]) assert.ok(failed.inputs.includes(path.join(app.directory, file)), `${file}: ${failed.inputs}`);
});

test("builds of the same files are the same", async (t) => {
  const app = project(t, { ...tiny("1.0.0"), "index.ts": answering(`import { version } from "tiny";`, "version") });
  await app.answer();
  const [second, third] = [await app.answer(), await app.answer()];
  assert.ok(second.isSplit && third.isSplit);
  assert.equal(second.built.fingerprint, third.built.fingerprint);
  assert.deepEqual(second.built.packages, third.built.packages, "a standby that has loaded one serves the other");
});

test("a function with little of packages is built whole", async (t) => {
  const app = project(t, { ...tiny("1.0.0"), "index.ts": answering(`import { version } from "tiny";`, "version") });
  const builds = new Builds(app.directory, npm);
  await builds.build(requestOf(app));
  await builds.settled(app.id);
  const { isSplit } = await liveOnce(builds, app);
  assert.equal(isSplit, false);
  builds.cool(app.id);
});

test("stack traces name the sources of the function and of its packages", async (t) => {
  const app = project(t, {
    ...tiny("1.0.0", "\n\nexport function fail() {\n  throw new Error('here');\n}"),
    "index.ts": `import { fail } from "tiny";\n\ninterface Gone {\n  a: string;\n}\n\nexport const handler = async () => fail();\n`,
  });
  await app.answer();
  assert.ok((await app.answer()).isSplit);
  const script = `import(${JSON.stringify(path.join(app.artifacts, "index.mjs"))}).then(({ handler }) => handler()).catch((error) => console.log(error.stack))`;
  const stack = execFileSync(process.execPath, ["--enable-source-maps", "-e", script], { encoding: "utf8" });
  for (const place of ["node_modules/tiny/index.js:4:", "index.ts:7:"]) assert.ok(stack.includes(path.join(app.directory, place)), stack);
});

for (const format of ["cjs", "esm"]) {
  test(`a standby evaluates packages ahead, once, and not past an own module that changes the world: ${format}`, async (t) => {
    const loud = (name) => ({
      [`node_modules/${name}/package.json`]: manifest(name, "1.0.0"),
      [`node_modules/${name}/index.js`]: `console.log("evaluated ${name} in " + process.env.PLACE); export const ${name} = "${name}";`,
    });
    const app = project(
      t,
      {
        ...loud("before"), ...loud("after"),
        "harmless.ts": `const table = process.env.TABLE; export const harmless = () => table;`,
        "change.ts": `process.env.PLACE = "changed";`,
        "index.ts": answering(
          `import { harmless } from "./harmless"; import { before } from "before"; import "./change"; import { after } from "after";`,
          "[before, after, harmless() ?? null]",
        ),
      },
      { format },
    );
    await app.answer();
    const { built, isSplit } = await app.answer();
    assert.ok(isSplit);
    const api = await new RuntimeApi().listen();
    const { child, prepare, assign, output, closed } = start(api, "index.handler", {
      standby: true,
      root: app.artifacts,
      more: { PLACE: "worker" },
      packages: built.packages,
    });
    t.after(() => (child.kill("SIGKILL"), api.close()));
    assert.ok(await prepare());
    while (!output().includes("evaluated")) await once(child.stdout, "data");
    assert.doesNotMatch(output(), /evaluated after/);
    assign();
    api.deliver({});
    const { body } = await api.post();
    assert.deepEqual(JSON.parse(body), ["before", "after", null]);
    child.kill("SIGKILL");
    await closed;
    const said = output().split("\n").map((line) => /evaluated.*/.exec(line)?.[0]).filter(Boolean);
    assert.deepEqual(said, ["evaluated before in worker", "evaluated after in changed"]);
  });
}

test("what a standby loads ahead follows the function's own files", async (t) => {
  const outside = { "node_modules/outside/package.json": manifest("outside", "1.0.0"), "node_modules/outside/index.js": "export const outside = 1;" };
  const options = { externalModules: ["outside"] };
  const steps = async (files, format = "cjs") => {
    const app = project(t, { ...tiny("1.0.0"), ...outside, ...files }, { format, construct: options });
    await app.answer();
    const { built } = await app.answer();
    const [[name] = []] = built.packages;
    return name ? JSON.parse(/of (\[.*\])\)/.exec(fs.readFileSync(path.join(app.artifacts, name), "utf8"))[1]) : [];
  };
  const both = `import { version } from "tiny"; import { outside } from "outside";`;
  const use = "[version, outside]";
  assert.deepEqual(await steps({ "index.ts": answering(both, use) }), [0, "outside"], "in the order of the imports");
  assert.deepEqual(await steps({ "index.ts": answering(both, use) }, "esm"), ["outside", 0], "a module's imports come first");
  assert.deepEqual(await steps({ "index.ts": answering(both, "version") }), [0], "what is not used is not loaded");
  assert.deepEqual(await steps({ "index.ts": answering(`import "./own"; ${both}`, use), "own.ts": "export {};\nprocess.chdir('/');" }), []);
  assert.deepEqual(await steps({ "index.ts": answering(`import "./own"; ${both}`, use), "own.ts": "export const at = process.env.AT;" }), [0, "outside"]);
  assert.deepEqual(await steps({ "index.ts": answering(`import "./own"; ${both}`, use), "own.ts": "process.env.AT = '1';" }), []);
  assert.deepEqual(await steps({ "index.ts": answering(`import "./own"; ${both}`, use), "own.ts": `import { version } from "tiny";\nversion.at(0);` }), [0]);
  assert.deepEqual(
    await steps({ "index.ts": answering("", `[require("./own")]`), "own.js": `const { version } = require("tiny");\nexports.a = () => require("outside");\n` }),
    [],
    "what is required later is not loaded ahead",
  );
  assert.deepEqual(
    await steps({ "index.ts": answering(`import own from "./own";`, "own.a()"), "own.js": `const { version } = require("tiny");\nexports.a = () => require("outside");\n` }),
    [0],
  );
});
