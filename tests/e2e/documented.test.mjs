// Every call of the program that the documentation and the help show, as it is written there.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, binary, copyApp, extraArguments, repository } from "./support/sst.mjs";

/** The lines of shell examples in a page, without what is a comment. */
function examplesIn(text) {
  const fences = [...text.matchAll(/^```sh\n([^]*?)^```/gm)].flatMap(([, lines]) => lines.split("\n"));
  return fences.map((line) => line.replace(/ +# .*/, "").trim()).filter((line) => /(^|\| )(npx )?sst /.test(line));
}

/** The lines below "Examples:" in the help of all commands. */
function examplesOfHelp() {
  const help = (...words) => execFileSync(binary(), [...words, "--help"], { encoding: "utf8", env: { PATH: process.env.PATH, NO_COLOR: "1" } });
  const commands = [...help().matchAll(/^ {2}([a-z]+) {2,}/gm)].map(([, name]) => name).filter((name) => name !== "help");
  const texts = [help(), ...commands.map((name) => help(name))];
  const lines = texts.flatMap((text) => (text.split("Examples:\n")[1] ?? "").split("\n"));
  // What is explained stands behind three spaces or more.
  return lines.map((line) => line.trim().replace(/ {2,}.*/, "")).filter(Boolean);
}

const pages = ["README.md", ...fs.readdirSync(path.join(repository, "docs")).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)];
const documented = pages.flatMap((page) => examplesIn(fs.readFileSync(path.join(repository, page), "utf8")));
const examples = [...new Set([...documented, ...examplesOfHelp()].map((line) => line.replace("npx sst", "sst")))];
const of = (...commands) => examples.filter((line) => commands.includes(/(?:^|\| )sst (\S+)/.exec(line)[1]));

describe("what is documented works", () => {
  let directory;
  let cloud;
  const directories = [];

  /** A copy of the app that the examples are about, in which `npx` finds the program as if its package were installed. */
  const copy = () => {
    const app = copyApp("tests/fixtures/apps/documented", null);
    directories.push(app);
    fs.mkdirSync(path.join(app, "node_modules/.bin"), { recursive: true });
    for (const name of ["aws-cdk-lib", "constructs", "esbuild"]) {
      fs.symlinkSync(path.join(repository, "tests/fixtures/node_modules", name), path.join(app, "node_modules", name));
    }
    fs.symlinkSync(path.join(repository, "npm/bin/sst.mjs"), path.join(app, "node_modules/.bin/sst"));
    return app;
  };

  before(async () => {
    directory = copy();
    // On a stage of its own: no example asks whether to replace its stubs, or is refused.
    cloud = await Sst.start(directory, ["--stage", "docs"]);
  });
  after(async () => {
    await cloud?.stop();
    for (const one of directories) fs.rmSync(one, { recursive: true, force: true });
  });

  const variables = () => {
    const { endpoint, region } = cloud.session();
    const keys = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", AWS_REGION: region, AWS_ENDPOINT_URL: endpoint };
    return { ...process.env, ...keys, NO_COLOR: "1", SST_BINARY: binary(), SST_NPM_ROOT: path.join(repository, "npm") };
  };

  /** Runs a line of the shell. `until` is what is waited for before it is interrupted; `answer` is typed when it asks. */
  const run = (line, cwd, { until, answer } = {}) =>
    new Promise((resolve, reject) => {
      const shell = line.replace(/(^|\| )sst /, "$1exec npx sst ");
      const terminal = ["python3", path.join(repository, "tests/e2e/support/terminal.py"), "100", "30"];
      const command = [...(answer ? terminal : []), "sh", "-c", shell];
      // A group of its own, as a terminal makes one, so that Ctrl-C reaches all of it.
      const child = spawn(command[0], command.slice(1), { cwd, env: variables(), detached: true, stdio: ["pipe", "pipe", "pipe"] });
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
    for (const command of ["start", "invoke", "test", "ide", "deploy", "remove", "cdk"]) assert.ok(of(command).length > 0, command);
  });

  for (const line of of("invoke", "test", "ide", "doctor", "build", "diff", "cdk", "restore", "deploy")) {
    test(line, async () => {
      const { code, output } = await run(line, directory);
      assert.equal(code, 0, output);
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
      if (line.includes("--restore-on-exit")) assert.match(output, /Of stage \w+, 3 functions have their own code again/);
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
