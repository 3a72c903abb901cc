// From a saved file to the function's bundle on the disk, with its packages in a vendor bundle and without, in turns: `make bench`. What
// counts are the ratios.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";

import { Builds } from "../src/builder/sidecar/builds.mjs";
import { repository } from "../tests/e2e/support/sst.mjs";
import { Figures } from "./support/figures.mjs";

const figures = new Figures("bundles");
const npm = path.join(repository, "npm");
const ROUNDS = Number(process.env.ROUNDS ?? 20);

const FUNCTIONS = {
  "AWS SDK, lodash and zod": `import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
    import { DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb"; import _ from "lodash"; import { z } from "zod";
    export const handler = async () => [typeof DynamoDBDocumentClient.from(new DynamoDBClient({})), _.get({}, "a"), z.object({}), VERSION];`,
  "lodash and zod": `import _ from "lodash"; import { z } from "zod"; export const handler = async () => [_.get({}, "a"), z.object({}), VERSION];`,
  "a small package": `import { ulid } from "ulid"; export const handler = async () => [ulid(), VERSION];`,
  "no package": `export const handler = async () => VERSION;`,
};

const directory = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "bench-"));
fs.symlinkSync(path.join(repository, "tests/oracle/packages/node_modules"), path.join(directory, "node_modules"));
try {
  for (const [name, text] of Object.entries(FUNCTIONS)) for (const format of ["cjs", "esm"]) await compare(name, text, format);
} finally {
  fs.rmSync(directory, { recursive: true, force: true });
}
figures.save();

async function compare(name, text, format) {
  const entry = path.join(directory, "index.ts");
  const save = (version) => fs.writeFileSync(entry, text.replace("VERSION", `"version ${version}"`));
  const ours = { builds: new Builds(directory, npm), times: [] };
  const whole = { builds: new Builds(directory, npm, Infinity), times: [] };
  for (let round = -2; round < ROUNDS; round += 1) {
    save(round);
    for (const [index, { builds, times }] of [ours, whole].entries()) {
      const began = performance.now();
      const { failed } = await builds.build(request(entry, format, `function-${index}`));
      if (failed) throw new Error(failed.detail);
      if (round >= 0) times.push(performance.now() - began);
      await builds.settled(`function-${index}`);
    }
  }
  // esbuild ends with what is kept of the functions.
  for (const [index, { builds }] of [ours, whole].entries()) builds.cool(`function-${index}`);
  figures.times(`${name}, ${format}`, { "save to bundle": ours.times, "the whole bundle": whole.times });
}

function request(entry, format, name) {
  const banner = format === "esm" ? `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);` : null;
  const bundling = { format, external: [], loader: {}, define: {}, banner, mainFields: [], conditions: [], inject: [], plugins: null };
  return { function: name, entry, root: directory, directory: path.join(directory, ".sst", name), bundling, provided: "v3" };
}
