// The launcher of the npm package, and what has started `sst` otherwise: whatever ends them, nothing stays that should not, and what was to
// stay does.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";

import { App, binary, call, copyApp, endsWithTests, extraArguments, gone, processesOf, repository } from "./support/sst.mjs";

const LAUNCHER = path.join(repository, "npm/bin/sst.mjs");

describe("a session", { skip: process.platform !== "linux" }, () => {
  let directory;
  beforeEach(() => (directory = copyApp("tests/fixtures/apps/cdk-plain")));
  afterEach(async () => {
    for (const pid of processesOf(directory)) process.kill(pid, "SIGKILL");
    await gone(directory);
    fs.rmSync(directory, { recursive: true, force: true });
  });

  /** Starts a session by a command line, and waits until it listens. What is printed comes by a pipe. */
  async function start(command, ...args) {
    const env = { ...process.env, SST_BINARY: binary(), SST_NPM_ROOT: path.join(repository, "npm"), NO_COLOR: "1" };
    const program = endsWithTests(spawn(command, [...args, "start", "--local", ...extraArguments()], { cwd: directory, env, stdio: ["ignore", "pipe", "pipe"] }));
    const said = await new Promise((resolve, reject) => {
      let text = "";
      const hear = (piece) => {
        text += piece;
        if (text.includes("Listening for requests")) resolve({ text: () => text });
      };
      for (const stream of [program.stdout, program.stderr]) stream.setEncoding("utf8").on("data", hear);
      program.once("close", () => reject(new Error(`ended before it listened:\n${text}`)));
    });
    const app = new App(directory);
    // A worker is there as well.
    assert.equal((await call(app.session(), "Asset", {})).outcome, "returned");
    return { program, said };
  }

  for (const signal of ["SIGTERM", "SIGHUP", "SIGKILL"]) {
    test(`ends with its launcher when that gets ${signal}: the program, the local cloud, and the workers`, async () => {
      const { program, said } = await start(process.execPath, LAUNCHER);
      const { pid } = new App(directory).session();
      assert.notEqual(pid, program.pid);
      const closed = once(program.stdout, "close");
      program.kill(signal);
      await closed;
      await gone(directory);
      assert.ok(!fs.existsSync(path.join(directory, ".sst/session.json")), "it has ended in order");
      assert.match(said.text(), /Stopped/);
    });
  }

  test("stays when the shell has gone that has started it in the background, and the end of a terminal is ignored as `nohup` does", async () => {
    const { program } = await start("sh", "-c", 'nohup "$@" & echo', "sh", binary());
    const { pid } = new App(directory).session();
    if (program.exitCode === null) await once(program, "exit");
    process.kill(pid, "SIGHUP");
    assert.equal((await call(new App(directory).session(), "Asset", {})).outcome, "returned");
    assert.ok(processesOf(directory).includes(pid));
    process.kill(pid, "SIGTERM");
    await gone(directory);
  });

  test("ends at the end of its terminal otherwise", async () => {
    await start("sh", "-c", '"$@" & echo', "sh", binary());
    process.kill(new App(directory).session().pid, "SIGHUP");
    await gone(directory);
  });
});
