// Mistakes in a project's files and in the code of its stacks, word for word: see `mistakes.test.mjs`.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, describe, test } from "node:test";

import { begun, run } from "./support/mistakes.mjs";
import { canMount, copyApp, repository } from "./support/sst.mjs";

const CDK = 'const { App, CfnOutput, Stack } = require("aws-cdk-lib");\n';
const BUNDLED = `${CDK}const { NodejsFunction } = require("aws-cdk-lib/aws-lambda-nodejs");
const options = { entry: "list.ts", depsLockFilePath: "package-lock.json" };
new NodejsFunction(new Stack(new App(), "s"), "List", options);
`;
const CIRCULAR = `${CDK}const { Bucket } = require("aws-cdk-lib/aws-s3");
const app = new App();
const [a, b] = ["a", "b"].map((id) => new Stack(app, id));
const [x, y] = [new Bucket(a, "X"), new Bucket(b, "Y")];
new CfnOutput(a, "OfY", { value: y.bucketName });
new CfnOutput(b, "OfX", { value: x.bucketName });
`;
const FUNCTIONS = "`plain/Asset`, `plain/Explicit`, `plain/discovered`, `plain/Inline`, `plain/Inner/Function`";
const NAMES = "use letters, digits, and hyphens, starting with a letter";
const SYNTHESISES = "… Synthesising the app\n✓ The app is synthesised (1 stack)\nThe cloud assembly is in `HERE/.sst/cdk.out`";

/** What is said of an app whose code fails. */
const fails = (detail, hint) => {
  const indented = detail.replaceAll(/^(?=.)/gm, " ".repeat(9));
  return `… Synthesising the app\nerror: the app does not synthesise\n\n${indented}${hint ? `\n\nhint: ${hint}` : ""}`;
};

/** An app of the CDK with this code, and these files beside it. */
const cdk = (app, files = {}) => ({ "cdk.json": '{ "app": "node app.js" }', "app.js": app, ...files });
/** An app of the constructs of SST: only what is in its `sst.json` matters here. */
const sst = (settings, files = {}) => ({ "sst.json": JSON.stringify(settings), "cdk.json": null, ...files });

