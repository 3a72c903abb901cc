// Chrome's own DevTools, as the printed link opens it, against the inspector endpoint.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, repository } from "../e2e/support/sst.mjs";
import { CHROMIUM_FLAGS, freePort, loadPlaywright, until } from "./vscode.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");
const install = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, "target"), "vscode");

describe("DevTools", () => {
  let directory;
  let sst;
  let browser;
  let port;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    sst = await Sst.start(directory, ["--increase-timeout"]);
    const chromium = await loadPlaywright(install);
    port = await freePort();
    const args = [...CHROMIUM_FLAGS, `--remote-debugging-port=${port}`];
    browser = await chromium.launch({ executablePath: "/usr/bin/chromium", headless: true, args });
  });
  after(async () => {
    await browser?.close();
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  test("shows workers as threads, also the next one after a save", async () => {
    const [target] = await (await fetch(`http://${sst.session().inspector}/json/list`)).json();
    const page = await browser.newPage({ viewport: { width: 1300, height: 800 } });
    // Chromium serves its DevTools at the port as well; `devtools:` addresses cannot be opened from outside.
    assert.match(target.devtoolsFrontendUrl, /^devtools:\/\/devtools\/bundled\/inspector\.html\?/);
    await page.goto(target.devtoolsFrontendUrl.replace("devtools://devtools/bundled", `http://127.0.0.1:${port}/devtools`));
    await sst.waitFor(/A debugger is attached/);
    const invoke = async (name) => {
      const lambda = new LambdaClient(clientOptions(sst));
      await lambda.send(new InvokeCommand({ FunctionName: sst.stackOutput(`Function${name}`), Payload: "{}" }));
    };
    await invoke("Explicit");
    await page.getByRole("tab", { name: "Sources", exact: true }).click();
    const threads = () => page.locator("text=/Explicit#w\\d+/").allInnerTexts();
    await until("a thread", 60_000, async () => (await threads()).length > 0);
    fs.mkdirSync(path.join(install, "screenshots"), { recursive: true });
    await page.screenshot({ path: path.join(install, "screenshots/devtools.png") });
    const [first] = await threads();
    const file = path.join(directory, "functions/explicit.ts");
    fs.writeFileSync(file, `\n${fs.readFileSync(file, "utf8")}`);
    await until("the next worker's thread", 60_000, async () => {
      const now = await threads();
      return now.length > 0 && !now.includes(first);
    });
  });
});
