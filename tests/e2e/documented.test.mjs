// Every call of the program that the help shows, as it is written there. Those of the documentation are run by shell.test.mjs.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { asAws, documentedApp } from "./support/documented.mjs";
import { Sst, binary, repository } from "./support/sst.mjs";

/** The lines below "Examples:" in the help of all commands. */
function examplesOfHelp() {
  const help = (...words) => execFileSync(binary(), [...words, "--help"], { encoding: "utf8", env: { PATH: process.env.PATH, NO_COLOR: "1" } });
  const commands = [...help().matchAll(/^ {2}([a-z]+) {2,}/gm)].map(([, name]) => name).filter((name) => name !== "help");
  const texts = [help(), ...commands.map((name) => help(name))];
  const lines = texts.flatMap((text) => (text.split("Examples:\n")[1] ?? "").split("\n"));
  // What is explained stands behind three spaces or more.
  return lines.map((line) => line.trim().replace(/ {2,}.*/, "")).filter(Boolean);
}

const examples = [...new Set(examplesOfHelp())];
const of = (...commands) => examples.filter((line) => commands.includes(/(?:^|\| )sst (\S+)/.exec(line)[1]));

describe("what the help shows works", () => {
  let directory;
  let cloud;
  const directories = [];

  const copy = () => {
    const app = documentedApp();
    directories.push(app);
    return app;
  };

  before(async () => {
    directory = copy();
    // On a stage of its own: no example asks whether to replace its stubs, or is refused.
    cloud = await Sst.start(directory, ["--stage", "docs"]);
    // As `sst save` leaves it.
    fs.mkdirSync(path.join(directory, "events"));
    fs.writeFileSync(path.join(directory, "events/one-note.json"), "{}");
  });
  after(async () => {
    await cloud?.stop();
    for (const one of directories) fs.rmSync(one, { recursive: true, force: true });
  });

  /** Runs a line of the shell. `until` is what is waited for before it is interrupted; `answer` is typed when it asks. */
  const run = (line, cwd, { until, answer } = {}) =>
    new Promise((resolve, reject) => {
      const shell = line.replaceAll(/(^|\| )sst /g, "$1exec npx sst ");
      const terminal = ["python3", path.join(repository, "tests/e2e/support/terminal.py"), "100", "30"];
      const command = [...(answer ? terminal : []), "sh", "-c", shell];
      // A group of its own, as a terminal makes one, so that Ctrl-C reaches all of it.
      const child = spawn(command[0], command.slice(1), { cwd, env: asAws(cloud), detached: true, stdio: ["pipe", "pipe", "pipe"] });
      let output = "";
      let done = false;
      const look = (text) => {
        output += text;
        if (!done && until?.test(output)) done = process.kill(-child.pid, "SIGINT");
        if (!done && answer && /\[y\/N\]/.test(output)) done = child.stdin.write(answer);
      };
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", look);
      if (!answer) child.stdin.end();
      child.once("error", reject);
      child.once("close", (code, signal) => resolve({ code, signal, output }));
    });

  test("there are examples of all commands", () => {
    for (const command of ["init", "start", "invoke", "outputs", "sample", "test", "ide", "deploy", "remove", "cdk"]) assert.ok(of(command).length > 0, command);
  });

  for (const line of of("invoke", "outputs", "sample", "test", "ide", "doctor", "build", "diff", "cdk", "restore", "deploy")) {
    test(line, async () => {
      const { code, output } = await run(line, directory);
      assert.equal(code, 0, output);
    });
  }

  for (const line of of("history", "show", "replay", "save")) {
    test(line, async () => {
      await run("sst invoke api/Get", directory);
      const { output: last } = await run("sst history --json -n 1", directory);
      if (line.includes(" save ")) fs.rmSync(path.join(directory, "events"), { recursive: true });
      const { code, output } = await run(line.replace("9f5a0ec1", JSON.parse(last).id.slice(0, 8)), directory);
      assert.equal(code, 0, output);
    });
  }

  for (const line of of("init")) {
    test(line, async () => {
      const parent = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-init-"));
      directories.push(parent);
      // Until a package is there, `npx` would ask a registry for one.
      fs.cpSync(path.join(directory, "node_modules/.bin"), path.join(parent, "node_modules/.bin"), { recursive: true });
      const { code, output } = await run(line, parent);
      assert.equal(code, 0, output);
      assert.match(output, /Start the app:\n.*start --local\n$/);
    });
  }

  for (const line of of("start")) {
    test(line, async () => {
      const { output } = await run(line, copy(), { until: /Listening for requests/ });
      assert.match(output, /Listening for requests \([^]*Stopped/);
      // The local cloud, and the stubs in it, are gone by then.
      const reminder = /The functions of stage \w+ are stubs still: `sst restore --stage \w+` gives them their own code/;
      const isOver = line.includes("--local") || line.includes("--restore-on-exit");
      if (isOver) assert.doesNotMatch(output, reminder);
      else assert.match(output, reminder);
      if (line.includes("--restore-on-exit")) assert.match(output, /Of stage \w+, 4 functions have their own code again/);
    });
  }

  for (const line of of("remove")) {
    test(line, async () => {
      const { code, output } = await run(line, directory, { answer: "y\r" });
      assert.equal(code, 0, output);
      assert.match(output, /The app is removed/);
    });
  }
});
