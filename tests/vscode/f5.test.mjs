// The real VS Code, in a headless browser: F5, breakpoints, saving, attaching. Screenshots of what is seen are kept in
// `target/vscode/screenshots`.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";

import { App, Sst, binary, clientOptions, copyApp, extraArguments, processesOf, repository } from "../e2e/support/sst.mjs";
import { VSCode, until } from "./vscode.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

const install = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, "target"), "vscode");
const screenshots = path.join(install, "screenshots");
const FILE = "functions/explicit.ts";

/** A handler that throws what it does not catch, before an `await` and after one. */
const THROWING = `interface Answer { text: string }

export async function run(event: { fail?: string }): Promise<Answer> {
  if (event.fail === "before") throw new Error("before an await");
  await new Promise(setImmediate);
  if (event.fail === "after") throw new Error("after an await");
  return { text: \`explicit \${process.env.ANSWER}\` };
}
`;

const env = { SST_NPM_ROOT: path.join(repository, "npm"), SST_BINARY: binary(), NO_COLOR: "1" };
let directory;
let vscode;

/** An app as `npm install` leaves it, with the launch configurations that are shipped. */
function workspace(change) {
  const made = copyApp("tests/fixtures/apps/cdk-plain", null);
  fs.mkdirSync(path.join(made, "node_modules/.bin"), { recursive: true });
  const modules = path.join(repository, "tests/fixtures/node_modules");
  for (const name of fs.readdirSync(modules)) {
    if (!name.startsWith(".")) fs.symlinkSync(path.join(modules, name), path.join(made, "node_modules", name));
  }
  fs.symlinkSync(path.join(repository, "npm/bin/sst.mjs"), path.join(made, "node_modules/.bin/sst"));
  const launch = JSON.parse(fs.readFileSync(path.join(repository, "launch-configs/vscode/launch.json"), "utf8"));
  change(launch.configurations);
  fs.mkdirSync(path.join(made, ".vscode"));
  fs.writeFileSync(path.join(made, ".vscode/launch.json"), JSON.stringify(launch, null, 2));
  return made;
}

async function invoke(app, name, event = {}) {
  const lambda = new LambdaClient({ ...clientOptions(app), maxAttempts: 1 });
  const FunctionName = app.stackOutput(`Function${name}`);
  const answer = await lambda.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(event) }));
  return JSON.parse(Buffer.from(answer.Payload));
}

/** Calls the function, expects a stop at a line of the editor, and lets it go on. Returns what is answered. */
async function stopsAt(app, line, name, { event, exception } = {}) {
  const call = invoke(app, "Explicit", event);
  const stop = await vscode.waitForStop(60_000);
  if (exception) assert.match(await vscode.exception(), exception);
  await vscode.screenshot(name);
  assert.deepEqual([stop.tab, stop.yellow?.line], [path.basename(FILE), line], JSON.stringify(stop.rows));
  // The process bears the name of its function. The slash is another one after F5.
  assert.ok(stop.rows.some((row) => /^plain[/\u2215]Explicit\b/.test(row.label)), JSON.stringify(stop.rows));
  await vscode.continue();
  const answer = await call;
  if (!exception) assert.deepEqual(answer, { text: "explicit 42" });
  return answer;
}

const bundle = () => path.join(directory, ".sst/artifacts/plain+Explicit/index.cjs");

/** The processes of the app, without the editor's own and the shell in its terminal. */
const ofTheApp = () =>
  processesOf(directory).filter((pid) => {
    try {
      return !/code-server|chromium|^[^\0]*\b(ba|da|z)?sh\0/.test(fs.readFileSync(`/proc/${pid}/cmdline`, "utf8"));
    } catch {
      return false;
    }
  });

async function open(name) {
  fs.mkdirSync(screenshots, { recursive: true });
  vscode = await VSCode.open({ workspace: directory, install, out: path.join(screenshots, name), env });
}

describe("VS Code", () => {
  // A failing test must leave something to look at.
  beforeEach(() => {
    vscode = undefined;
  });
  afterEach(async () => {
    await vscode?.screenshot("last").catch(() => {});
    await vscode?.close();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  test("F5: the first call stops, the next one after a save, and Stop ends everything", async () => {
    directory = workspace(([start]) => start.runtimeArgs.push("--local", ...extraArguments()));
    await open("f5");
    await vscode.setBreakpoint(FILE, 7);
    await vscode.chooseConfiguration("Debug SST Start");
    await vscode.pressF5();
    const session = path.join(directory, ".sst/session.json");
    await until("`sst start` to listen", 120_000, () => fs.existsSync(session));
    const app = new App(directory);
    await stopsAt(app, 7, "first-call");
    const old = fs.readFileSync(bundle(), "utf8");
    await vscode.insertLine(FILE);
    await until("the new code", 30_000, () => fs.readFileSync(bundle(), "utf8") !== old);
    await stopsAt(app, 8, "after-a-save");
    await vscode.typeInTerminal("");
    await stopsAt(app, 8, "after-enter");
    await vscode.stop();
    await until("everything to end", 30_000, () => ofTheApp().length === 0);
  });

  test("attach: stops, stops after a save and at what is not caught, and leaves the function running", async () => {
    directory = workspace(() => {});
    fs.writeFileSync(path.join(directory, FILE), THROWING);
    const sst = await Sst.start(directory, ["--increase-timeout"], env);
    try {
      execFileSync(binary(), ["ide", "vscode"], { cwd: directory });
      await open("attach");
      await vscode.setBreakpoint(FILE, 7);
      await vscode.chooseConfiguration("Attach to SST");
      await vscode.pressF5();
      await sst.waitFor(/A debugger is attached/);
      await stopsAt(sst, 7, "first-call");
      const from = sst.output.length;
      await vscode.insertLine(FILE);
      await sst.waitFor(/BUILT +plain\/Explicit/, from);
      await stopsAt(sst, 8, "after-a-save");
      await vscode.checkExceptions("Uncaught Exceptions");
      for (const [fail, line] of [["before", 5], ["after", 7]]) {
        const exception = new RegExp(`Exception has occurred: Error: ${fail} an await`);
        const answer = await stopsAt(sst, line, `uncaught-${fail}-an-await`, { event: { fail }, exception });
        assert.deepEqual([answer.errorType, answer.errorMessage], ["Error", `${fail} an await`]);
      }
      await vscode.stop();
      await sst.waitFor(/A debugger has left/, from);
      assert.deepEqual(await invoke(sst, "Explicit"), { text: "explicit 42" });
    } catch (error) {
      throw new Error(`${error.message}\n${sst.output}`, { cause: error });
    } finally {
      await sst.stop();
    }
  });
});
