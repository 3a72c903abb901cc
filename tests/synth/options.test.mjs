// Every option of the constructs whose bundling ours takes the place of is honoured, or has no meaning here, or is named. What is
// honoured makes the same difference as in the CDK's own bundle of the same construct, run by plain Node.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import readline from "node:readline";
import { after, before, describe, it } from "node:test";

import flags from "../../infra/synth/esbuild-flags.cjs";
import options from "../../infra/synth/options.cjs";
import { REPOSITORY, fixture } from "./support.mjs";

const FIXTURES = path.join(REPOSITORY, "tests", "fixtures");
const require = createRequire(path.join(FIXTURES, "package.json"));
const ts = require("typescript");

const CORE = path.join(FIXTURES, "node_modules/aws-cdk-lib/core/lib");
const DOCKER = path.join(CORE, "bundling.d.ts");
/** Where the interfaces are that others extend. */
const PARENTS = {
  DockerRunOptions: DOCKER,
  CopyOptions: path.join(CORE, "fs/options.d.ts"),
  FileCopyOptions: path.join(CORE, "fs/options.d.ts"),
  AssetOptions: path.join(CORE, "assets.d.ts"),
};

/** The options that a package declares by an interface, with those that it extends; those of `esbuildConfig` as `esbuildConfig.define`. */
function declared(file, name) {
  const source = ts.createSourceFile(file, fs.readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true);
  const found = source.statements.find((one) => (ts.isInterfaceDeclaration(one) || ts.isTypeAliasDeclaration(one)) && one.name.text === name);
  if (!found) {
    assert.ok(PARENTS[name] && PARENTS[name] !== file, `${name} is not in ${file}`);
    return declared(PARENTS[name], name);
  }
  // `cdk.AssetOptions` is one of another package.
  const parents = (found.heritageClauses ?? []).flatMap((clause) => clause.types.map(({ expression }) => expression));
  const ofType = (type) => (ts.isTypeReferenceNode(type) ? declared(file, type.typeName.text) : type.members.map((one) => one.name.text));
  const own = (found.members ?? found.type.members).filter(ts.isPropertySignature).flatMap((member) => {
    if (member.name.text !== "esbuildConfig") return [member.name.text];
    return ofType(member.type).map((one) => `esbuildConfig.${one}`);
  });
  const ofParent = (parent) => (parent.name ? declared(PARENTS[parent.name.text], parent.name.text) : declared(file, parent.text));
  return [...own, ...parents.flatMap(ofParent)];
}

