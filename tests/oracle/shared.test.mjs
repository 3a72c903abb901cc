// Functions that are built alike, as several handlers of one file: what they have in common, and that each is what was saved last.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";

import { Builds } from "../../src/builder/sidecar/builds.mjs";
import { withCommands } from "../../src/builder/sidecar/commands.mjs";
import { ALWAYS, layOut, liveOnce, npm, requestOf, workplace, write } from "./support.mjs";

const real = createRequire(path.join(npm, "package.json")).resolve("esbuild");

/** The project's own esbuild, which counts how often it builds and how many contexts there are. */
const COUNTING = `
const real = require(${JSON.stringify(real)});
const counted = (globalThis.esbuildRuns ??= { builds: 0, contexts: 0 });
exports.version = real.version;
exports.formatMessages = real.formatMessages;
exports.build = (options) => ((counted.builds += 1), real.build(options));
exports.context = async (options) => {
  const context = await real.context(options);
  counted.contexts += 1;
  return {
    rebuild: () => ((counted.builds += 1), context.rebuild()),
    dispose: () => ((counted.contexts -= 1), context.dispose()),
  };
};`;

/** How often esbuild has built since this was asked last. */
function builds() {
  const { builds } = globalThis.esbuildRuns;
  globalThis.esbuildRuns.builds = 0;
  return builds;
}

const contexts = () => globalThis.esbuildRuns.contexts;

const FILES = {
  "node_modules/esbuild/package.json": `{ "name": "esbuild", "version": "0.0.0", "main": "index.js" }`,
  "node_modules/esbuild/index.js": COUNTING,
  "node_modules/tiny/package.json": `{ "name": "tiny", "version": "1.0.0", "type": "module", "main": "index.js" }`,
  "node_modules/tiny/index.js": `export const tiny = "tiny"; export const unused = "unused";`,
};

const text = (version, more = "") => `import { tiny } from "tiny"; ${more}
export const handler = async () => [tiny, ${version}, __dirname.split("/").pop()];\n`;

/** An app whose functions are made of one file, and who asks for builds as the program does. */
function app(t, worthwhile = ALWAYS) {
  const one = layOut(workplace(t), "app", "cjs", { files: { ...FILES, "index.ts": text(0) } });
  const all = new Builds(one.directory, npm, worthwhile);
  const names = new Set();
  let [generation, since] = [0, 0];
  const as = (name) => ({ ...one, id: name, place: name });
  const numbered = (request) => ({ ...request, generation: (generation += 1), since });
  const requested = (name, bundling = {}) => {
    names.add(name);
    const request = requestOf(as(name));
    return numbered({ ...request, bundling: { ...request.bundling, ...bundling } });
  };
  t.after(() => names.forEach((name) => all.cool(name)));
  return {
    all,
    file: (...parts) => path.join(one.directory, ...parts),
    save(contents, file = "index.ts") {
      write(path.join(one.directory, file), contents);
      since = generation;
    },
    requested,
    build: (name, bundling) => all.build(requested(name, bundling)),
    /** What a call answers. */
    async answer(name, settings) {
      names.add(name);
      const { result, failed } = await liveOnce({ build: (request) => all.build(numbered(request)) }, as(name), settings);
      return failed ?? result;
    },
  };
}

test("one build of esbuild serves all, and each has all that belongs to it", async (t) => {
  const { all, file, save, build, answer } = app(t);
  const names = ["f0", "f1", "f2", "f3"];
  for (const name of names) assert.deepEqual(await answer(name), ["tiny", 0, name]);
  for (const name of names) await all.settled(name);
  assert.equal(contexts(), 1, "one for all");

  for (const version of [1, 2]) {
    save(text(version));
    builds();
    for (const name of names) assert.deepEqual(await answer(name, { standby: true }), ["tiny", version, name]);
    assert.equal(builds(), 1, `save ${version}`);
    const directories = names.map((name) => fs.readdirSync(file(".sst/artifacts", name)).sort());
    assert.ok(directories[0].some((one) => /^vendor-\w+\.cjs\.map$/.test(one)), "with a vendor bundle and its source map");
    for (const one of directories) assert.deepEqual(one, directories[0]);
  }
  // A debugger finds the source from each of them.
  const { sources } = JSON.parse(fs.readFileSync(file(".sst/artifacts/f3/index.cjs.map"), "utf8"));
  assert.ok(sources.map((source) => path.resolve(file(".sst/artifacts/f3"), source)).includes(file("index.ts")));

  save("export const handler = ;");
  builds();
  for (const name of names) assert.match((await build(name)).failed.summary, /^index.ts:1:24: Unexpected ";"/);
  assert.equal(builds(), 3, "the own files, the whole bundle, and what it depends on");
  save(text(3));
  for (const name of names) assert.deepEqual(await answer(name), ["tiny", 3, name]);

  for (const name of names.slice(1)) all.cool(name);
  assert.equal(contexts(), 1, "the last one is still there");
  all.cool("f0");
  assert.equal(contexts(), 0);
});

test("builds that are asked for while another one runs are one more, with what was saved meanwhile", async (t) => {
  const { all, save, build, file } = app(t);
  const names = ["f0", "f1", "f2", "f3"];
  for (const name of names) await build(name);
  await all.settled("f0");
  builds();
  save(text(1));
  await Promise.all(names.map((name) => build(name)));
  assert.equal(builds(), 1, "when they are asked for at once");

  save(text(2));
  const running = build("f0");
  while (globalThis.esbuildRuns.builds === 0) await new Promise(setImmediate);
  save(text(3));
  await Promise.all([running, ...names.map((name) => build(name))]);
  assert.equal(builds(), 2);
  for (const name of names) assert.match(fs.readFileSync(file(".sst/artifacts", name, "index.cjs"), "utf8"), /3, __dirname/);
});

