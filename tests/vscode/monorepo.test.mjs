// The real VS Code on the folder of a workspace with several packages that the real pnpm has installed: the app is in a folder below,
// depends on one package beside it by `workspace:*`, and finds another one by the `paths` of a `tsconfig.json`. F5 starts the compound
// of app and tests. Screenshots are kept in `target/vscode/screenshots`.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";

import { App, binary, clientOptions, copyApp, extraArguments, processesOf, repository } from "../e2e/support/sst.mjs";
import { VSCode, until } from "./vscode.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");
const install = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, "target"), "vscode");

const SHARED = "packages/shared/src/answer.ts";
const LIBRARY = "packages/library/src/text.ts";
const HANDLER = "packages/app/functions/explicit.ts";
const TEST = "packages/app/test/answer.test.js";

/** The workspace, with the launch configurations that are shipped and, as their README says, the folder that they are run in. */
function workspace() {
  const app = copyApp("tests/fixtures/apps/cdk-plain", null);
  const root = fs.mkdtempSync(`${app}-workspace-`);
  const write = (file, text) => {
    fs.mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    fs.writeFileSync(path.join(root, file), text);
  };
  fs.cpSync(app, path.join(root, "packages/app"), { recursive: true });
  fs.rmSync(app, { recursive: true });
  write(SHARED, "export function answer(value: string | undefined): string {\n  const text = `shared ${value}`;\n  return text;\n}\n");
  write(LIBRARY, "export function loud(text: string): string {\n  return `${text}!`;\n}\n");
  write("packages/app/tsconfig.json", '{ "compilerOptions": { "paths": { "@library/*": ["../library/src/*"] } } }\n');
  write(
    HANDLER,
    `import { loud } from "@library/text";
import { answer } from "@workspace/shared";

export const run = async () => ({ text: loud(answer(process.env.ANSWER)) });
`,
  );
  write(TEST, 'const { test } = require("node:test");\n\ntest("answer", () => {\n  const answer = 42;\n  return answer;\n});\n');
  const shipped = fs.readFileSync(path.join(repository, "launch-configs/vscode/launch.json"), "utf8");
  const launch = JSON.parse(shipped.replaceAll("${workspaceRoot}", "${workspaceRoot}/packages/app"));
  const [start] = launch.configurations;
  start.cwd = "${workspaceRoot}/packages/app";
  start.runtimeArgs.push("--local", ...extraArguments());
  write(".vscode/launch.json", JSON.stringify(launch, null, 2));
  installPackages(root, write);
  return root;
}