describe("the options that the packages declare", () => {
  const languages = path.join(fixture("cdk-languages"), "node_modules");
  const sst = (version) => path.join(fixture(version), "node_modules/@serverless-stack/resources/dist/Function.d.ts");
  const common = ["copyFiles"];
  const TABLE = [
    ["NodejsFunction", path.join(FIXTURES, "node_modules/aws-cdk-lib/aws-lambda-nodejs/lib/types.d.ts"), "BundlingOptions"],
    ["GoFunction", path.join(languages, "@aws-cdk/aws-lambda-go-alpha/lib/types.d.ts"), "BundlingOptions"],
    ["PythonFunction", path.join(languages, "@aws-cdk/aws-lambda-python-alpha/lib/types.d.ts"), "BundlingOptions"],
    ["RustFunction", path.join(languages, "cargo-lambda-cdk/lib/types.d.ts"), "BundlingOptions"],
    ["Code.fromAsset with bundling", DOCKER, "BundlingOptions"],
    ["Code.fromAsset", path.join(FIXTURES, "node_modules/aws-cdk-lib/aws-s3-assets/lib/asset.d.ts"), "AssetOptions"],
    ["sst.Function", sst("sst-1.18"), "FunctionBundleNodejsProps"],
    ["sst.Function", sst("sst-0.69"), "FunctionBundleNodejsProps", common],
    ["sst.Function in another language", sst("sst-1.18"), "FunctionBundlePythonProps"],
    ["sst.Function in another language", sst("sst-1.18"), "FunctionBundleJavaProps"],
  ];

  for (const [construct, file, name, more = []] of TABLE) {
    it(`of \`${construct}\` are all known (${path.relative(FIXTURES, file)})`, () => {
      const names = [...declared(file, name), ...more];
      assert.ok(names.length >= 2, `${names}`);
      const unknown = names.filter((one) => options.TABLE[construct][one] === undefined);
      assert.deepEqual(unknown, []);
    });
  }

  it("of a construct are no others than those that we know", () => {
    const known = {};
    for (const [construct, file, name, more = []] of TABLE) {
      known[construct] = [...(known[construct] ?? []), ...declared(file, name), ...more];
    }
    for (const [construct, ours] of Object.entries(options.TABLE)) {
      if (!known[construct]) continue;
      const invented = Object.keys(ours).filter((one) => !known[construct].includes(one));
      assert.deepEqual(invented, [], construct);
    }
  });

  it("of esbuild are all known by their flags, as far as a build is made with them", () => {
    const file = path.join(FIXTURES, "node_modules/esbuild/lib/main.d.ts");
    /** Not for a command line, or about where and how the code is written, which is decided here. */
    const other = ["absWorkingDir", "entryPoints", "logStyle", "nodePaths", "plugins", "stdin", "write"];
    const named = ["entryNames", "mangleCache", "minify", "minifyIdentifiers", "minifySyntax", "minifyWhitespace"];
    named.push("outExtension", "outbase", "outdir", "outfile", "splitting");
    const declaredByEsbuild = declared(file, "BuildOptions");
    assert.ok(declaredByEsbuild.length > 60);
    for (const option of declaredByEsbuild) {
      if (other.includes(option)) continue;
      const flag = `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
      const { unknown } = flags.read([`${flag}=1`]);
      assert.deepEqual(unknown, named.includes(option) ? [flag] : [], option);
    }
  });
});

it("flags are read as esbuild reads them", () => {
  const args = {
    "--define:KEY": "a=b",
    "--alias": ["one=./one", "two=pkg"],
    "--drop": "console",
    "--drop-labels": "DEV,TEST",
    "--pure": ["a.b"],
    "--external": ["x", "y/*"],
    "--keep-names": true,
    "--tree-shaking": "false",
    "--supported:bigint": "false",
    "--log-level": "debug",
    "--line-limit": "80",
    "--minify": true,
    "--ignored": false,
  };
  assert.deepEqual(flags.read(flags.fromConstruct(args)), {
    options: {
      define: { KEY: "a=b" },
      alias: { one: "./one", two: "pkg" },
      drop: ["console"],
      dropLabels: ["DEV", "TEST"],
      pure: ["a.b"],
      external: ["x", "y/*"],
      keepNames: true,
      treeShaking: false,
      supported: { bigint: false },
      lineLimit: 80,
    },
    unknown: ["--minify"],
  });
});

// ---- The same difference as in the CDK's own bundle ------------------------------------------------------------------------

/** Name → the entry file's text (and other files), the options of its bundling as text, and what it must answer. */
const CASES = {
  keepNames: {
    files: {
      "handler.ts": `import { make } from "./other"; class Same {} export const handler = () => [new Same().constructor.name, make()];`,
      "other.ts": `class Same {} export const make = () => new Same().constructor.name;`,
    },
    bundling: "keepNames: true",
    answer: ["Same", "Same"],
  },
  charset: {
    files: { "handler.ts": `export const handler = () => String(() => "Grüße");` },
    bundling: `esbuildArgs: { "--charset": "utf8" }`,
    answer: '() => "Grüße"',
  },
  charsetOfTheConstruct: {
    files: { "handler.ts": `export const handler = () => String(() => "Grüße");` },
    bundling: "charset: nodejs.Charset.UTF8",
    answer: '() => "Gr\\xFC\\xDFe"',
  },
  drop: {
    files: { "handler.ts": `let n = 0; console.log((n += 1)); export const handler = () => { DEV: n += 10; return n; };` },
    bundling: `esbuildArgs: { "--drop": ["console"], "--drop-labels": "DEV" }`,
    answer: 0,
  },
  alias: {
    files: { "handler.ts": `import { which } from "which-one"; export const handler = () => which;`, "mine.ts": `export const which = "mine";` },
    bundling: `esbuildArgs: { "--alias": ["which-one=./src/alias/mine.ts"] }`,
    answer: "mine",
  },
  jsx: {
    files: { "handler.tsx": `const h = (...all: unknown[]) => all; export const handler = () => <b id="1">text</b>;` },
    bundling: `esbuildArgs: { "--jsx-factory": "h" }`,
    answer: ["b", { id: "1" }, "text"],
  },
  mangle: {
    files: { "handler.ts": `export const handler = () => Object.keys({ kept: 1, secret_: 2, other_: 3 });` },
    bundling: `esbuildArgs: { "--mangle-props": "_$", "--reserve-props": "^other" }`,
    answer: ["kept", "a", "other_"],
  },
  extensions: {
    files: {
      "handler.ts": `import { which } from "./which"; export const handler = () => which;`,
      "which.ts": `export const which = "plain";`,
      "which.lambda.ts": `export const which = "lambda";`,
    },
    bundling: `esbuildArgs: { "--resolve-extensions": ".lambda.ts,.ts" }`,
    answer: "lambda",
  },
  texts: {
    files: {
      "handler.ts": `import text from "./a.txt"; export const handler = () => [text, VERSION, FIRST, LAST, injected];`,
      "a.txt": "a text",
      "injected.ts": `export const injected = "in";`,
    },
    bundling: `loader: { ".txt": "text" }, define: { VERSION: '"1"' }, banner: 'var FIRST = "first";', footer: 'var LAST = "last";',
      inject: ["./src/texts/injected.ts"]`,
    answer: ["a text", "1", "first", "last", "in"],
  },
  args: {
    files: { "handler.ts": `export const handler = () => [A, B, typeof FIRST];` },
    bundling: `esbuildArgs: { "--define:A": "1", "--define:B": '"two"', "--banner:js": "var FIRST = 1;", "--log-limit": "0" }`,
    answer: [1, "two", "number"],
  },
  preCompilation: {
    files: {
      "handler.ts": `import "./metadata"; import { Imported, Text } from "./types"; import { seen } from "./other"; import { types } from "./metadata";
        const mark: any = () => {};
        class Own {}
        class Service { constructor(@mark a: Own, b: Imported) {} @mark method(a: Text, b: string[]): Promise<void> { return null as any; } }
        export const handler = () => [types, seen, Service.name];`,
      "metadata.ts": `export const types: string[] = [];
        (Reflect as any).metadata = (key: string, value: any) => () => {
          types.push(key + " " + [].concat(value).map((one: any) => one?.name).join());
        };`,
      "types.ts": `export class Imported {} export type Text = string;`,
      "other.ts": `import "./metadata"; const mark: any = () => {}; class Other { @mark field: string; } export const seen = [Other.name];`,
      "tsconfig.json": JSON.stringify({
        compilerOptions: { target: "es2022", module: "commonjs", skipLibCheck: true, experimentalDecorators: true, emitDecoratorMetadata: true },
      }),
    },
    bundling: "preCompilation: true",
    answer: [
      ["design:returntype Promise", "design:paramtypes String,Array", "design:type Function", "design:paramtypes Own,Imported"],
      ["Other"],
      "Service2",
    ],
  },
  hooks: {
    files: {
      "handler.ts": `import { made } from "./made"; import fs from "fs"; import path from "path";
        export const handler = () => [made, fs.readFileSync(path.join(__dirname, "data/copied.txt"), "utf8"), fs.readFileSync(path.join(__dirname, "env"), "utf8")];`,
      "copied.txt": "copied",
    },
    bundling: `environment: { WHO: "the environment" }, commandHooks: {
      beforeBundling: (input, output) => ['echo "export const made = 1 + 1;" > ' + input + "/src/hooks/made.ts", "test -d " + output],
      beforeInstall: () => ["exit 1"],
      afterBundling: (input, output) => [
        "mkdir -p " + output + "/data && cp src/hooks/copied.txt " + output + "/data/copied.txt",
        'printf "%s" "$WHO" > ' + path.join(output, "env"),
      ],
    }`,
    answer: [2, "copied", "the environment"],
  },
};

describe("options make the same difference as in the CDK's own bundle", () => {
  const project = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "options-"));
  let usual;
  let records;
  let sidecar;

  before(() => {
    write(project, CASES);
    usual = synthesise(project, {});
    records = synthesise(project, { SST_SOURCES: path.join(project, ".sst/sources.jsonl") }).records;
    sidecar = new Sidecar(project);
  });
  after(() => {
    sidecar?.end();
    fs.rmSync(project, { recursive: true, force: true });
  });

  for (const [name, { answer }] of Object.entries(CASES)) {
    it(name, async () => {
      const { built, failed } = await sidecar.build(records[`options/${name}`]);
      assert.equal(failed, undefined);
      const ours = run(path.join(built.directory, built.file));
      assert.deepEqual(ours, run(path.join(usual.assetOf(name), "index.js")));
      if (answer !== undefined) assert.deepEqual(ours, answer);
    });
  }

  it("again after a save, with what the commands read and write", async () => {
    const record = records["options/hooks"];
    const { built: first } = await sidecar.build(record);
    const copied = path.join(project, "src/hooks/copied.txt");
    assert.ok(first.inputs.includes(copied), "what a command copies is watched");
    assert.ok(!first.inputs.includes(path.join(project, ".sst")), "what is written is not");
    fs.writeFileSync(copied, "changed");
    const { built: second } = await sidecar.build(record);
    assert.notEqual(second.fingerprint, first.fingerprint);
    assert.equal(run(path.join(second.directory, second.file))[1], "changed");
    const { built: third } = await sidecar.build(record);
    assert.equal(third.fingerprint, second.fingerprint, "nothing has changed");
  });

  it("a command that fails is a build error with what it has said", async () => {
    const record = structuredClone(records["options/hooks"]);
    record.bundling.commands.after = ["echo said >&2; exit 3"];
    const { failed } = await sidecar.build(record);
    assert.equal(failed.summary, "`echo said >&2; exit 3` ended with exit code 3");
    assert.match(failed.detail, /\nsaid$/);
    assert.equal(failed.errorType, "Sst.BuildFailed");
  });

  it("types that metadata is about are watched", async () => {
    const { built } = await sidecar.build(records["options/preCompilation"]);
    assert.ok(built.inputs.includes(path.join(project, "src/preCompilation/types.ts")));
  });

  it("a syntax error of a file that is compiled first is told with its place", async () => {
    const record = structuredClone(records["options/preCompilation"]);
    record.entry = path.join(project, "src/preCompilation/broken.ts");
    fs.writeFileSync(record.entry, "export const handler = () => {\n  return (;\n};\n");
    const { failed } = await sidecar.build(record);
    assert.equal(failed.summary, "src/preCompilation/broken.ts:2:11: Expression expected.");
  });

  it("packages that are installed are there without being imported by name, and files are copied", async () => {
    const record = structuredClone(records["options/args"]);
    record.path = "options/copies";
    fs.mkdirSync(path.join(project, "src/args/folder/below"), { recursive: true });
    fs.writeFileSync(path.join(project, "src/args/folder/below/file.txt"), "below");
    const from = path.join(project, "src/args/folder");
    Object.assign(record.bundling, { nodeModules: ["tslib"], copyFiles: [{ from, to: "other" }] });
    const { built } = await sidecar.build(record);
    assert.equal(fs.readFileSync(path.join(built.directory, "other/below/file.txt"), "utf8"), "below");
    assert.ok(fs.existsSync(path.join(built.directory, "node_modules/tslib/package.json")));
    assert.ok(built.inputs.includes(from));
    record.bundling.copyFiles = [{ from: `${from}/absent`, to: "x" }];
    const { failed } = await sidecar.build(record);
    assert.equal(failed.summary, `\`copyFiles\` names \`${from}/absent\`, which does not exist`);
    assert.ok(failed.inputs.includes(from), "where it may appear is watched");
  });
});

