// Synthesises an app that is described by `sst.json`: bundles its main file, calls the exported function with a CDK app made of
// the project's own `aws-cdk-lib`, and writes the cloud assembly to $CDK_OUTDIR.
//
// Environment: SST_PROJECT, SST_STAGE, SST_REGION, SST_ACCOUNT, SST_NPM_ROOT (where esbuild is resolved), SST_SOURCES (see
// hook.cjs), CDK_OUTDIR, CDK_CONTEXT_JSON. Exit code 1 and a message on stderr if the app does not synthesise.

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

import { bundle } from "./bundle.mjs";
import { ExpectedError, report } from "./report.mjs";

process.env.SST_HOST = "1";
createRequire(import.meta.url)("./hook.cjs");

let finished = false;
const project = path.resolve(process.env.SST_PROJECT ?? process.cwd());

process.on("exit", (code) => {
  if (finished || code !== 0) return;
  // Node ends when nothing is left to wait for, even in the middle of an `await`.
  report(new ExpectedError("the app ended before it was complete: is there a promise that is never resolved?"), project);
  process.exitCode = 1;
});
for (const event of ["uncaughtException", "unhandledRejection"]) {
  process.on(event, (error) => fail(error));
}

try {
  await synthesise();
  finished = true;
} catch (error) {
  fail(error);
}

async function synthesise() {
  process.chdir(project);
  const settings = readSettings();
  const main = findMain(settings.main);
  const cdk = loadLibrary();
  const bundled = await bundle({ project, main, npmRoot: process.env.SST_NPM_ROOT });
  // Written before anything of the user's runs: a failing app is watched as well.
  fs.writeFileSync(`${process.env.SST_SOURCES}.inputs.json`, JSON.stringify(bundled.inputs));

  process.setSourceMapsEnabled(true);
  const define = exportedFunction(await import(pathToFileURL(bundled.file).href), main);
  const app = createApp(cdk, settings);
  await define(app);
  app.synth();
}

function readSettings() {
  const file = path.join(project, "sst.json");
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"));
  } catch (error) {
    throw new ExpectedError(`cannot read \`${file}\`: ${error.message}`);
  }
}

function findMain(declared) {
  const extensions = ["js", "ts", "mjs", "mts", "cjs", "cts", "jsx", "tsx"];
  const isFile = (file) => fs.statSync(path.join(project, file), { throwIfNoEntry: false })?.isFile();
  const candidates = declared
    ? [declared, ...extensions.flatMap((extension) => [`${declared}.${extension}`, `${declared}/index.${extension}`])]
    : ["stacks", "lib"].flatMap((directory) => extensions.map((extension) => `${directory}/index.${extension}`));
  const found = candidates.find(isFile);
  if (found) return path.join(project, found);
  if (declared) throw new ExpectedError(`\`main\` of \`sst.json\` names \`${declared}\`, which does not exist`);
  throw new ExpectedError(
    `no main file in \`${project}\`: looked for \`stacks/index.js\`, \`stacks/index.ts\`, \`lib/index.js\` and the like`,
    "create one, or name it as `main` in `sst.json`",
  );
}

/** The project's own library: constructs of another copy would not fit into our app. */
function loadLibrary() {
  const require = createRequire(path.join(project, "package.json"));
  try {
    require.resolve("aws-cdk-lib");
  } catch {
    throw new ExpectedError(
      `\`aws-cdk-lib\` is not installed in \`${project}\``,
      "run `npm install aws-cdk-lib constructs`, or `npm install` if your `package.json` names them already",
    );
  }
  return require("aws-cdk-lib");
}

function exportedFunction(namespace, main) {
  // A CommonJS file arrives as `default`, with a `default` of its own if it was written as a module.
  const candidates = [namespace.default?.default, namespace.default];
  const found = candidates.find((candidate) => typeof candidate === "function");
  if (found) return found;
  throw new ExpectedError(
    `\`${path.relative(project, main)}\` has no default export that is a function`,
    "write `export default function main(app) { … }` and create your stacks in it",
  );
}

function createApp(cdk, settings) {
  // Without paths in the templates nobody can tell which resource belongs to which construct.
  const context = {
    "aws:cdk:enable-path-metadata": true,
    "aws:cdk:enable-asset-metadata": true,
    ...JSON.parse(process.env.CDK_CONTEXT_JSON ?? "{}"),
  };
  process.env.CDK_CONTEXT_JSON = JSON.stringify(context);
  const stage = process.env.SST_STAGE;
  const app = new cdk.App();
  return Object.assign(app, {
    stage,
    name: settings.name,
    local: true,
    // The library takes both as the default environment of all stacks.
    region: process.env.SST_REGION || process.env.CDK_DEFAULT_REGION || settings.region,
    account: process.env.SST_ACCOUNT || process.env.CDK_DEFAULT_ACCOUNT,
    logicalPrefixedName: (logicalName) => `${stage}-${settings.name}-${logicalName}`,
  });
}

function fail(error) {
  report(error, project);
  finished = true;
  process.exit(1);
}
