// The app's own word on the debug stack: the template is passed through the `debugStack(app, stack, props)` that the main file may
// export, as a real CDK app with one stack.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";

import { ExpectedError } from "./report.mjs";

/**
 * Calls the function that is exported as `debugStack`, and writes the template and the tags of the stack as it leaves them to
 * $SST_SOURCES.debug-stack.json. `namespace` is the main file's module; `require` finds the project's `aws-cdk-lib`.
 *
 * Environment: SST_DEBUG_TEMPLATE (the template's file; without it nothing is done), SST_DEBUG_STACK (the stack's name).
 */
export async function customiseDebugStack(namespace, require) {
  const { SST_DEBUG_TEMPLATE: templateFile, SST_DEBUG_STACK: name, SST_STAGE: stage, SST_SOURCES: sources } = process.env;
  if (!templateFile) return;
  const write = (value) => fs.writeFileSync(`${sources}.debug-stack.json`, JSON.stringify(value));
  const define = exported(namespace, "debugStack");
  if (!define) {
    if (exported(namespace, "debugApp")) {
      write({ notice: "`debugApp` is not called: `sst` makes the debug stack itself. Export `debugStack(app, stack, props)` to change it" });
    }
    return;
  }
  const { App, DefaultStackSynthesizer, Stack } = require("aws-cdk-lib");
  const { CfnInclude } = require("aws-cdk-lib/cloudformation-include");
  const outdir = fs.mkdtempSync(path.join(os.tmpdir(), "sst-debug-stack-"));
  try {
    const app = new App({ outdir, analyticsReporting: false });
    // Nothing but the template is used, so nothing has to be bootstrapped for it.
    const synthesizer = new DefaultStackSynthesizer({ generateBootstrapVersionRule: false });
    const environment = { account: process.env.SST_ACCOUNT, region: process.env.SST_REGION };
    const stack = new Stack(app, name, { stackName: name, env: environment, synthesizer });
    new CfnInclude(stack, "Template", { templateFile });
    await define(app, stack, { stage });
    const artifact = app.synth().getStackByName(name);
    const template = JSON.stringify(artifact.template);
    if (/cdk-[a-z0-9]+-(?:container-)?assets-/.test(template)) {
      throw new ExpectedError("`debugStack` adds something to the debug stack that has to be uploaded, which is not possible there");
    }
    write({ template, tags: artifact.tags });
  } finally {
    fs.rmSync(outdir, { recursive: true, force: true });
  }
}

function exported(namespace, name) {
  // A CommonJS file arrives as `default`.
  return [namespace[name], namespace.default?.[name]].find((candidate) => typeof candidate === "function");
}
