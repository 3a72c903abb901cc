// The pictures of the documentation, made of the real thing: VS Code at a breakpoint of an example, and the terminal of `sst start`, each in a dark
// and in a light theme. They are kept in `target/vscode/screenshots/pictures`; UPDATE_PICTURES=1 puts them into `docs/images`.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { App, Sst, binary, copyApp, extraArguments, repository } from "../e2e/support/sst.mjs";
import { CHROMIUM_FLAGS, VSCode, loadPlaywright, until } from "./vscode.mjs";

const install = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, "target"), "vscode");
const made = path.join(install, "screenshots/pictures");
const documented = path.join(repository, "docs/images");

const THEMES = {
  dark: { is: "vs-dark", terminal: { background: "#1b1d21", foreground: "#d6d8dc" } },
  light: { is: "vs", terminal: { background: "#ffffff", foreground: "#24292f", green: "#107c10", brightGreen: "#0b6a0b", yellow: "#8a6500", cyan: "#00708a" } },
};
const FILE = "src/list.js";
const LINE = 6;

let parent;
let directory;

/** An example by its own name, since the pictures show it. */
function workspace() {
  const copy = copyApp("examples/rest-api", path.join(repository, "examples/rest-api/node_modules"));
  parent = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-pictures-"));
  directory = path.join(parent, "rest-api");
  fs.renameSync(copy, directory);
  // Of a Node.js that is older than the functions' runtime there are warnings; a picture is to show what belongs to it.
  const stack = path.join(directory, "stacks/RestApiStack.js");
  const variables = "environment: { ...environment, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: \"true\" }";
  const major = process.versions.node.split(".")[0];
  const changed = fs.readFileSync(stack, "utf8").replace(/environment }\);/, `${variables} });`).replace(/NODEJS_\d+_X/, `NODEJS_${major}_X`);
  fs.writeFileSync(stack, changed);
  const launch = JSON.parse(fs.readFileSync(path.join(repository, "launch-configs/vscode/launch.json"), "utf8"));
  launch.configurations.find(({ name }) => name === "Debug SST Start").runtimeArgs.push("--local", ...extraArguments());
  fs.mkdirSync(path.join(directory, ".vscode"));
  fs.writeFileSync(path.join(directory, ".vscode/launch.json"), JSON.stringify(launch, null, 2));
}

/** Keeps a picture, and puts it into the documentation if that is asked for. The documentation shows each picture that is made here. */
function keep(file) {
  const name = path.basename(file);
  const destination = path.join(documented, name);
  if (process.env.UPDATE_PICTURES) fs.copyFileSync(file, destination);
  assert.ok(fs.existsSync(destination), `docs/images/${name} is missing: UPDATE_PICTURES=1 makes it`);
  const pages = fs.readdirSync(path.join(repository, "docs")).filter((page) => page.endsWith(".md"));
  const texts = [path.join(repository, "README.md"), ...pages.map((page) => path.join(repository, "docs", page))];
  assert.ok(texts.some((page) => fs.readFileSync(page, "utf8").includes(`images/${name}`)), `no page shows docs/images/${name}`);
}