describe("an app is told of options without effect", () => {
  it("by name, with the reason", () => {
    const project = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "options-"));
    try {
      const files = { "handler.ts": "export const handler = () => 1;" };
      write(project, {
        Quiet: { files, bundling: `sourceMap: true, sourceMapMode: nodejs.SourceMapMode.INLINE, metafile: true, logLevel: "error", minify: false` },
        Loud: { files, bundling: `minify: true, command: ["make"], esbuildArgs: { "--minify-syntax": true, "--outdir": "x", "--nonsense": "1" }` },
      });
      const { records } = synthesise(project, { SST_SOURCES: path.join(project, ".sst/sources.jsonl") });
      assert.deepEqual(records["options/Quiet"].unheeded, []);
      const told = records["options/Loud"].unheeded.map(({ option }) => option);
      assert.deepEqual(told, ["command", "minify", ...["--minify-syntax", "--outdir", "--nonsense"].map((flag) => `esbuildArgs["${flag}"]`)]);
      assert.ok(records["options/Loud"].unheeded.every(({ reason }) => reason.length > 10));
    } finally {
      fs.rmSync(project, { recursive: true, force: true });
    }
  });
});

describe("code that an app makes of an asset", () => {
  const project = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "options-"));
  const sources = path.join(project, ".sst/sources.jsonl");
  const asset = path.join(project, "src/asset");
  let records;

  before(() => {
    const code = (bundling) => `code: Code.fromAsset("src/asset", { bundling: { image: DockerImage.fromRegistry("none"), ${bundling} } })`;
    const local = (body) => code(`local: { tryBundle(output, options) { ${body} } }, command: ["make", "/asset-output"]`);
    write(project, { asset: { files: { "handler.js": "exports.handler = () => 1;" }, bundling: "" } }, [
      `new Function(stack, "Command", { runtime, handler: "index.handler", ${code(`command: ["bash", "-c", "cp /asset-input/* /asset-output && ls /cache/x /asset-inputs"],
        volumes: [{ hostPath: "/host", containerPath: "/cache" }], environment: { A: "1" }, user: "root", volumesFrom: ["other"]`)} });`,
      `new Function(stack, "Local", { runtime, handler: "index.handler", ${local('require("fs").writeFileSync(output + "/index.js", options.command.join()); return true;')} });`,
      `new Function(stack, "Promised", { runtime, handler: "index.handler", ${local('return new Promise((done) => setImmediate(() => { require("fs").writeFileSync(output + "/late", ""); done(false); }));')} });`,
      `new Function(stack, "Declines", { runtime, handler: "index.handler", ${local("return false;")} });`,
      `new Function(stack, "Throws", { runtime, handler: "index.handler", ${local('throw new Error("not today");')} });`,
      'new Function(stack, "Plain", { runtime, handler: "handler.handler", code: Code.fromAsset("src/asset", { exclude: ["*.md"] }) });',
    ]);
    records = synthesise(project, { SST_SOURCES: sources }).records;
  });
  after(() => fs.rmSync(project, { recursive: true, force: true }));

  /** Runs the app for the code of one function, as src/languages/making.rs does. */
  function make(id) {
    const output = fs.mkdtempSync(path.join(project, "output-"));
    fs.rmSync(`${sources}.made.json`, { force: true });
    const hook = path.join(REPOSITORY, "infra/synth/hook.cjs");
    const env = { ...process.env, SST_SOURCES: sources, SST_MAKE: `options/${id}`, SST_MAKE_OUTPUT: output, CDK_OUTDIR: path.join(project, ".sst/cdk.out") };
    spawnSync(process.execPath, ["--require", hook, "app.cjs"], { cwd: project, env, timeout: 120_000 });
    return { output, answer: JSON.parse(fs.readFileSync(`${sources}.made.json`, "utf8")) };
  }

  it("by commands is recorded with the real directories", () => {
    const { making, placeholder, assetPath, unheeded } = records["options/Command"];
    assert.deepEqual({ placeholder, assetPath }, { placeholder: true, assetPath: asset });
    assert.deepEqual(making, {
      command: ["bash", "-c", `cp ${asset}/* /asset-output && ls /host/x /asset-inputs`],
      directory: asset,
      environment: { A: "1" },
      tryBundle: null,
    });
    assert.deepEqual(unheeded.map(({ option }) => option), ["volumesFrom"]);
    assert.deepEqual(records["options/Plain"].unheeded.map(({ option }) => option), ["exclude"]);
    assert.equal(records["options/Plain"].making, null);
  });

  it("by a function of its own is made when that is asked for, and known by the function's text", () => {
    const { output, answer } = make("Local");
    assert.equal(answer, "made");
    assert.equal(fs.readFileSync(path.join(output, "index.js"), "utf8"), "make,/asset-output");
    const texts = ["Local", "Promised", "Declines"].map((id) => records[`options/${id}`].making.tryBundle);
    assert.equal(new Set(texts).size, 3);
  });

  it("is awaited where that function promises it", () => {
    const { output, answer } = make("Promised");
    assert.equal(answer, "made");
    assert.ok(fs.existsSync(path.join(output, "late")));
  });

  it("is left to the commands, or fails, as that function says", () => {
    assert.equal(make("Declines").answer, "declined");
    assert.match(make("Throws").answer.failed, /^Error: not today\n +at /);
  });
});

