// The real VS Code, without any extension for Python, Go or Rust: one attach stops in functions of all languages, again after they
// were saved. Screenshots of what is seen are kept in `target/vscode/screenshots`.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";

import { Sst, binary, clientOptions, copyApp, repository } from "../e2e/support/sst.mjs";
import { VSCode, until } from "./vscode.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

const target = process.env.CARGO_TARGET_DIR ?? path.join(repository, "target");
const debuggers = path.join(target, "debuggers");
execFileSync(path.join(repository, "tests/debuggers/install.sh"), [debuggers], { stdio: ["ignore", "inherit", "inherit"] });

/** Where each language's answer is made. */
const PLACES = {
  Node: ["node/index.js", "return { value, language"],
  Python: ["python/pkg/behaviour.py", 'return {"value": answer'],
  Go: ["go/main.go", "return answer, nil"],
  Rust: ["rust/src/main.rs", 'let value = event.payload["value"]'],
};

test("one attach stops in every language, and again after a save", async () => {
  const directory = copyApp("tests/fixtures/apps/languages");
  const install = path.join(target, "vscode");
  const out = path.join(install, "screenshots/languages");
  fs.mkdirSync(out, { recursive: true });
  const environment = { PATH: `${debuggers}/bin:${process.env.PATH}`, VIRTUAL_ENV: `${debuggers}/python` };
  const sst = await Sst.start(directory, ["--increase-timeout"], environment);
  let vscode;
  const lineOf = (id) => {
    const [file, text] = PLACES[id];
    return fs.readFileSync(path.join(directory, file), "utf8").split("\n").findIndex((line) => line.includes(text)) + 1;
  };
  /** Calls a function, expects it to stop, and lets it go on until it has answered. */
  const stopsIn = async (id, screenshot) => {
    const lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
    const FunctionName = sst.stackOutput(`Function${id}`);
    let answer;
    const call = lambda.send(new InvokeCommand({ FunctionName, Payload: '{"value":"x"}' })).then((result) => {
      answer = JSON.parse(Buffer.from(result.Payload));
    });
    const stop = await vscode.waitForStop(60_000);
    await vscode.screenshot(screenshot);
    assert.deepEqual([stop.tab, stop.yellow?.line], [path.basename(PLACES[id][0]), lineOf(id)], JSON.stringify(stop.rows));
    await vscode.continue();
    await call;
    assert.deepEqual(answer, { value: "x", language: id.toLowerCase() });
  };
  try {
    execFileSync(binary(), ["ide", "vscode"], { cwd: directory });
    vscode = await VSCode.open({ workspace: directory, install, out });
    for (const id of Object.keys(PLACES)) await vscode.setBreakpoint(PLACES[id][0], lineOf(id));
    await vscode.chooseConfiguration("Attach to SST (all languages)");
    await vscode.pressF5();
    await sst.waitFor(/A debugger is attached/);
    for (const id of Object.keys(PLACES)) await stopsIn(id, `first-call-${id}`);
    for (const id of ["Node", "Python"]) {
      const from = sst.output.length;
      await vscode.insertLine(PLACES[id][0]);
      await sst.waitFor(new RegExp(`BUILT +languages/${id}`), from);
      await stopsIn(id, `after-a-save-${id}`);
    }
    // Stop ends the session that is in focus, which is that of one process, until only the one for all is left.
    const from = sst.output.length;
    const hasLeft = () => /A debugger has left/.test(sst.output.slice(from));
    const sessions = async () => (await vscode.callStack()).filter((row) => row.kind === "session").length;
    // A key press that came to nothing is made again.
    await until("the end of all sessions", 60_000, async () => {
      const number = await sessions();
      await vscode.stop();
      await until("the end of one", 2_000, async () => hasLeft() || (await sessions()) < number).catch(() => {});
      return hasLeft();
    });
  } catch (error) {
    const sessions = await vscode?.callStack().catch(() => undefined);
    throw new Error(`${error.message}\nsessions: ${JSON.stringify(sessions)}\n${sst.output}`, { cause: error });
  } finally {
    await vscode?.screenshot("last").catch(() => {});
    await vscode?.close();
    await sst.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  }
});
