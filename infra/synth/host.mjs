// Synthesises an app that is described by `sst.json`: bundles its main file, calls the exported function with an app made of
// the project's own `aws-cdk-lib` (see plain-cdk.mjs) or `@serverless-stack/resources` (see serverless-stack.mjs), and writes
// the cloud assembly to $CDK_OUTDIR.
//
// Environment: SST_PROJECT, SST_SETTINGS (what is in `sst.json`), SST_STAGE, SST_REGION, SST_ACCOUNT, SST_NPM_ROOT (where esbuild is resolved), SST_SOURCES (see
// hook.cjs), CDK_OUTDIR, CDK_CONTEXT_JSON, and those of debug-stack.mjs. Exit code 1 and a message on stderr if the app does not synthesise.

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

import { bundle } from "./bundle.mjs";
import { customiseDebugStack } from "./debug-stack.mjs";
import { loadPlainCdk } from "./plain-cdk.mjs";
import { ExpectedError, report } from "./report.mjs";
import { loadServerlessStack, usesServerlessStack } from "./serverless-stack.mjs";

process.env.SST_HOST = "1";
// Between the user's line and the error there may be many frames of libraries, which are not shown.
Error.stackTraceLimit = 100;
const hook = createRequire(import.meta.url)("./hook.cjs");

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
  const settings = JSON.parse(process.env.SST_SETTINGS);
  const framework = usesServerlessStack(project) ? await loadServerlessStack(project, hook) : loadPlainCdk(project);
  const main = findMain(settings.main, framework);
  const bundled = await bundle({ project, main, npmRoot: process.env.SST_NPM_ROOT, ...framework.bundling });
  // Written before anything of the user's runs: a failing app is watched as well.
  fs.writeFileSync(`${process.env.SST_SOURCES}.inputs.json`, JSON.stringify([...bundled.inputs, ...framework.inputs]));

  setContext();
  process.setSourceMapsEnabled(true);
  // The app comes first, because it brings the environment variables that the user's modules may read when they are loaded.
  const app = await framework.createApp(settings);
  const namespace = await import(pathToFileURL(bundled.file).href);
  const define = exportedFunction(namespace, main);
  await define(app);
  await framework.complete(app);
  app.synth();
  await customiseDebugStack(namespace, framework.require);
}

function findMain(declared, { directories, extensions }) {
  const isFile = (file) => fs.statSync(path.join(project, file), { throwIfNoEntry: false })?.isFile();
  const candidates = declared
    ? [declared, ...extensions.flatMap((extension) => [`${declared}.${extension}`, `${declared}/index.${extension}`])]
    : directories.flatMap((directory) => extensions.map((extension) => `${directory}/index.${extension}`));
  const found = candidates.find(isFile);
  if (found) return path.join(project, found);
  if (declared) throw new ExpectedError(`\`main\` of \`sst.json\` names \`${declared}\`, which does not exist`);
  throw new ExpectedError(
    `no main file in \`${project}\`: looked for \`stacks/index.js\`, \`stacks/index.ts\`, \`lib/index.js\` and the like`,
    "create one, or name it as `main` in `sst.json`",
  );
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

/** Without paths in the templates nobody can tell which resource belongs to which construct. */
function setContext() {
  process.env.CDK_CONTEXT_JSON = JSON.stringify({
    "aws:cdk:enable-path-metadata": true,
    "aws:cdk:enable-asset-metadata": true,
    ...JSON.parse(process.env.CDK_CONTEXT_JSON ?? "{}"),
  });
}

function fail(error) {
  report(error, project);
  finished = true;
  process.exit(1);
}
