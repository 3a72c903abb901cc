// What `--help` and mistakes on the command line say, word for word: tests/docs/help.txt. After a change that is meant, run this once with
// UPDATE_SNAPSHOTS=1 and look at the difference.
//
// Environment: SST_BINARY, the program; target/debug/sst if not set.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const binary = path.resolve(here, "../..", process.env.SST_BINARY || "target/debug/sst");
const SNAPSHOT = path.join(here, "help.txt");

const MISTAKES = [
  [],
  ["strat"],
  ["start", "--lokal"],
  ["start", "--enforce-iam"],
  ["start", "--local", "--endpoint-url", "http://127.0.0.1:1"],
  ["start", "--max-workers", "0"],
  ["ide", "emacs"],
  ["cdk"],
  ["invoke"],
];

/** A command line and everything that it prints. */
function say(args) {
  const { stdout, stderr, status } = spawnSync(binary, args, { encoding: "utf8", env: { PATH: process.env.PATH, NO_COLOR: "1" } });
  const text = `${stdout}${stderr}`.replace(/^ +$/gm, "").trimEnd();
  return `$ sst ${args.join(" ")}\n${text}\n[${status}]\n`;
}

test("help and mistakes are as they were", () => {
  const commands = [...say(["--help"]).matchAll(/^ {2}([a-z-]+) {2,}/gm)].map(([, name]) => name).filter((name) => name !== "help");
  assert.ok(commands.includes("start") && commands.includes("deploy"), commands.join());
  const text = [["--help"], ...commands.map((name) => [name, "--help"]), ...MISTAKES].map(say).join("\n");
  if (process.env.UPDATE_SNAPSHOTS) fs.writeFileSync(SNAPSHOT, text);
  assert.equal(text, fs.readFileSync(SNAPSHOT, "utf8"));
});