/** Writes an app with one function for each case. */
function write(project, cases, more = []) {
  fs.symlinkSync(path.join(FIXTURES, "node_modules"), path.join(project, "node_modules"));
  fs.writeFileSync(path.join(project, "package.json"), '{ "name": "options", "private": true }');
  fs.writeFileSync(path.join(project, "package-lock.json"), '{ "lockfileVersion": 3, "packages": {} }');
  const functions = Object.entries(cases).map(([name, { files, bundling }]) => {
    const directory = path.join(project, "src", name);
    fs.mkdirSync(directory, { recursive: true });
    for (const [file, text] of Object.entries(files)) fs.writeFileSync(path.join(directory, file), text);
    const entry = Object.keys(files).find((file) => file.startsWith("handler."));
    if (bundling === "") return "";
    return `new nodejs.NodejsFunction(stack, "${name}", { runtime, entry: "src/${name}/${entry}", bundling: { ${bundling} } });`;
  });
  fs.writeFileSync(
    path.join(project, "app.cjs"),
    `const { App, DockerImage, Stack } = require("aws-cdk-lib"); const path = require("path");
     const nodejs = require("aws-cdk-lib/aws-lambda-nodejs"); const { Code, Function, Runtime } = require("aws-cdk-lib/aws-lambda");
     const runtime = Runtime.NODEJS_22_X;
     const app = new App(); const stack = new Stack(app, "options");
     ${[...functions, ...more].join("\n")}
     app.synth();`,
  );
}