const build = ["build", "--local"];
const table = [
  {
    of: "an `sst.json` that is no JSON",
    files: { "sst.json": '{\n  "name": "app",\n  oops\n}\n' },
    code: 2,
    said: 'error: HERE/sst.json:3:3: not valid JSON: key must be a string\n\n           1 | {\n           2 |   "name": "app",\n         > 3 |   oops\n             |   ^\n           4 | }',
    before: true,
  },
  { of: "an `sst.json` without a name", files: { "sst.json": "{}" }, code: 2, said: /^error: `HERE\/sst\.json` has no `name`\nhint: /, before: true },
  {
    of: "a name with a blank",
    files: { "sst.json": '{ "name": "my app" }' },
    code: 2,
    said: `error: the name \`my app\` in \`HERE/sst.json\` cannot be part of the names of stacks\nhint: ${NAMES}`,
    before: true,
  },
  {
    of: "a `cdk.json` without a command",
    files: { "cdk.json": "{}" },
    code: 2,
    said: 'error: `HERE/cdk.json` has no `app`\nhint: set `app` to the command that builds the app, e.g. "node bin/app.js"',
    before: true,
  },
  { of: "an app of SST without stacks", files: sst({ name: "app" }), code: 4, said: fails("no main file in `HERE`: looked for `stacks/index.js`, `stacks/index.ts`, `lib/index.js` and the like\ncreate one, or name it as `main` in `sst.json`") },
  {
    of: "a `main` that is not there",
    files: sst({ name: "app", main: "stacks/nope.ts" }),
    code: 4,
    said: fails("`main` of `sst.json` names `stacks/nope.ts`, which does not exist"),
  },
  {
    of: "stacks without a default export",
    files: sst({ name: "app", main: "main.ts" }, { "main.ts": "export const main = () => {};\n" }),
    code: 4,
    said: fails("`main.ts` has no default export that is a function\nwrite `export default function main(app) { … }` and create your stacks in it"),
  },
  {
    of: "fields that are misspelt",
    files: sst({ name: "app", mian: "main.ts", regoin: "eu-west-1", main: "nope.ts" }),
    code: 4,
    said: [
      "warning: `mian` in `HERE/sst.json` is not known, and has no effect: did you mean `main`?",
      "warning: `regoin` in `HERE/sst.json` is not known, and has no effect: did you mean `region`?",
      fails("`main` of `sst.json` names `nope.ts`, which does not exist"),
    ].join("\n"),
  },
  { of: "a byte order mark in `cdk.json`, which is read", files: { "cdk.json": '\ufeff{ "app": "node bin/app.js", "context": { "answer": 42 } }' }, code: 0, said: SYNTHESISES },
  {
    of: "a byte order mark in `sst.json`, which is read",
    files: { "sst.json": '\ufeff{ "name": "marked" }', "cdk.json": '{ "app": "node bin/app.js", "context": { "answer": 42 } }' },
    code: 0,
    said: SYNTHESISES,
  },
  {
    of: "a byte order mark in a file with variables, which is read",
    args: ["test"],
    files: {
      ".env": '\ufeffMARKED="yes"\n',
      "marked.test.js": 'require("node:test").test("it", () => require("node:assert").equal(process.env.MARKED, "yes"));\n',
    },
    // The test runner that runs this would not be run within itself.
    env: { NODE_TEST_CONTEXT: undefined },
    code: 0,
    said: /pass 1\n/,
  },
  {
    of: "a function of `sst.json` that the app does not have",
    files: { "sst.json": '{ "name": "app", "functions": { "plain/Nope": { "entry": "functions/a.ts" } } }' },
    args: ["start", "--local"],
    code: 2,
    said: /error: `sst\.json` maps the function `plain\/Nope`, which the app does not have\nhint: the app's functions are: plain\/Asset, /,
  },
  { of: "a throw in a stack", files: cdk(`${CDK}throw new RangeError("no such size");\n`), code: 4, said: fails('HERE/app.js:2\nthrow new RangeError("no such size");\n^\n\nRangeError: no such size\n    at Object.<anonymous> (HERE/app.js:2:7)') },
  { of: "no syntax in a stack", files: cdk("const app = {\n"), code: 4, said: fails("HERE/app.js:2\n\nSyntaxError: Unexpected end of input") },
  {
    of: "a construct that is there twice",
    files: cdk(`${CDK}const app = new App();\nnew Stack(app, "s");\nnew Stack(app, "s");\n`),
    code: 4,
    said: fails("Error: There is already a Construct with name 's' in App\n    at Object.<anonymous> (HERE/app.js:4:1)"),
  },
  {
    of: "an entry that is not there",
    files: cdk(BUNDLED),
    code: 4,
    said: fails(
      "«CannotFindEntryFile» Cannot find entry file at list.ts\n    at <anonymous> (HERE/app.js:4:1)\nRelates to construct:\n    <.> (aws-cdk-lib.App)\n     └─ s (aws-cdk-lib.Stack)",
    ),
  },
  {
    of: "the CDK's library that is not installed",
    files: { ...cdk(CDK), node_modules: null },
    code: 4,
    said: fails(
      "Error: Cannot find module 'aws-cdk-lib'\nRequire stack:\n- HERE/app.js\n    at Object.<anonymous> (HERE/app.js:1:35)",
      "`aws-cdk-lib` is not installed: run `npm install`, and `npm install aws-cdk-lib` if the project does not depend on it yet",
    ),
  },
  {
    of: "stacks that need one another",
    files: cdk(CIRCULAR),
    code: 4,
    said: /error: the app does not synthesise\n\n +[^\n]*'a' depends on 'b' \(a -> b\/Y\/Resource\.Ref\)\. Adding this dependency \(b -> a\/X\/Resource\.Ref\) would create a cyclic reference\.?(\n[^\n]*){0,6}$/,
  },
  {
    of: "no syntax in a function that is bundled for a deployment",
    files: cdk(BUNDLED, { "list.ts": "export const handler = async () => {\n  return { total: 1 + };\n};\n" }),
    code: 4,
    said: fails('Bundling asset s/List/Code/Stage...\n✘ [ERROR] Unexpected "}"\n\n    list.ts:2:22:\n      2 │   return { total: 1 + };\n        ╵                       ^'),
  },
  {
    of: "a package that is missing in a function that is bundled for a deployment",
    files: cdk(BUNDLED, { "list.ts": 'import pad from "no-such-package";\nexport const handler = async () => pad;\n' }),
    code: 4,
    said: fails(
      'Bundling asset s/List/Code/Stage...\n✘ [ERROR] Could not resolve "no-such-package": run `npm install no-such-package`\n\n    list.ts:1:16:\n' +
        '      1 │ import pad from "no-such-package";\n        ╵                 ~~~~~~~~~~~~~~~~~',
    ),
  },
];

