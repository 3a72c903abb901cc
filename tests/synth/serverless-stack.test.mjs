// Apps of SST v1: one of the last release before 1.0, which is CommonJS, and one of the last release of 1.x, which is not.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { describe, it, test } from "node:test";

import { Builds } from "../../src/builder/sidecar/builds.mjs";
import { REPOSITORY, copy, edit, fixture, functionsOf, synthesise, variablesOf } from "./support.mjs";

const APPS = [
  {
    app: "sst-0.69",
    stacks: ["dev-classic-functions", "dev-classic-events"],
    // The packages' own functions included: for scripts, and for the notifications of buckets.
    counts: { "dev-classic-functions": 11, "dev-classic-events": 13 },
    source: "src/",
    runtime: "nodejs14.x",
    plugins: "esbuild-plugins.js",
    banner: "",
    stackFile: "lib/FunctionsStack.js",
    main: "lib/index.js",
    functions: {
      "Table/changes": "consumer.js main",
      "Api/Lambda_GET_--": "api.js main",
      "Api/Lambda_GET_--notes--{id}": "typed.ts main",
      "Api/Lambda_default": "api.js fallback",
      Environment: "api.js main",
    },
    events: {
      "Topic/Subscriber_Topic_0": "consumer.js main",
      "Topic/Subscriber_Topic_1": "typed.ts main",
      "Queue/Consumer_Queue": "consumer.js main",
      "Cron/Job": "consumer.js main",
      "Bucket/Notification_Bucket_0": "consumer.js main",
      "Bus/orders_target_0": "consumer.js main",
      "Stream/records": "consumer.js main",
      "WebSocket/$connect": "consumer.js main",
      "WebSocket/$default": "consumer.js main",
      "Rest/Lambda_GET_--": "api.js main",
      "GraphQL/Lambda_GET_--": "api.js main",
      "Auth/preSignUp": "consumer.js main",
    },
  },
  {
    app: "sst-1.18",
    stacks: ["dev-modern-functions", "dev-modern-events"],
    counts: { "dev-modern-functions": 12, "dev-modern-events": 13 },
    source: "packages/functions/",
    runtime: "nodejs16.x",
    plugins: "esbuild-plugins.cjs",
    banner: "/* banner */",
    stackFile: "stacks/functions.ts",
    main: "stacks/index.ts",
    functions: {
      "Table/Consumer_Table_changes": "consumer.js main",
      "Api/Lambda_GET_--": "api.js main",
      "Api/Lambda_GET_--notes--{id}": "typed.ts main",
      "Api/Lambda_default": "api.js fallback",
      Environment: "api.js main",
      "GraphQL/Lambda_notes": "typed.ts main",
    },
    events: {
      "Topic/Subscriber_Topic_log": "consumer.js main",
      "Topic/Subscriber_Topic_typed": "typed.ts main",
      "Queue/Consumer_Queue": "consumer.js main",
      "Cron/Job": "consumer.js main",
      "Bucket/Notification_Bucket_log": "consumer.js main",
      "Bus/Target_Bus_orders_log": "consumer.js main",
      "Stream/Consumer_Stream_records": "consumer.js main",
      "WebSocket/$connect": "consumer.js main",
      "WebSocket/$default": "consumer.js main",
      "Rest/Lambda_GET_--": "api.js main",
      "GraphQL/Lambda_GET_--": "api.js main",
      "Auth/preSignUp": "consumer.js main",
    },
  },
];

