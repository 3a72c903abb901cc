// Runs infra/synth/host.mjs on an app, or the app of a cdk.json with infra/synth/hook.cjs, as src/app/synthesise/run.rs does.

import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

export const REPOSITORY = fileURLToPath(new URL("../..", import.meta.url));
const APPS = path.join(REPOSITORY, "tests", "fixtures", "apps");
const ACCOUNT = "123456789012";
const REGION = "eu-central-1";

/** The directory of an app among the fixtures, with its packages installed. */
export function fixture(name) {
  const directory = path.join(APPS, name);
  if (!fs.existsSync(path.join(directory, "node_modules", ".package-lock.json"))) {
    const options = ["--no-audit", "--no-fund", "--ignore-scripts"];
    execFileSync("npm", ["ci", ...options], { cwd: directory, stdio: "inherit" });
  }
  return directory;
}

/** A copy of an app in a temporary directory, with the original's packages, which is removed after the test. */
export function copy(test, name) {
  const original = fixture(name);
  const directory = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), `${name}-`));
  test.after(() => fs.rmSync(directory, { recursive: true, force: true }));
  const isSource = (file) => !["node_modules", ".sst"].includes(path.basename(file));
  fs.cpSync(original, directory, { recursive: true, filter: isSource });
  fs.symlinkSync(path.join(original, "node_modules"), path.join(directory, "node_modules"));
  return directory;
}

/** Changes a file of an app. */
export function edit(directory, file, from, to) {
  const name = path.join(directory, file);
  const content = fs.readFileSync(name, "utf8");
  if (!content.includes(from)) throw new Error(`${file} does not contain ${from}`);
  fs.writeFileSync(name, content.replace(from, to));
}

/**
 * Synthesises the app in `project`; functions of `bundle` with their own code. Returns the exit code, what was written to
 * stderr, and if there are any the records by construct path, the templates by stack name, and the assembly's directory.
 * Neither Docker nor anything else but Node is in the path, besides the shell scripts of `programs` (name → script): each call
 * of one is among the `calls` that are returned, with its arguments. Without `hook` the app runs as if there were no `sst`.
 */
export function synthesise(project, { bundle = [], programs = {}, hook = true, variables = {} } = {}) {
  const state = path.join(project, ".sst");
  const directory = path.join(state, "cdk.out");
  const sources = path.join(state, "sources.jsonl");
  fs.rmSync(directory, { recursive: true, force: true });
  fs.rmSync(sources, { force: true });
  fs.mkdirSync(directory, { recursive: true });
  const commands = path.join(state, "commands");
  fs.rmSync(commands, { recursive: true, force: true });
  fs.mkdirSync(commands);
  fs.symlinkSync(process.execPath, path.join(commands, "node"));
  const log = path.join(state, "calls");
  fs.writeFileSync(log, "");
  for (const [name, script] of Object.entries(programs)) {
    const content = `#!/bin/sh\necho "${name} $*" >> "${log}"\n${script}\n`;
    fs.writeFileSync(path.join(commands, name), content, { mode: 0o755 });
  }
  const settings = path.join(project, "sst.json");
  const env = {
    HOME: state,
    PATH: commands,
    SST_PROJECT: project,
    ...(fs.existsSync(settings) ? { SST_SETTINGS: fs.readFileSync(settings, "utf8") } : {}),
    SST_STAGE: "dev",
    SST_REGION: REGION,
    SST_ACCOUNT: ACCOUNT,
    SST_NPM_ROOT: process.env.SST_NPM_ROOT ?? path.join(REPOSITORY, "npm"),
    ...(hook ? { SST_SOURCES: sources } : {}),
    CDK_OUTDIR: directory,
    CDK_DEFAULT_ACCOUNT: ACCOUNT,
    CDK_DEFAULT_REGION: REGION,
    CDK_CLI_ASM_VERSION: "54.0.0",
    CDK_CONTEXT_JSON: JSON.stringify({
      "aws:cdk:enable-path-metadata": true,
      "aws:cdk:enable-asset-metadata": true,
      "aws:cdk:disable-version-reporting": true,
      "aws:cdk:bundling-stacks": ["**"],
    }),
    ...variables,
    ...(bundle.length > 0 ? { SST_BUNDLE: bundle.join("\n") } : {}),
  };
  const scripts = path.join(REPOSITORY, "infra", "synth");
  const manifest = path.join(project, "cdk.json");
  let command = [process.execPath, path.join(scripts, "host.mjs")];
  if (fs.existsSync(manifest)) {
    command = ["/bin/sh", "-c", JSON.parse(fs.readFileSync(manifest, "utf8")).app];
    if (hook) env.NODE_OPTIONS = `--require "${path.join(scripts, "hook.cjs")}"`;
  }
  const [program, ...args] = command;
  const { status, stderr } = spawnSync(program, args, { cwd: project, env, encoding: "utf8", timeout: 120_000 });
  const calls = fs.readFileSync(log, "utf8").split("\n").filter(Boolean);
  return { status, stderr, directory, calls, records: readRecords(sources), templates: readTemplates(directory) };
}

function readRecords(sources) {
  if (!fs.existsSync(sources)) return {};
  const lines = fs.readFileSync(sources, "utf8").split("\n").filter(Boolean);
  return Object.fromEntries(lines.map((line) => JSON.parse(line)).map((record) => [record.path, record]));
}

function readTemplates(directory) {
  const manifest = path.join(directory, "manifest.json");
  if (!fs.existsSync(manifest)) return {};
  const artifacts = Object.entries(JSON.parse(fs.readFileSync(manifest, "utf8")).artifacts);
  const stacks = artifacts.filter(([, artifact]) => artifact.type === "aws:cloudformation:stack");
  return Object.fromEntries(
    stacks.map(([id, { properties }]) => {
      const template = JSON.parse(fs.readFileSync(path.join(directory, properties.templateFile), "utf8"));
      return [properties.stackName ?? id, template];
    }),
  );
}

/** The functions of a template, by construct path. */
export function functionsOf(template) {
  const functions = Object.values(template.Resources).filter(({ Type }) => Type === "AWS::Lambda::Function");
  return Object.fromEntries(functions.map((one) => [one.Metadata["aws:cdk:path"].replace(/\/Resource$/, ""), one]));
}

/** The environment variables of one function of a template. */
export function variablesOf(template, id) {
  return functionsOf(template)[id].Properties.Environment.Variables;
}
