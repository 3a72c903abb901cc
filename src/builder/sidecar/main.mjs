// Builds functions with esbuild. One JSON object per line: requests on standard input, answers on standard output.
//
//   { "id": 1, "build": { "function", "entry", "root", "directory", "bundling", "provided", "generation", "since" } }
//     → { "id": 1, "built": { "file", "fingerprint", "inputs", "packages", "provided", "steps" } }
//     → { "id": 1, "failed": { "summary", "detail", "errorType", "inputs" } }
//   { "cool": "<function>" }
//
// No file is known to have changed since the builds after that of `since` have begun: what one of those has made may be taken again.
//
// The process ends with its standard input.

import process from "node:process";
import readline from "node:readline";

import { Builds } from "./builds.mjs";
import { withCommands } from "./commands.mjs";

const [projectRoot, npmRoot] = process.argv.slice(2);
const builds = new Builds(projectRoot, npmRoot);

const lines = readline.createInterface({ input: process.stdin, crlfDelay: Infinity });
lines.on("line", (line) => {
  const request = JSON.parse(line);
  if (request.cool !== undefined) builds.cool(request.cool);
  else answer(request);
});
lines.on("close", () => process.exit(0));

async function answer({ id, build }) {
  const result = await withCommands(build, () => builds.build(build));
  process.stdout.write(`${JSON.stringify({ id, ...result })}\n`);
}
