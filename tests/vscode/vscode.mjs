// Drives a real VS Code (code-server) in headless Chromium, the way a person
// would: open a file, F9 on a line, choose a launch configuration, F5.
//
// Everything listens on and talks to 127.0.0.1 only.

import { spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

export const CHROMIUM_FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
];

const SETTINGS = {
  "chat.disableAIFeatures": true,
  "debug.console.closeOnEnd": false,
  // With them, the marks of breakpoints are drawn only when the debugger has said where else in their lines it could stop, half a second
  // later, and where they were before: what is typed meanwhile leaves them behind.
  "debug.showInlineBreakpointCandidates": false,
  "editor.minimap.enabled": false,
  "editor.stickyScroll.enabled": false,
  "extensions.autoCheckUpdates": false,
  "extensions.autoUpdate": false,
  "extensions.ignoreRecommendations": true,
  "git.enabled": false,
  "remote.autoForwardPorts": false,
  "security.workspace.trust.enabled": false,
  "telemetry.telemetryLevel": "off",
  // It would be fetched from the network.
  "typescript.disableAutomaticTypeAcquisition": true,
  // The DOM renderer, so that the terminal's text can be read from the page.
  "terminal.integrated.gpuAcceleration": "off",
  "update.mode": "none",
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "workbench.startupEditor": "none",
  // A row that is shown a second time would be read a second time.
  "workbench.tree.enableStickyScroll": false,
  // What is told of the thing that happens to lie under the pointer would cover what is to be clicked at.
  "workbench.hover.delay": 3_600_000,
  "workbench.tips.enabled": false,
};

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function until(what, timeoutMs, probe) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > end) throw new Error(`timed out after ${timeoutMs} ms waiting for ${what}`);
    await sleep(100);
  }
}