describe("a mistake in a project", { concurrency: 2 }, () => {
  const directories = [];
  after(() => directories.forEach((directory) => fs.rmSync(directory, { recursive: true, force: true })));

  /** A project with these files; none where there is nothing. */
  function project(files) {
    const directory = copyApp("tests/fixtures/apps/cdk-plain");
    directories.push(directory);
    for (const [name, text] of Object.entries(files)) {
      if (text === null) fs.rmSync(path.join(directory, name), { recursive: true });
      else fs.writeFileSync(path.join(directory, name), text);
    }
    return directory;
  }

  for (const { of, files, args = build, env, code, said, before } of table) {
    test(`is told: ${of}`, async () => {
      const directory = project(files);
      const found = await run(directory, args, { env });
      if (typeof said === "string") assert.equal(found.said, said);
      else assert.match(found.said, said);
      assert.equal(found.code, code, found.said);
      if (before) assert.deepEqual(begun(directory), []);
      for (const own of [repository, ".sst/tool", "node:internal"]) assert.doesNotMatch(found.said, new RegExp(own), "nothing of the program's own");
    });
  }

  test("is told: no project", async () => {
    const directory = project({ "cdk.json": null });
    const { code, said } = await run(directory, build);
    assert.deepEqual({ code, said }, { code: 2, said: said.match(/^error: no `sst\.json` or `cdk\.json` in `HERE` or a directory above it\nhint: [^\n]+$/)?.[0] });
  });

  for (const [pattern, hint] of [
    ["nope", `there are ${FUNCTIONS}`],
    ["Explict", `did you mean \`plain/Explicit\`? There are ${FUNCTIONS}`],
  ]) {
    test(`is told: \`--function ${pattern}\`, before anything is deployed, the debug stack included`, async () => {
      const directory = project({});
      const { code, said } = await run(directory, ["start", "--local", "--function", pattern], { env: { HOME: process.env.HOME } });
      assert.equal(code, 2, said);
      assert.ok(said.endsWith(`error: no function matches \`${pattern}\`\nhint: ${hint}`), said);
      assert.doesNotMatch(said, /Deploying/);
      assert.deepEqual(begun(directory).map((one) => path.basename(one)), ["start"]);
    });
  }

  test("is told: an app without functions, with what was looked for", async () => {
    const directory = project(cdk(`${CDK}new Stack(new App(), "empty");\n`));
    const { said } = await run(directory, ["start", "--local"], { env: { HOME: process.env.HOME }, until: /Listening for requests \(stage dev, 0 functions\)/ });
    assert.match(said, /\nwarning: no function of the app runs here: looked for `AWS::Lambda::Function` in `empty`\n/);
  });

  test("is told: a registry that cannot be reached", async () => {
    const directory = project({});
    const env = { XDG_CACHE_HOME: path.join(directory, "cache"), PIP_INDEX_URL: "http://127.0.0.1:9/simple", PIP_RETRIES: "0", PIP_CONFIG_FILE: "/dev/null" };
    const { code, said } = await run(directory, ["start", "--local"], { env });
    assert.equal(code, 3, said);
    assert.match(said, /error: the local cloud cannot be installed: `[^\n]*` failed\n[^]*hint: it needs a way to PyPI, once; pip's own settings \(`PIP_INDEX_URL`, proxies\) are honoured$/);
    assert.doesNotMatch(said, /Deploying/);
  });

  test("is told: a project in which nothing can be written", async () => {
    const directory = project({});
    const nobody = process.getuid() === 0 ? ["setpriv", "--reuid=65534", "--clear-groups"] : [];
    fs.chmodSync(directory, 0o555);
    const { code, said } = await run(directory, build, { env: { HOME: directory }, prefix: nobody });
    fs.chmodSync(directory, 0o700);
    assert.equal(code, 3, said);
    assert.match(said, /^error: cannot write `HERE\/\.sst[^\n]*`\n\n +Permission denied[^\n]*\n\nhint: `HERE\/\.sst` must be a directory that you can write to$/);
  });

  test("is told: a system that lets no more files be watched, before anything is begun", { skip: process.platform !== "linux" && "a limit of Linux" }, async () => {
    const directory = project({});
    // The limit is one of a user namespace, so nobody else comes to it.
    const none = ["unshare", "-r", "sh", "-c", 'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"', "sh"];
    const { code, said } = await run(directory, ["start", "--local"], { prefix: none });
    assert.equal(code, 3, said);
    assert.match(said, /^error: files cannot be watched\n\n +[^\n]*Too many open files[^\n]*\n\nhint: too many programs may be watching files; on Linux, raise the limit: `sudo sysctl fs\.inotify\.max_user_instances=1024`$/);
    assert.deepEqual(begun(directory), []);
  });

  test("is told: a disk that is full", { skip: !canMount() && "no mounts here" }, async () => {
    const directory = project({});
    fs.mkdirSync(path.join(directory, ".sst"));
    const small = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=64k none .sst && exec "$@"', "sh"];
    const { code, said } = await run(directory, build, { prefix: small });
    assert.equal(code, 3, said);
    assert.match(said, /^error: the disk is full: cannot write (?:to )?`HERE\/\.sst\/[^\n]*`/);
  });
});