for (const app of APPS) {
  const [functionsStack, eventsStack] = app.stacks;

  describe(app.app, () => {
    const project = fixture(app.app);
    const { status, stderr, records, templates } = synthesise(project);

    it("synthesises, and has nothing to say", () => {
      assert.equal(stderr, "");
      assert.equal(status, 0);
    });

    it("names its stacks after stage, app and stack", () => {
      assert.deepEqual(Object.keys(templates).sort(), [...app.stacks].sort());
    });

    it("knows the source of each Node function", () => {
      const expected = {};
      for (const [stack, functions] of [[functionsStack, app.functions], [eventsStack, app.events]]) {
        for (const [id, source] of Object.entries(functions)) expected[`${stack}/${id}`] = app.source + source;
      }
      expected[`${functionsStack}/Bundled`] = "services/billing/invoice.ts handler";
      const found = Object.values(records).filter(({ entry, runtime }) => entry && runtime.startsWith("nodejs"));
      const sources = found.map((record) => [record.path, `${path.relative(project, record.entry)} ${record.export}`]);
      assert.deepEqual(Object.fromEntries(sources.sort()), Object.fromEntries(Object.entries(expected).sort()));
      for (const record of found) {
        assert.equal(record.kind, "sst.Function");
        assert.equal(record.live, true);
        assert.equal(record.placeholder, true);
        assert.equal(record.runtime, app.runtime);
        assert.equal(record.assetPath, null);
      }
    });

    it("takes over how a function wants to be bundled", () => {
      const { bundling, root, handler } = records[`${functionsStack}/Bundled`];
      assert.equal(root, path.join(project, "services/billing"));
      assert.equal(handler, "services/billing/invoice.handler");
      assert.deepEqual(bundling, {
        format: "esm",
        target: "esnext",
        external: ["left-out", "installed"],
        loader: { ".png": "file" },
        define: { VERSION: '"1"' },
        banner: `import { createRequire as topLevelCreateRequire } from 'module';const require = topLevelCreateRequire(import.meta.url);${app.banner}`,
        footer: null,
        tsconfig: null,
        mainFields: ["module", "main"],
        conditions: [],
        inject: [],
        plugins: path.join(project, app.plugins),
        esbuild: {},
        environment: {},
        preCompilation: false,
        nodeModules: ["installed"],
        copyFiles: [{ from: path.join(project, "services/billing/template.html"), to: "template.html" }],
        commands: null,
      });
      const usual = records[`${functionsStack}/Environment`].bundling;
      assert.deepEqual([usual.format, usual.target], ["cjs", "node14"]);
      assert.deepEqual(usual.external, ["aws-sdk"]);
    });

    it("knows the sources of functions in Python and Go", () => {
      const python = records[`${functionsStack}/Python`];
      assert.equal(python.runtime, "python3.8");
      assert.equal(python.handler, "hello.handler");
      assert.equal(python.assetPath, path.join(project, "python"));
      assert.equal(python.entry, null);
      assert.equal(python.placeholder, true);
      const go = records[`${functionsStack}/Go`];
      assert.equal(go.runtime, "go1.x");
      assert.equal(go.entry, path.join(project, "go/main.go"));
      assert.equal(go.root, path.join(project, "go"));
      assert.equal(go.export, null);
      assert.equal(go.placeholder, true);
      // The package lets nobody choose how Go is built.
      for (const { bundling, build } of [python, go]) assert.deepEqual({ bundling, build }, { bundling: {}, build: null });
    });

    it("leaves functions real that are not to be live", () => {
      for (const id of ["Real", "Script/onCreateFunction"]) {
        const record = records[`${functionsStack}/${id}`];
        assert.equal(record.live, false, id);
        assert.equal(record.placeholder, true, id);
        assert.equal(record.entry, null, id);
        assert.equal(record.assetPath, null, id);
      }
    });

    it("leaves the package's own functions alone", () => {
      const { live, assetPath, placeholder } = records[`${functionsStack}/Script/ScriptHandler`];
      assert.deepEqual({ live, assetPath, placeholder }, { live: false, assetPath: null, placeholder: false });
    });

    it("keeps what the app says about its functions in the template", () => {
      const template = functionsOf(templates[functionsStack]);
      const { Properties: properties } = template[`${functionsStack}/Api/Lambda_GET_--notes--{id}`];
      assert.equal(properties.Handler, `${app.source}typed.main`);
      assert.equal(properties.Runtime, app.runtime);
      assert.equal(properties.Timeout, 5);
      assert.equal(properties.MemorySize, 1024);
      assert.deepEqual(properties.TracingConfig, { Mode: "Active" });
      assert.equal(properties.Environment.Variables.DEFAULT, "for all");
      assert.equal(template[`${functionsStack}/Environment`].Properties.Timeout, 20);
      assert.equal(template[`${functionsStack}/Python`].Properties.Runtime, "python3.8");
      assert.equal(template[`${functionsStack}/Go`].Properties.Runtime, "go1.x");
    });

    it("adds nothing of its own to the templates", () => {
      const text = JSON.stringify(templates);
      assert.doesNotMatch(text, /SST_DEBUG|SST_FUNCTION_ID|undefined/);
      assert.doesNotMatch(text, /Custom::StackMetadata/);
      for (const [stack, template] of Object.entries(templates)) {
        const recorded = Object.keys(records).filter((id) => id.startsWith(`${stack}/`));
        assert.deepEqual(recorded.sort(), Object.keys(functionsOf(template)).sort());
        assert.equal(recorded.length, app.counts[stack]);
      }
    });

    it("reads the stage's .env files, the more special first", () => {
      const variables = variablesOf(templates[functionsStack], `${functionsStack}/Environment`);
      assert.equal(variables.GREETING, "from .env.dev.local");
      assert.equal(variables.LOCAL, "from .env.dev");
      assert.equal(variables.STAGE, "from .env.dev");
      assert.equal(variables.LEAST, "from .env");
    });

    it("tells the app that it runs locally", () => {
      const variables = variablesOf(templates[functionsStack], `${functionsStack}/Environment`);
      assert.equal(variables.IS_LOCAL, "true");
      assert.equal(variables.APP_LOCAL, "true");
    });

    it("lists the files that a change of calls for another synthesis", () => {
      const inputs = JSON.parse(fs.readFileSync(path.join(project, ".sst/sources.jsonl.inputs.json"), "utf8"));
      for (const file of [app.main, app.stackFile, ".env", ".env.dev.local"]) {
        assert.ok(inputs.includes(path.join(project, file)), file);
      }
    });
  });

  test(`${app.app}: builds the functions that are deployed with their own code`, (context) => {
    const project = copy(context, app.app);
    const named = ["Real", "Python", "Script/onCreateFunction"].map((id) => `${functionsStack}/${id}`);
    const { status, stderr, records, templates, directory } = synthesise(project, { bundle: named });
    assert.equal(stderr, "");
    assert.equal(status, 0);
    const functions = functionsOf(templates[functionsStack]);
    const assetOf = (id) => path.join(directory, functions[id].Metadata["aws:asset:path"]);
    for (const id of named) assert.equal(records[id].placeholder, false, id);
    assert.ok(fs.existsSync(path.join(assetOf(named[0]), `${app.source}typed.js`)));
    assert.deepEqual(fs.readdirSync(assetOf(named[1])), ["hello.py"]);
    assert.ok(fs.existsSync(path.join(assetOf(named[2]), `${app.source}api.js`)));
    // The built code must not be taken for a source.
    assert.equal(records[named[0]].assetPath, null);
    assert.ok(!path.isAbsolute(functions[named[0]].Metadata["aws:asset:path"]));
    assert.equal(records[`${functionsStack}/Environment`].placeholder, true);
  });

  test(`${app.app}: a function that is not bundled is its handler's file alone, as it is deployed`, async (context) => {
    const files = {
      "plain/index.ts": `import AWS from "aws-sdk"; import fs from "fs";
        const attempt = (load: () => unknown) => { try { return load(); } catch (error: any) { return error.code; } };
        export const handler = async (): Promise<unknown> => {
          return [AWS.who, attempt(() => require("./other")), attempt(() => require("absent")), require("own").own, typeof fs.existsSync, module.exports.handler === handler];
        };`,
      "plain/other.js": `module.exports = "other";`,
      "plain/later.ts": `import later from "later-on"; import sdk from "@aws-sdk/client-of-the-runtime"; export const handler = async () => [later, sdk];`,
      "plain/broken.ts": `export const handler = () => { return (; };`,
      "plain/node_modules/own/index.js": `exports.own = "own";`,
      "plain/node_modules/aws-sdk/index.js": `exports.who = "the SDK";`,
    };
    const { project, asset, record, build } = bothWays(context, app, files, "bundle: false");
    // What the function's layers would bring along on Lambda.
    fs.cpSync(path.join(project, "plain/node_modules"), path.join(asset, "node_modules"), { recursive: true });
    const expected = answerOf(path.join(asset, "plain/index.js"));
    assert.deepEqual(expected, ["the SDK", "MODULE_NOT_FOUND", "MODULE_NOT_FOUND", "own", "function", true]);
    assert.deepEqual(record.unheeded, []);
    const { file, built, failed } = await build("index.ts");
    assert.equal(failed, undefined);
    assert.deepEqual(answerOf(file), expected);
    assert.deepEqual(built.provided, []);

    const { built: later } = await build("later.ts");
    assert.deepEqual(later.provided, ["@aws-sdk/client-of-the-runtime"]);
    assert.ok(later.inputs.includes(path.join(project, "plain/node_modules/later-on")), "a package that comes is noticed");
    const { failed: broken } = await build("broken.ts");
    assert.match(broken.summary, /^plain\/broken\.ts:1:40: Unexpected ";"$/);
  });

  test(`${app.app}: a module has the \`require\` that packages in CommonJS expect`, async (context) => {
    const files = {
      "plain/package.json": "{}",
      "plain/index.ts": `import { eol } from "uses-os"; export const handler = async () => [eol, typeof require, typeof BANNER, String((one: any) => (one.two ||= 1))];`,
      "plain/node_modules/uses-os/index.js": `exports.eol = require("os").EOL;`,
    };
    // The older release knows no banner.
    const banner = app.banner ? 'banner: "var BANNER = 1;"' : "";
    const { asset, build } = bothWays(context, app, files, `bundle: { format: "esm", ${banner} }`);
    const expected = answerOf(path.join(asset, "plain/index.js"));
    assert.deepEqual(expected, ["\n", "function", app.banner ? "number" : "undefined", "(one) => one.two ||= 1"]);
    const { file, failed } = await build("index.ts");
    assert.equal(failed, undefined);
    assert.deepEqual(answerOf(file), expected);
  });

  test(`${app.app}: finds the Go module that a function's directory is in`, (context) => {
    const project = copy(context, app.app);
    fs.renameSync(path.join(project, "go/go.mod"), path.join(project, "go.mod"));
    const { status, stderr, records } = synthesise(project);
    assert.equal(status, 0, stderr);
    const { entry, root } = records[`${functionsStack}/Go`];
    assert.deepEqual({ entry, root }, { entry: path.join(project, "go/main.go"), root: project });
  });

  test(`${app.app}: names the user's line of an error`, (context) => {
    const project = copy(context, app.app);
    edit(project, app.stackFile, "APP_LOCAL: ", "WRONG: missing.name, APP_LOCAL: ");
    const { status, stderr } = synthesise(project);
    assert.equal(status, 1);
    assert.match(stderr, /ReferenceError: missing is not defined/);
    assert.match(stderr, new RegExp(`at .*\\(${app.stackFile}:\\d+:\\d+\\)`));
    assert.doesNotMatch(stderr, /node_modules/);
  });

  test(`${app.app}: says which handler does not exist`, (context) => {
    const project = copy(context, app.app);
    edit(project, app.stackFile, "api.fallback", "nowhere.fallback");
    const { status, stderr } = synthesise(project);
    assert.equal(status, 1);
    assert.match(stderr, /Cannot find a handler file for ".*nowhere\.fallback"/);
    assert.match(stderr, /Api-Lambda_default/);
    assert.doesNotMatch(stderr, /node_modules|infra/);
  });

  test(`${app.app}: says which program it lacks for a function`, (context) => {
    const project = copy(context, app.app);
    const python = '"Python", { srcPath: "python", handler: "hello.handler", runtime: "python3.8" });';
    const of = app.app === "sst-0.69" ? "this" : "stack";
    const added = `new Function(${of}, "Dotnet", { srcPath: "python", handler: "Example::Example.Handlers::Handle", runtime: "dotnetcore3.1" });`;
    edit(project, app.stackFile, python, `${python}\n${added}`);
    const { status, stderr } = synthesise(project, { bundle: [`${app.stacks[0]}/Dotnet`] });
    assert.equal(status, 1);
    assert.match(stderr, /the function \S*Dotnet\S* \(dotnetcore3\.1\) cannot be built: `dotnet` is not installed\ninstall it/);
    assert.doesNotMatch(stderr, /TypeError/);
  });

  test(`${app.app}: says that its packages are not installed`, (context) => {
    const project = copy(context, app.app);
    fs.unlinkSync(path.join(project, "node_modules"));
    const { status, stderr } = synthesise(project);
    assert.equal(status, 1);
    assert.match(stderr, /`@serverless-stack\/resources` is not installed/);
    assert.match(stderr, /npm install/);
  });
}