test("a function that is built in another way leaves the others as they are", async (t) => {
  const { all, build, answer, file } = app(t);
  for (const name of ["f0", "f1", "f2"]) await build(name);
  await all.settled("f0");
  for (const name of ["f0", "f1", "f2"]) await build(name);
  const vendor = () => fs.readdirSync(file(".sst/artifacts/f0")).filter((name) => /^vendor-\w+\.cjs$/.test(name));
  assert.equal(vendor().length, 1);
  // What the others' vendor bundle was written for first has two builds without it, with which it is gone there.
  for (const define of ["1", "2", "3"]) assert.ok((await build("f0", { define: { NOTHING: define } })).built);
  await all.settled("f0");
  for (const name of ["f1", "f2", "f3"]) assert.deepEqual(await answer(name), ["tiny", 0, name]);
  // Nor do they need what somebody has removed.
  for (const name of ["f0", "f1", "f2", "f3"]) fs.rmSync(file(".sst/artifacts", name), { recursive: true });
  for (const name of ["f0", "f1", "f2", "f3", "f4"]) assert.deepEqual(await answer(name), ["tiny", 0, name]);
  for (const name of ["f0", "f1", "f2", "f3", "f4"]) all.cool(name);
  assert.equal(contexts(), 0);
});

test("a package that was edited is noticed, although nobody says so", async (t) => {
  for (const worthwhile of [ALWAYS, Infinity]) {
    const { all, file, answer } = app(t, worthwhile);
    for (const name of ["f0", "f1"]) await answer(name);
    await all.settled("f0");
    for (const name of ["f0", "f1"]) await answer(name);
    write(file("node_modules/tiny/index.js"), `export const tiny = "edited";`);
    for (const name of ["f2", "f3"]) assert.deepEqual(await answer(name), ["edited", 0, name]);
  }
});

test("an error that is mended is gone, although nobody says so", async (t) => {
  const { save, build, file, answer } = app(t);
  for (const name of ["f0", "f1"]) await build(name);
  save(text(1, `import "./missing";`));
  for (const name of ["f0", "f1"]) assert.match((await build(name)).failed.summary, /Could not resolve ".\/missing"/);
  write(file("missing.ts"), "");
  for (const name of ["f0", "f1", "f2"]) assert.deepEqual(await answer(name), ["tiny", 1, name]);
});

test("plugins and commands are asked for each function", async (t) => {
  const { all, requested, file } = app(t);
  const plugin = `{ name: "own", setup: ({ initialOptions }) => void (initialOptions.define = { OWN: JSON.stringify(initialOptions.outdir) }) }`;
  write(file("plugins.mjs"), `export default [${plugin}];`);
  const commands = { directory: file(), before: ["echo \"export const handler = () => '/asset-output'\" > index.ts"] };
  for (const bundling of [{ plugins: file("plugins.mjs") }, { commands }]) {
    write(file("index.ts"), "export const handler = () => OWN;");
    for (const name of ["f0", "f1"]) {
      const request = requested(name, bundling);
      assert.ok((await withCommands(request, () => all.build(request))).built);
      assert.match(fs.readFileSync(file(".sst/artifacts", name, "index.cjs"), "utf8"), new RegExp(`artifacts/${name}"`));
    }
    assert.equal(contexts(), 2);
  }
});

test("whatever is saved, built and forgotten in whatever order, none has older code than was saved", async (t) => {
  const { all, save, build, file } = app(t);
  let seed = 7;
  const random = (below) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * below);
  };
  const imports = `import { tiny } from "tiny"; import { version } from "./lib";`;
  const handler = "export const handler = () => [tiny, version];";
  let [version, isBroken, waiting] = [0, false, []];
  const lib = () => `export const version = ${version};`;
  save(lib(), "lib/index.ts");
  save(`${imports} ${handler}`);
  for (let step = 0; step < 1_000; step += 1) {
    const name = `f${random(5)}`;
    const action = random(30);
    if (action < 4) {
      version += 1;
      // A file that comes is read in the place of the one that there was, which stays as it was.
      const comes = random(2) === 0;
      if (!comes) fs.rmSync(file("lib.ts"), { force: true });
      save(lib(), comes ? "lib.ts" : "lib/index.ts");
    } else if (action < 5) {
      isBroken = !isBroken && random(2) === 0;
      save(`${imports} ${isBroken ? `import "./missing";` : ""} ${handler}`);
    } else if (action < 6) {
      all.cool(name);
    } else if (action < 16) {
      await Promise.all(waiting);
      waiting = [];
    } else {
      const least = version;
      const define = random(8) === 0 ? { define: { OTHER: "1" } } : {};
      const check = ({ built, failed }) => {
        if (failed) return assert.match(failed.summary, /Could not resolve "\.\/missing"/);
        const code = fs.readFileSync(file(".sst/artifacts", name, built.file), "utf8");
        const found = Number(/version = (\d+)/.exec(code)[1]);
        assert.ok(found >= least, `${name} is ${found} instead of ${least} in step ${step}`);
        const loaded = /require\("\.\/(vendor-\w+\.cjs)"\)/.exec(code)?.[1];
        if (loaded) assert.ok(fs.existsSync(file(".sst/artifacts", name, loaded)), "what it loads is there");
      };
      waiting.push(build(name, define).then(check));
    }
  }
  await Promise.all(waiting);
});