describe("the pictures of the documentation", () => {
  before(() => {
    fs.mkdirSync(made, { recursive: true });
    workspace();
  });
  after(() => fs.rmSync(parent, { recursive: true, force: true }));

  test("VS Code at a breakpoint", async () => {
    const env = { SST_NPM_ROOT: path.join(repository, "npm"), SST_BINARY: binary() };
    const settings = { "window.autoDetectColorScheme": true, "window.commandCenter": false, "debug.hideLauncherWhileDebugging": true };
    const vscode = await VSCode.open({ workspace: directory, install, out: made, env, settings, viewport: { width: 1280, height: 800 } });
    try {
      await vscode.setBreakpoint(FILE, LINE);
      await vscode.chooseConfiguration("Debug SST Start");
      await vscode.pressF5();
      await until("`sst start` to listen", 120_000, () => fs.existsSync(path.join(directory, ".sst/session.json")));
      const listening = () => vscode.terminalText().then((text) => text.includes("Listening for requests"));
      await until("its terminal to say so", 20_000, listening);
      // What VS Code has it started with is longer than a picture, and tells of this machine.
      await vscode.quick(">Terminal: Clear", "Terminal: Clear");
      const answer = fetch(`${new App(directory).stackOutput("ApiEndpoint")}/notes`);
      const stop = await vscode.waitForStop();
      assert.deepEqual([stop.tab, stop.yellow?.line], [path.basename(FILE), LINE]);
      await vscode.expand("Variables", true);
      await vscode.page.locator(".debug-call-stack .monaco-list-row").filter({ hasText: "Object.handler" }).first().click();
      await vscode.page.locator(".debug-variables .monaco-list-row").filter({ hasText: "notes" }).first().waitFor();
      await until("the terminal to say that it is paused", 20_000, () => vscode.terminalText().then((text) => text.includes("PAUSED")));
      for (const [name, { is }] of Object.entries(THEMES)) {
        await vscode.page.emulateMedia({ colorScheme: name });
        await vscode.page.waitForSelector(`.monaco-workbench.${is}`);
        await vscode.settled(() => vscode.page.locator(".monaco-workbench").innerText());
        keep(await vscode.screenshot(`breakpoint-${name}`));
      }
      await vscode.continue();
      assert.equal((await answer).status, 200);
    } finally {
      await vscode.close();
    }
  });

  test("the terminal of `sst start`", async () => {
    const [columns, rows] = [100, 30];
    const env = { NO_COLOR: undefined, TERM: "xterm-256color", COLORTERM: "truecolor" };
    const sst = await Sst.start(directory, [], env, { terminal: [columns, rows] });
    try {
      const endpoint = sst.stackOutput("ApiEndpoint");
      for (const [method, request, functions] of [["GET", "notes", ["List"]], ["POST", "order", ["Order", "Shipping", "Receipt"]]]) {
        assert.equal((await fetch(`${endpoint}/${request}`, { method })).status, 200);
        for (const one of functions) await sst.waitFor(new RegExp(`RESPONSE.*${one}`));
      }
      const source = path.join(directory, FILE);
      const from = sst.output.length;
      fs.writeFileSync(source, fs.readFileSync(source, "utf8").replace("} notes`", "} notes, newest last`"));
      await sst.waitFor(/BUILT/, from);
      await fetch(`${endpoint}/notes`);
      await sst.waitFor(/RESPONSE.*List.*ms\)/, from);
      await photograph(sst.output, columns);
    } finally {
      await sst.stop();
    }
  });
});

/** What a terminal shows of an output, by the one that VS Code has. */
async function photograph(output, columns) {
  const xterm = path.join(install, "node_modules/code-server/lib/vscode/node_modules/@xterm/xterm");
  const launcher = await loadPlaywright(install);
  const browser = await launcher.launch({ executablePath: "/usr/bin/chromium", args: CHROMIUM_FLAGS });
  try {
    const page = await browser.newPage({ viewport: { width: 1200, height: 900 }, deviceScaleFactor: 1.5 });
    await page.addStyleTag({ path: path.join(xterm, "css/xterm.css") });
    await page.addStyleTag({ content: "body { margin: 0 } #terminal { display: inline-block; padding: 14px 18px } .xterm-viewport { overflow: hidden !important }" });
    await page.addScriptTag({ path: path.join(xterm, "lib/xterm.js") });
    for (const [name, { terminal: theme }] of Object.entries(THEMES)) {
      await page.evaluate(
        ({ output, columns, theme }) => {
          document.body.innerHTML = '<div id="terminal"></div>';
          const element = document.querySelector("#terminal");
          element.style.background = theme.background;
          const options = { cols: columns, rows: 200, scrollback: 0, convertEol: true, fontFamily: "DejaVu Sans Mono, Symbola, monospace", fontSize: 13, theme };
          const terminal = new window.Terminal({ ...options, cursorInactiveStyle: "none" });
          terminal.open(element);
          return new Promise((resolve) =>
            terminal.write(output, () => {
              terminal.resize(columns, terminal.buffer.active.cursorY + 1);
              requestAnimationFrame(() => requestAnimationFrame(resolve));
            }),
          );
        },
        { output, columns, theme },
      );
      const file = path.join(made, `terminal-${name}.png`);
      await page.locator("#terminal").screenshot({ path: file });
      const shown = await page.locator(".xterm-rows").innerText();
      assert.match(shown.replaceAll("\u00a0", " "), /Listening for requests[^]*BUILT +\S+List/);
      keep(file);
    }
  } finally {
    await browser.close();
  }
}