test("an app without a `main` in sst.json is looked for in lib, then in stacks", (context) => {
  const project = copy(context, "sst-0.69");
  fs.renameSync(path.join(project, "lib"), path.join(project, "stacks"));
  fs.renameSync(path.join(project, "stacks/index.js"), path.join(project, "stacks/index.ts"));
  const { status, stderr, templates } = synthesise(project);
  assert.equal(stderr, "");
  assert.equal(status, 0);
  assert.deepEqual(Object.keys(templates).sort(), ["dev-classic-events", "dev-classic-functions"]);
});

test("what the app exports besides its main function is not called", (context) => {
  const project = copy(context, "sst-1.18");
  edit(project, "stacks/index.ts", "export default async function main", "export async function another");
  const { status, stderr } = synthesise(project);
  assert.equal(status, 1);
  assert.match(stderr, /`stacks\/index\.ts` has no default export that is a function/);
});

describe("the app's word on the debug stack", () => {
  const ask = (context, app, change = () => {}) => {
    const project = copy(context, app);
    change(project);
    const variables = { SST_DEBUG_TEMPLATE: path.join(REPOSITORY, "infra/debug-stack.yaml"), SST_DEBUG_STACK: "dev-x-debug-stack" };
    const file = path.join(project, ".sst/sources.jsonl.debug-stack.json");
    const { status, stderr } = synthesise(project, { variables });
    return { status, stderr, word: fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")) : undefined };
  };

  test("an app that exports only `debugApp` is told what to export instead", (context) => {
    const { status, word } = ask(context, "sst-0.69");
    assert.equal(status, 0);
    assert.match(word.notice, /`debugApp` is not called.*Export `debugStack\(app, stack, props\)`/);
    assert.equal(word.template, undefined);
  });

  test("an error of `debugStack` is shown with its place", (context) => {
    const { status, stderr } = ask(context, "sst-1.18");
    assert.equal(status, 1);
    assert.match(stderr, /there is no debug stack here/);
    assert.match(stderr, /stacks\/index\.ts:19/);
  });

  test("nothing can be added that has to be uploaded", (context) => {
    const { status, stderr } = ask(context, "sst-1.18", (project) => {
      edit(project, "stacks/index.ts", "debugStack()", "debugStack(_app: unknown, stack: any)");
      const code = `const { Code, Function: Lambda, Runtime } = require("aws-cdk-lib/aws-lambda");
        new Lambda(stack, "Own", { runtime: Runtime.NODEJS_16_X, handler: "a.b", code: Code.fromAsset("packages") });`;
      edit(project, "stacks/index.ts", 'throw new Error("there is no debug stack here");', code);
    });
    assert.equal(status, 1);
    assert.match(stderr, /`debugStack` adds something to the debug stack that has to be uploaded/);
  });

  test("a `debugStack` that does nothing leaves every resource and output as it is", (context) => {
    const { status, stderr, word } = ask(context, "sst-1.18", (project) =>
      edit(project, "stacks/index.ts", 'throw new Error("there is no debug stack here");', ""),
    );
    assert.equal(status, 0, stderr);
    const yaml = fs.readFileSync(path.join(REPOSITORY, "infra/debug-stack.yaml"), "utf8");
    const names = (section) => {
      const [, text] = new RegExp(`^${section}:\\n((?: .*\\n|\\n)*)`, "m").exec(yaml);
      return [...text.matchAll(/^ {2}(\w+):/gm)].map(([, name]) => name).sort();
    };
    const { Parameters, Resources, Outputs, Rules } = JSON.parse(word.template);
    assert.equal(Rules, undefined, "nothing has to be bootstrapped");
    assert.deepEqual(Object.keys(Parameters).sort(), names("Parameters"));
    assert.deepEqual(Object.keys(Resources).sort(), names("Resources"));
    assert.deepEqual(Object.keys(Outputs).sort(), names("Outputs"));
    assert.deepEqual(word.tags, {});
  });
});

/** Adds a function with its source in `plain` to an app: the asset with which it is deployed, and how it is built here. */
function bothWays(context, { app, stacks: [stack], stackFile }, files, options) {
  const project = copy(context, app);
  for (const [file, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(project, file)), { recursive: true });
    fs.writeFileSync(path.join(project, file), text);
  }
  const python = '"Python", { srcPath: "python", handler: "hello.handler", runtime: "python3.8" });';
  const scope = app === "sst-0.69" ? "this" : "stack";
  edit(project, stackFile, python, `${python}\nnew Function(${scope}, "Added", { srcPath: "plain", handler: "index.handler", ${options} });`);
  const id = `${stack}/Added`;
  const { status, stderr, directory, templates } = synthesise(project, { bundle: [id] });
  assert.equal(status, 0, stderr);
  const asset = path.join(directory, functionsOf(templates[stack])[id].Metadata["aws:asset:path"]);
  // It is written over by the next synthesis.
  const kept = path.join(project, "deployed");
  fs.cpSync(asset, kept, { recursive: true });
  const record = synthesise(project).records[id];
  const builds = new Builds(project, process.env.SST_NPM_ROOT ?? path.join(REPOSITORY, "npm"));
  context.after(() => builds.cool(id));
  const build = async (name) => {
    const output = path.join(project, ".sst/artifacts/added");
    const entry = path.join(path.dirname(record.entry), name);
    const { built, failed } = await builds.build({ ...record, function: id, entry, directory: output, provided: "v3" });
    return { built, failed, file: built && path.join(output, built.file) };
  };
  return { project, asset: kept, record, build };
}

/** What the handler of a file answers in plain Node. */
function answerOf(file) {
  const script = `const { handler } = await import(${JSON.stringify(file)}); process.stdout.write(JSON.stringify(await handler()));`;
  // In a script that is no module `require` would be there for all.
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8", cwd: path.dirname(file) });
  assert.equal(stderr, "");
  return JSON.parse(stdout);
}