/** Runs the app as the CDK CLI does; with the hook if there is a file for what it records. */
function synthesise(project, variables) {
  const hook = path.join(REPOSITORY, "infra/synth/hook.cjs");
  const directory = path.join(project, variables.SST_SOURCES ? ".sst/cdk.out" : "cdk.out");
  fs.mkdirSync(directory, { recursive: true });
  const context = { "aws:cdk:enable-asset-metadata": true, "aws:cdk:enable-path-metadata": true, "aws:cdk:bundling-stacks": ["**"] };
  const env = { ...process.env, ...variables, CDK_OUTDIR: directory, CDK_CONTEXT_JSON: JSON.stringify(context) };
  const args = [...(variables.SST_SOURCES ? ["--require", hook] : []), "app.cjs"];
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: project, env, encoding: "utf8", timeout: 240_000 });
  assert.equal(status, 0, stderr);
  const template = JSON.parse(fs.readFileSync(path.join(directory, "options.template.json"), "utf8"));
  const assetOf = (name) => {
    const found = Object.values(template.Resources).find(({ Metadata }) => Metadata["aws:cdk:path"] === `options/${name}/Resource`);
    return path.join(directory, found.Metadata["aws:asset:path"]);
  };
  const lines = variables.SST_SOURCES ? fs.readFileSync(variables.SST_SOURCES, "utf8").split("\n").filter(Boolean) : [];
  const records = Object.fromEntries(lines.map((line) => JSON.parse(line)).map((record) => [record.path, record]));
  return { assetOf, records };
}