/** A port for a program that must be told its own: below those that systems give away by themselves, so that no connection takes it meanwhile. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const tried = net.createServer();
    tried.on("error", (error) => (error.code === "EADDRINUSE" ? resolve(freePort()) : reject(error)));
    tried.listen(20_000 + Math.floor(Math.random() * 12_000), "127.0.0.1", () => {
      const { port } = tried.address();
      tried.close(() => resolve(port));
    });
  });
}

export async function loadPlaywright(from) {
  const resolve = createRequire(from ? path.join(path.resolve(from), "x.js") : import.meta.url).resolve;
  const module = await import(pathToFileURL(resolve("playwright-core")));
  return module.chromium ?? module.default.chromium;
}

export class VSCode {
  // Options: workspace, out, install (folder that holds node_modules/code-server
  // and node_modules/playwright-core), node, chromium, settings, env, extensions
  // (folders of further VS Code extensions), viewport
  static async open(options) {
    const vscode = new VSCode();
    vscode.workspace = fs.realpathSync(options.workspace);
    vscode.out = path.resolve(options.out);
    fs.mkdirSync(vscode.out, { recursive: true });
    try {
      await vscode.#startServer(options);
      await vscode.#startBrowser(options);
    } catch (error) {
      await vscode.close();
      throw error;
    }
    return vscode;
  }

  async #startServer({ install, node = "node", settings = {}, env = {}, extensions = [] }) {
    const data = fs.mkdtempSync(path.join(this.out, "user-data-"));
    this.data = data;
    fs.mkdirSync(path.join(data, "User"), { recursive: true });
    fs.writeFileSync(path.join(data, "User", "settings.json"), JSON.stringify({ ...SETTINGS, ...settings }, null, 2));
    fs.writeFileSync(path.join(data, "config.yaml"), "auth: none\n");
    for (const extension of extensions) {
      fs.cpSync(extension, path.join(data, "extensions", path.basename(path.resolve(extension))), { recursive: true });
    }
    this.port = await freePort();
    const entry = path.join(path.resolve(install), "node_modules/code-server/out/node/entry.js");
    this.server = spawn(
      node,
      [
        entry,
        "--config", path.join(data, "config.yaml"),
        "--auth", "none",
        "--bind-addr", `127.0.0.1:${this.port}`,
        "--user-data-dir", data,
        "--extensions-dir", path.join(data, "extensions"),
        "--disable-telemetry",
        "--disable-update-check",
        "--disable-workspace-trust",
      ],
      {
        // A group of its own, so that close() ends the extension host, the
        // terminals and the debuggee with it.
        detached: true,
        env: {
          ...process.env,
          ...env,
          XDG_DATA_HOME: data,
          XDG_CONFIG_HOME: data,
          // No gallery of extensions: a closed port on this machine.
          EXTENSIONS_GALLERY: JSON.stringify({ serviceUrl: "http://127.0.0.1:1", itemUrl: "", resourceUrlTemplate: "" }),
        },
        stdio: ["ignore", fs.openSync(path.join(this.out, "code-server.log"), "w"), "inherit"],
      },
    );
    await until("code-server", 60_000, async () => {
      if (this.server.exitCode !== null) throw new Error(`code-server ended with ${this.server.exitCode}, see ${this.out}/code-server.log`);
      return fetch(`http://127.0.0.1:${this.port}/healthz`).then((r) => r.ok, () => false);
    });
  }

  async #startBrowser({ install, chromium = "/usr/bin/chromium", viewport = { width: 1500, height: 1800 } }) {
    const launcher = await loadPlaywright(install);
    this.context = await launcher.launchPersistentContext(path.join(this.data, "chromium"), {
      executablePath: chromium,
      headless: true,
      args: CHROMIUM_FLAGS,
      // High, because only rows that are in view are in the page: in a short list the frame in question may be scrolled away.
      viewport,
    });
    this.page = this.context.pages()[0] ?? (await this.context.newPage());
    await this.page.goto(`http://127.0.0.1:${this.port}/?folder=${encodeURIComponent(this.workspace)}`);
    await this.page.waitForSelector(".monaco-workbench .explorer-folders-view .monaco-list-row", { timeout: 90_000 });
  }

  async screenshot(name) {
    const file = path.join(this.out, `${name}.png`);
    await this.page.screenshot({ path: file });
    return file;
  }

  // Waits until what `look` sees is what it saw a moment before.
  async settled(look) {
    let before;
    await until("what is shown to stay", 10_000, async () => {
      const now = JSON.stringify(await look());
      const same = now === before;
      before = now;
      return same;
    });
  }

  // Runs one line in the quick-open box: a file, ":line", ">command".
  async quick(text, row = undefined) {
    const input = this.page.locator(".quick-input-widget input.input").first();
    await until("the quick-open box", 20_000, async () => {
      await this.page.keyboard.press(text.startsWith(">") ? "F1" : "Control+P");
      return input.waitFor({ state: "visible", timeout: 3_000 }).then(() => true, () => false);
    });
    await input.fill(text);
    const rows = this.page.locator(".quick-input-list .monaco-list-row");
    const wanted = row ? rows.filter({ hasText: row }).first() : rows.first();
    await wanted.waitFor({ timeout: 20_000 });
    // The list is filled piece by piece; what is clicked at is to be where it was seen.
    await this.settled(() => rows.allInnerTexts());
    if (row) await wanted.click();
    else await this.page.keyboard.press("Enter");
    await input.waitFor({ state: "hidden", timeout: 10_000 }).catch(() => {});
  }

  async openFile(file, line) {
    await this.quick(line ? `${file}:${line}` : file, path.basename(file));
    await this.page.waitForSelector(`.tab.active[data-resource-name="${path.basename(file)}"]`, { timeout: 20_000 });
    if (line) {
      await until(`the cursor on line ${line}`, 10_000, async () => {
        const status = await this.page.locator("#status\\.editor\\.selection").innerText().catch(() => "");
        return status.startsWith(`Ln ${line},`);
      });
    }
  }

  // Puts a breakpoint on a line with F9.
  async setBreakpoint(file, line) {
    await this.openFile(file, line);
    await this.page.locator(".editor-group-container.active .monaco-editor .view-lines").first().waitFor();
    await this.page.keyboard.press("F9");
    await this.page.waitForSelector('.monaco-editor .glyph-margin-widgets [class*="codicon-debug-breakpoint"]', { timeout: 10_000 });
  }

  // Puts a line in at the top of a file, as a person does, and saves. Its breakpoints move along.
  async insertLine(file) {
    await this.openFile(file, 1);
    const before = await until("the marks of breakpoints", 20_000, async () => {
      const lines = await this.#marked();
      return lines.length > 0 && lines;
    });
    await this.page.keyboard.press("Control+Home");
    await this.page.keyboard.press("Enter");
    const moved = JSON.stringify(before.map((line) => line + 1));
    await until("the breakpoints to move along", 10_000, async () => JSON.stringify(await this.#marked()) === moved);
    await this.page.keyboard.press("Control+S");
    await until("the file to be saved", 10_000, () => fs.readFileSync(path.join(this.workspace, file), "utf8").startsWith("\n"));
  }

  // The lines that have the mark of a breakpoint, in the order of the file.
  #marked() {
    return this.page.evaluate(() => {
      const editor = document.querySelector(".editor-group-container.active .monaco-editor");
      const numbers = [...(editor?.querySelectorAll(".line-numbers") ?? [])];
      const tops = [...(editor?.querySelectorAll('.glyph-margin-widgets [class*="codicon-debug-breakpoint"]') ?? [])].map((mark) => mark.getBoundingClientRect().top);
      return tops
        .map((top) => Number(numbers.find((number) => Math.abs(number.getBoundingClientRect().top - top) < 4)?.textContent))
        .sort((a, b) => a - b);
    });
  }

  // Chooses a configuration in the drop-down list of the Run and Debug view.
  async chooseConfiguration(name) {
    await this.page.keyboard.press("Control+Shift+D");
    // All the height is for the call stack.
    for (const title of ["Variables", "Watch", "Breakpoints"]) await this.expand(title, false);
    const item = this.page.locator(".start-debug-action-item");
    const select = item.locator("select"); // older versions
    const dropdown = item.locator(".dropdown-label"); // newer ones
    await until("the list of configurations", 30_000, async () => (await select.count()) + (await dropdown.count()));
    if (await select.count()) {
      const label = await until(`the configuration ${name}`, 30_000, async () => {
        const labels = await select.locator("option").allTextContents();
        return labels.find((l) => l === name || l.startsWith(`${name} (`));
      });
      await select.selectOption({ label });
    } else if ((await dropdown.innerText()).trim() !== name) {
      await dropdown.click();
      await this.page.locator(".actionList .monaco-list-row .title").getByText(name, { exact: true }).click();
      await until(`${name} to be chosen`, 5_000, async () => (await dropdown.innerText()).startsWith(name));
    }
  }

  // Opens a section of the Run and Debug view, or closes it.
  async expand(title, wanted) {
    const header = this.page.locator(`.pane-header[aria-label="${title} Section"]`);
    await header.waitFor({ timeout: 30_000 });
    const isExpanded = (await header.getAttribute("aria-expanded")) === "true";
    if (isExpanded !== wanted) await header.press(wanted ? "ArrowRight" : "ArrowLeft");
  }

  // Has the debugger stop at exceptions of a kind, by its checkbox in the list of breakpoints. It is there from the first session on.
  async checkExceptions(label) {
    await this.expand("Breakpoints", true);
    const row = this.page.locator(".debug-breakpoints .monaco-list-row").filter({ hasText: label });
    const box = row.locator('input[type="checkbox"]');
    await box.check({ timeout: 20_000 });
    await this.expand("Breakpoints", false);
  }

  // What is shown of the exception at which it has stopped, a moment after the stop.
  exception() {
    return this.page.locator(".exception-widget").innerText({ timeout: 20_000 });
  }

  async pressF5() {
    this.startedAt = Date.now();
    await this.page.keyboard.press("F5");
  }

  // The rows of the Call Stack view: sessions, threads and frames.
  callStack() {
    return this.page.evaluate(() =>
      [...document.querySelectorAll(".debug-call-stack .monaco-list-row")]
        .sort((a, b) => Number(a.dataset.index) - Number(b.dataset.index))
        .map((row) => {
          const text = (selector) => row.querySelector(selector)?.textContent?.trim() || undefined;
          const frame = row.querySelector(".stack-frame");
          return {
            level: Number(row.getAttribute("aria-level")),
            kind: frame ? "frame" : row.querySelector(".session") ? "session" : row.querySelector(".thread") ? "thread" : "other",
            label: text(".label:not(.state)") ?? text(".name") ?? row.textContent.trim(),
            state: frame ? undefined : text(".state"),
            file: text(".file-name"),
            position: text(".line-number"),
            aria: row.getAttribute("aria-label"),
          };
        }),
    );
  }

  async isStopped() {
    return (await this.page.locator(".debug-toolbar .codicon-debug-continue").count()) > 0;
  }

  // Waits until the debugger is stopped, and says where: the Call Stack view,
  // the line painted as the current one, and the tab that shows it.
  async waitForStop(timeoutMs = 60_000) {
    // The view and the editor are drawn one after the other; both are to tell of the same line.
    let rows;
    let yellow;
    await until("a stop", timeoutMs, async () => {
      rows = await this.callStack();
      const top = rows.find((row) => row.kind === "frame");
      yellow = await this.#yellow();
      return top && yellow?.line && yellow.line === parseInt(top.position);
    }).catch((error) => {
      throw new Error(`${error.message}; the line shown is ${JSON.stringify(yellow)}, and the call stack ${JSON.stringify(rows)}`);
    });
    return {
      afterMs: Date.now() - (this.startedAt ?? Date.now()),
      tab: await this.page.locator(".tab.active").first().getAttribute("data-resource-name"),
      yellow,
      reason: rows.find((r) => r.state && /paused|stopped/i.test(r.state))?.state,
      top: rows.find((r) => r.kind === "frame"),
      rows,
    };
  }

  // The line that is painted as the current one.
  #yellow() {
    return this.page.evaluate(() => {
      const mark = document.querySelector(".monaco-editor .debug-top-stack-frame-line");
      const editor = mark?.closest(".monaco-editor");
      if (!editor) return undefined;
      const top = mark.getBoundingClientRect().top;
      const near = (selector) =>
        [...editor.querySelectorAll(selector)].find((e) => Math.abs(e.getBoundingClientRect().top - top) < 4)?.textContent;
      return { line: Number(near(".line-numbers")), text: near(".view-line")?.replace(/[\s\u00a0]+/g, " ").trim() };
    });
  }

  // Presses F5 (Continue) and waits until the yellow line has gone, if only for
  // a moment. A key press that came to nothing is made again.
  async continue() {
    for (let tries = 1; ; tries += 1) {
      const gone = this.page
        .waitForFunction(() => !document.querySelector(".monaco-editor .debug-top-stack-frame-line"), undefined, { polling: "raf", timeout: 4_000 })
        .then(() => true, () => false);
      await this.page.keyboard.press("F5");
      if (await gone) break;
      if (tries === 3) throw new Error("F5 did not continue");
    }
    this.startedAt = Date.now();
  }

  async toggleBreakpoint(file, line) {
    await this.openFile(file, line);
    await this.page.keyboard.press("F9");
  }

  async stop() {
    await this.page.keyboard.press("Shift+F5");
  }

  async terminalText() {
    return this.page.evaluate(() =>
      [...document.querySelectorAll(".terminal-wrapper.active .xterm-rows > div")]
        .map((row) => row.textContent.replace(/\u00a0/g, " ").trimEnd())
        .join("\n")
        .trimEnd(),
    );
  }

  // Types into the integrated terminal and presses ENTER.
  async typeInTerminal(text) {
    await this.page.locator(".terminal-wrapper.active .xterm").first().click();
    if (text) await this.page.keyboard.type(text);
    await this.page.keyboard.press("Enter");
  }

  async notifications() {
    return this.page.locator(".notification-list-item-message").allInnerTexts();
  }

  async close() {
    await this.context?.close().catch(() => {});
    if (this.server && this.server.exitCode === null) {
      const ended = new Promise((resolve) => this.server.once("exit", resolve));
      process.kill(-this.server.pid, "SIGTERM");
      await Promise.race([ended, sleep(5_000)]);
      try { process.kill(-this.server.pid, "SIGKILL"); } catch {}
    }
    if (this.data) fs.rmSync(this.data, { recursive: true, force: true });
  }
}
