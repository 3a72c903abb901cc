// Chrome's own DevTools, as the printed link opens it, against the inspector endpoint.

import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, repository } from "../e2e/support/sst.mjs";
import { CHROMIUM_FLAGS, freePort, loadPlaywright, until } from "./vscode.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");
const install = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, "target"), "vscode");

/** Passes connections on to `address` with the origin of DevTools that come with the browser: those that it serves have another. */
async function bundled(address) {
  const [host, port] = address.split(":");
  const server = net.createServer((client) => {
    const upstream = net.connect(port, host);
    for (const [one, other] of [[client, upstream], [upstream, client]]) one.on("error", () => other.destroy());
    client.once("data", (head) => {
      upstream.write(head.toString("latin1").replace(/^Origin: .*$/m, "Origin: devtools://devtools"), "latin1");
      client.pipe(upstream);
    });
    upstream.pipe(client);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { address: `127.0.0.1:${server.address().port}`, close: () => server.close() };
}

describe("DevTools", () => {
  let directory;
  let sst;
  let browser;
  let port;
  let passage;

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
    passage?.close();
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  test("shows workers as threads, also the next one after a save", async () => {
    const { inspector } = sst.session();
    const [target] = await (await fetch(`http://${inspector}/json/list`)).json();
    passage = await bundled(inspector);
    const page = await browser.newPage({ viewport: { width: 1300, height: 800 } });
    // Chromium serves its DevTools at the port as well; `devtools:` addresses cannot be opened from outside.
    assert.match(target.devtoolsFrontendUrl, /^devtools:\/\/devtools\/bundled\/inspector\.html\?/);
    const frontend = target.devtoolsFrontendUrl.replace("devtools://devtools/bundled", `http://127.0.0.1:${port}/devtools`);
    await page.goto(frontend.replace(inspector, passage.address));
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