/** The process that builds functions, asked as src/builder/esbuild.rs asks it. */
class Sidecar {
  #answers = new Map();
  #next = 0;

  constructor(project) {
    this.project = project;
    const script = path.join(REPOSITORY, "src/builder/sidecar/main.mjs");
    const npm = process.env.SST_NPM_ROOT ?? path.join(REPOSITORY, "npm");
    this.child = spawn(process.execPath, [script, project, npm], { cwd: project, stdio: ["pipe", "pipe", "ignore"] });
    readline.createInterface({ input: this.child.stdout }).on("line", (line) => {
      const { id, ...answer } = JSON.parse(line);
      this.#answers.get(id)(answer);
    });
  }

  async build({ path: name, entry, root, bundling }) {
    const directory = path.join(this.project, ".sst/artifacts", name.replaceAll("/", "+"));
    this.#next += 1;
    const id = this.#next;
    const answer = new Promise((resolve) => this.#answers.set(id, resolve));
    const build = { function: name, entry, root, directory, bundling, provided: "v3" };
    this.child.stdin.write(`${JSON.stringify({ id, build })}\n`);
    const { built, failed } = await answer;
    return { built: built && { ...built, directory }, failed };
  }

  end() {
    this.child.stdin.end();
    return once(this.child, "exit");
  }
}

/** What the handler of a built file answers in plain Node. */
function run(file) {
  const script = `import(${JSON.stringify(file)}).then(async (all) => process.stdout.write(JSON.stringify(await (all.handler ?? all.default.handler)())))`;
  const { stdout, stderr } = spawnSync(process.execPath, ["-e", script], { encoding: "utf8", cwd: path.dirname(file) });
  assert.equal(stderr, "");
  return JSON.parse(stdout);
}
