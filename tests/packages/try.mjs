#!/usr/bin/env node
// Tries packages on this machine, as a user who installs them: `node tests/packages/try.mjs DIRECTORY PLATFORM`.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

import { nameOf } from "../../npm/pack.mjs";
import { Place, app, registryOf, trial } from "./support/trial.mjs";

const [packages, platform] = process.argv.slice(2);
const registry = await registryOf(path.resolve(packages));
const directory = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "sst-try-")));
try {
  app(directory, registry);
  const seconds = await trial(directory, new Place());
  assert.ok(fs.existsSync(path.join(directory, "node_modules", nameOf(platform))), `the program for ${platform} was installed`);
  console.log(JSON.stringify(seconds, null, 2));
} finally {
  registry.close();
  fs.rmSync(directory, { recursive: true, force: true });
}