/** Has pnpm install the workspace with our package as it is released. Whatever else is needed is on this machine already. */
function installPackages(root, write) {
  const fixtures = path.join(repository, "tests/fixtures/node_modules");
  const links = (modules, names) => Object.fromEntries(names.map((name) => [name, `link:${path.join(modules, name)}`]));
  const [{ filename }] = JSON.parse(execFileSync("npm", ["pack", path.join(repository, "npm"), "--json", "--silent"], { cwd: root }));
  const ours = JSON.parse(fs.readFileSync(path.join(repository, "npm/package.json"), "utf8"));
  const overrides = links(path.join(repository, "npm/node_modules"), Object.keys(ours.dependencies));
  const dependencies = {
    "@workspace/shared": "workspace:*",
    sst: `file:../../${filename}`,
    ...links(fixtures, ["aws-cdk-lib", "constructs"]),
  };
  write("pnpm-workspace.yaml", JSON.stringify({ packages: ["packages/*"], overrides }));
  write("package.json", '{ "private": true }\n');
  write("packages/shared/package.json", '{ "name": "@workspace/shared", "version": "1.0.0", "main": "src/answer.ts" }\n');
  write("packages/app/package.json", JSON.stringify({ name: "app", private: true, dependencies }));
  const pnpm = path.join(fixtures, "pnpm/bin/pnpm.cjs");
  const options = ["--offline", "--ignore-scripts", "--no-frozen-lockfile", "--reporter=append-only", "--store-dir=node_modules/.store"];
  execFileSync(process.execPath, [pnpm, "install", ...options], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  // It is no link, as npm makes it.
  assert.match(fs.readFileSync(path.join(root, "packages/app/node_modules/.bin/sst"), "utf8"), /^#!\/bin\/sh\n/);
}

test("breakpoints in packages beside the app, and in its tests, stop before and after a save", async () => {
  const directory = workspace();
  const app = new App(path.join(directory, "packages/app"));
  const out = path.join(install, "screenshots/monorepo");
  // The runner of these tests would be taken for that of the app's.
  const env = { SST_NPM_ROOT: undefined, SST_BINARY: binary(), NO_COLOR: "1", NODE_TEST_CONTEXT: undefined };
  let vscode;
  const invoke = async () => {
    const lambda = new LambdaClient({ ...clientOptions(app), maxAttempts: 1 });
    const answer = await lambda.send(new InvokeCommand({ FunctionName: app.stackOutput("FunctionExplicit"), Payload: "{}" }));
    return JSON.parse(Buffer.from(answer.Payload));
  };
  const stopsAt = async (file, line, screenshot) => {
    const stop = await vscode.waitForStop(240_000);
    await vscode.screenshot(screenshot);
    assert.deepEqual([stop.tab, stop.yellow?.line], [path.basename(file), line], JSON.stringify(stop.rows));
    await vscode.continue();
    return stop;
  };
  /** Calls the function, which stops in one package after the other. */
  const callStopsAt = async (places, screenshot) => {
    const call = invoke();
    for (const [file, line] of places) {
      const { rows } = await stopsAt(file, line, `${screenshot}-${path.basename(file)}`);
      assert.ok(rows.some(({ label }) => label.startsWith("plain\u2215Explicit")), JSON.stringify(rows));
    }
    assert.deepEqual(await call, { text: "shared 42!" });
  };
  try {
    fs.mkdirSync(out, { recursive: true });
    vscode = await VSCode.open({ workspace: directory, install, out, env });
    await vscode.setBreakpoint(TEST, 5);
    await vscode.setBreakpoint(LIBRARY, 2);
    await vscode.setBreakpoint(SHARED, 3);
    await vscode.chooseConfiguration("Debug SST Start and Tests");
    await vscode.pressF5();
    await stopsAt(TEST, 5, "in-a-test");
    await until("`sst start` to listen", 120_000, () => fs.existsSync(path.join(app.directory, ".sst/session.json")));
    await callStopsAt([[SHARED, 3], [LIBRARY, 2]], "first-call");
    const bundle = path.join(app.directory, ".sst/artifacts/plain+Explicit/index.cjs");
    for (const [file, places] of [[SHARED, [[SHARED, 4], [LIBRARY, 2]]], [LIBRARY, [[SHARED, 4], [LIBRARY, 3]]]]) {
      const old = fs.readFileSync(bundle, "utf8");
      await vscode.insertLine(file);
      await until("the new code", 30_000, () => fs.readFileSync(bundle, "utf8") !== old);
      await callStopsAt(places, `after-a-save-of-${path.basename(file)}`);
    }
    // The compound stops all that it has started.
    await vscode.stop();
    const isOfTheApp = (pid) => {
      try {
        return !/code-server|chromium|^[^\0]*\b(ba|da|z)?sh\0/.test(fs.readFileSync(`/proc/${pid}/cmdline`, "utf8"));
      } catch {
        return false;
      }
    };
    await until("everything to end", 30_000, () => processesOf(directory).filter(isOfTheApp).length === 0);
  } catch (error) {
    const terminal = await vscode?.terminalText().catch(() => undefined);
    throw new Error(`${error.message}\n${terminal}`, { cause: error });
  } finally {
    await vscode?.screenshot("last").catch(() => {});
    await vscode?.close();
    fs.rmSync(directory, { recursive: true, force: true });
  }
});
