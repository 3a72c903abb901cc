// The console: what a developer sees of calls in a real browser, and does with them.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";

import { FAILS_AT, addressOf, assertQuiet, clipboard, makeApp, openConsole } from "./support/console.mjs";
import { Sst, api, call, clientOptions, until } from "./support/sst.mjs";
import { launchChromium, require } from "./support/web.mjs";

const CDP = require("chrome-remote-interface");
const { PublishCommand, SNSClient } = require("@aws-sdk/client-sns");

/** How soon a call is in the page after its caller has its answer, in milliseconds. */
const SOON_MS = 300;

let directory;
let sst;
let browser;
let view;

before(async () => {
  directory = makeApp();
  browser = await launchChromium();
  sst = await Sst.start(directory);
  view = await openConsole(browser, sst.session());
  await view.page.getByText("live").waitFor();
});
after(async () => {
  await browser?.close();
  await sst?.stop();
  fs.rmSync(directory, { recursive: true, force: true });
});
beforeEach(() => view.page.goto(addressOf(sst.session()).replace(/#.*/, "#/")));

const invoke = (name, event) => call(sst.session(), name, event);
const opened = async (id) => {
  await view.page.goto(`http://${sst.session().control}/#/calls/${id}`);
  await view.detail.waitFor();
};
const section = (name) => view.detail.getByRole("region", { name, exact: true });

describe("calls", () => {
  test("the terminal says where the page is, without the token", async () => {
    await sst.waitFor(/Console at http:\/\/127\.0\.0\.1:\d+ \(`sst console --open` opens it\)/);
    const { token } = sst.session();
    assert.ok(!sst.output.includes(token));
    // What the page does with its token: it is in no address, and survives a reload.
    assert.ok(!(await view.page.evaluate(() => location.href)).includes(token));
    await view.page.reload();
    await view.page.getByText("live").waitFor();
  });

  test("a call is there as soon as its caller has its answer", async () => {
    await fetch(`${sst.stackOutput("Endpoint")}/warm`);
    await view.rows.filter({ hasText: "API GET /warm" }).getByText("200").waitFor();
    // In the page's own time, so that only the page is measured.
    const appeared = view.page.evaluate(
      () =>
        new Promise((resolve) => {
          const look = () => [...document.querySelectorAll(".all .row")].some((row) => /\/orders\/7.*200/.test(row.textContent)) && resolve(Date.now());
          new MutationObserver(look).observe(document.querySelector("#rows"), { childList: true, subtree: true, characterData: true });
          look();
        }),
    );
    assert.equal((await fetch(`${sst.stackOutput("Endpoint")}/orders/7`)).status, 200);
    const answered = Date.now();
    const took = (await appeared) - answered;
    assert.ok(took < SOON_MS, `${took} ms`);
    const row = view.rows.first();
    assert.match(await row.innerText(), /^\d\d:\d\d:\d\d\s+console\/Plain\s+API GET \/orders\/7\s+✓ 200\s+\d/);
  });

  test("they are filtered and searched, and keys go through them", async () => {
    await invoke("Plain", { text: "one" });
    await invoke("Echo", { fail: "on purpose" });
    await view.rows.filter({ hasText: "TypeError" }).first().waitFor();
    await view.page.getByRole("button", { name: "Failed" }).click();
    await until("only those that failed", async () => (await view.rows.allInnerTexts()).every((text) => text.includes("TypeError")));
    await view.page.getByRole("button", { name: "Failed" }).click();
    await view.page.keyboard.press("/");
    await view.page.keyboard.type("echo typeerror");
    await until("what was searched", async () => (await view.rows.count()) === 1);
    await view.page.keyboard.press("Control+a");
    await view.page.keyboard.press("Delete");
    await view.page.keyboard.press("Enter");
    await view.page.keyboard.press("j");
    await view.detail.waitFor();
    assert.equal(await view.rows.first().getAttribute("aria-selected"), "true");
    await view.page.keyboard.press("j");
    await until("the next one", async () => (await view.rows.nth(1).getAttribute("aria-selected")) === "true");
    await view.page.keyboard.press("Escape");
    await view.detail.waitFor({ state: "detached" });
  });

  test("one shows its result, its output, and its error at the line in its source", async () => {
    const good = await invoke("Echo", { text: "you" });
    await opened(good.id);
    assert.equal(await section("Output").locator(".line").first().innerText(), "heard you\n");
    assert.match(await section("Result").innerText(), /"said": "you"/);
    assert.match(await section("Event").innerText(), /"text": "you"/);
    assert.match(await view.detail.innerText(), /waited .* for a process → ran .* → .* in all/);
    const bad = await invoke("Echo", { fail: "on purpose" });
    await opened(bad.id);
    assert.match(await section("Error").innerText(), new RegExp(`TypeError: on purpose\\n +at (async |Object\\.)?handler \\(${FAILS_AT}`));
    const link = section("Error").getByRole("link").first();
    const place = path.join(directory, FAILS_AT).split("/").map(encodeURIComponent).join("/").replace("%3A", ":");
    assert.match(await link.getAttribute("href"), new RegExp(`^vscode://file${place}:\\d+$`));
  });

  test("what is inside of an event is decoded, and secrets are masked until they are asked for", async () => {
    await new SNSClient(clientOptions(sst)).send(new PublishCommand({ TopicArn: sst.stackOutput("TopicArn"), Message: '{"order":{"id":7}}' }));
    const both = () => view.rows.filter({ hasText: "SNS topic" });
    await until("both subscribers", async () => (await both().count()) === 2);
    await both().first().click();
    await section("Event").getByRole("button", { name: "Decoded" }).click();
    assert.match(await section("Event").innerText(), /"Message": \(JSON in a string\) \{\n +"order": \{\n +"id": 7/);
    await section("Event").getByRole("button", { name: "Pretty" }).click();
    // The other subscriber had the same message.
    await section("Related calls").getByRole("link").click();
    await until("the other one", async () => (await both().nth(1).getAttribute("aria-selected")) === "true");
    const secret = await invoke("Plain", { password: "p-12345678", text: "t" });
    await opened(secret.id);
    assert.match(await section("Event").innerText(), /"password": "\*\*\*"/);
    await section("Event").getByRole("button", { name: "Show as it was" }).click();
    await section("Event").getByText("p-12345678").waitFor();
    const environment = section("Environment");
    assert.ok(!(await environment.innerText()).includes("sk-12345678"));
    await environment.getByRole("button", { name: "Show values" }).click();
    await environment.getByText("sk-12345678").waitFor();
  });

  test("an event is sent once more, as it was or changed, and whoever sent it first hears nothing", async () => {
    const first = await invoke("Echo", { text: "first" });
    await opened(first.id);
    await view.page.keyboard.press("r");
    await view.rows.filter({ hasText: "↻" }).first().waitFor();
    await until("the replay to be shown", async () => !(await view.page.evaluate(() => location.hash)).includes(first.id));
    assert.match(await section("Result").innerText(), /"said": "first"/);
    assert.equal(await view.detail.getByText("Replay of").count(), 1);
    await opened(first.id);
    await view.detail.getByRole("button", { name: "Edit & invoke" }).click();
    const dialog = view.page.getByRole("dialog");
    await dialog.getByRole("textbox").fill('{ "text": ');
    await dialog.getByText("This is no JSON").waitFor();
    await dialog.getByRole("textbox").fill('{ "text": "changed" }');
    await dialog.getByRole("button", { name: "Invoke", exact: true }).click();
    await section("Result").getByText('"changed"').waitFor();
    const record = await (await api(sst.session(), `invocations/${first.id}`)).json();
    assert.deepEqual([record.status, record.replayOf, JSON.parse(record.result.text).said], ["returned", undefined, "first"]);
  });

  test("it is copied as lines that a shell runs", async () => {
    const text = "it's \"$(exit 1)\"";
    const { id } = await invoke("Echo", { text });
    await opened(id);
    for (const [name, said] of [["as curl", "outcome"], ["as sst invoke", "said"]]) {
      await view.detail.getByRole("button", { name: "Copy" }).click();
      await view.page.getByRole("menuitem", { name }).click();
      await view.page.getByText("Copied a line").waitFor();
      const line = (await clipboard(view.page)).replace("npx sst", process.env.SST_BINARY);
      assert.ok(!line.includes(sst.session().token));
      const answer = JSON.parse(execFileSync("sh", ["-c", line.replace("curl", "curl --silent")], { cwd: directory, encoding: "utf8" }));
      assert.ok(said in answer, JSON.stringify(answer));
      const result = said === "said" ? answer : JSON.parse(Buffer.from(answer.body, "base64"));
      assert.equal(result.said, text);
      await view.page.getByRole("button", { name: "Close" }).click();
    }
  });

  test("a test is made of it, and a replay that cannot stop says why", async () => {
    const { id } = await invoke("Plain", { text: "tested" });
    await opened(id);
    await view.detail.getByRole("button", { name: "Copy" }).click();
    await view.page.getByRole("menuitem", { name: "as test (node)" }).click();
    await view.page.getByText("Copied a test").waitFor();
    assert.match(await clipboard(view.page), /import \{ handler \} from ".*plain\/index\.js"/);
    await view.detail.getByRole("button", { name: "Replay & stop" }).click();
    await view.page.getByRole("alert").getByText(/no debugger is attached/).waitFor();
    await view.page.getByRole("button", { name: "Close" }).click();
  });

  test("one that a debugger holds says where, and for how long it may be", async () => {
    await invoke("Plain", { text: "so that there is a process" });
    const [host, port] = sst.session().flatInspector.split(":");
    const targets = await CDP.List({ host, port: Number(port) });
    const debug = await CDP({ host, port: Number(port), target: targets.find(({ title }) => title === "console/Plain") });
    try {
      await debug.Debugger.enable();
      await debug.Debugger.setBreakpointByUrl({ urlRegex: ".*plain/index\\.js$", lineNumber: 2 });
      await debug.Runtime.runIfWaitingForDebugger();
      const paused = debug.Debugger.paused();
      const answer = invoke("Plain", { text: "held" });
      await paused;
      const row = view.rows.filter({ hasText: /⏸ paused at .*plain\/index\.js:3 \(0:0\d left\)/ });
      await row.waitFor();
      await row.click();
      await view.detail.getByText(/paused at/).waitFor();
      await debug.Debugger.resume();
      assert.equal((await answer).outcome, "returned");
      await view.detail.getByText("✓ 200").waitFor();
    } finally {
      await debug.close();
    }
  });
});

describe("events", () => {
  test("one is saved as a file, compared, and called from the command line", async () => {
    const { id } = await invoke("Echo", { text: "saved", password: "p-12345678" });
    await opened(id);
    await view.detail.getByRole("button", { name: "Save as event" }).click();
    const dialog = view.page.getByRole("dialog");
    await dialog.getByRole("textbox").fill("first order");
    await dialog.getByText("Use letters").waitFor();
    await dialog.getByRole("textbox").fill("order");
    await dialog.getByRole("button", { name: "Save" }).click();
    await view.page.getByText("Saved as events/order.json. From the command line: npx sst invoke console/Echo --event order").waitFor();
    const file = path.join(directory, "events/order.json");
    assert.deepEqual(JSON.parse(fs.readFileSync(file, "utf8")), { text: "saved", password: "***" });
    const command = new Sst(directory, ["invoke", "Echo", "--event", "order"]);
    await command.closed;
    assert.equal(JSON.parse(command.output).said, "saved");
    // A second one of that name is asked about, and this time the secret is wanted.
    await view.detail.getByRole("button", { name: "Save as event" }).click();
    await dialog.getByRole("textbox").fill("order");
    await dialog.getByRole("checkbox").check();
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.getByText("There is an event of this name").waitFor();
    assert.equal(JSON.parse(fs.readFileSync(file, "utf8")).password, "***");
    await dialog.getByRole("button", { name: "Replace it" }).click();
    await dialog.waitFor({ state: "detached" });
    assert.equal(JSON.parse(fs.readFileSync(file, "utf8")).password, "p-12345678");
    fs.writeFileSync(path.join(directory, "events/other.json"), '{"password":"p-12345678","text":"other"}');
    await view.page.getByRole("link", { name: "Events" }).click();
    await view.page.getByRole("link", { name: /^order/ }).click();
    const article = view.page.getByRole("article", { name: "order" });
    await article.getByText('"saved"').waitFor();
    await article.getByRole("combobox").selectOption("event:other");
    await article.getByText("What is different").waitFor();
    assert.deepEqual(await article.locator(".removed, .added").allInnerTexts(), ['−   "text": "other"\n', '+   "text": "saved"\n']);
    await article.getByRole("combobox").selectOption(`call:${id}`);
    await article.getByText('−   "password": "***",').waitFor();
    await view.page.getByRole("link", { name: "Functions" }).click();
    await view.page.getByRole("navigation", { name: "Functions" }).getByText("console/Echo").click();
    await view.page.getByRole("combobox", { name: "Take an event" }).selectOption("event:other");
    await until("the event in the field", async () => JSON.parse(await view.page.getByRole("textbox", { name: "Event for console/Echo" }).inputValue()).text === "other");
  });
});

describe("functions and the session", () => {
  test("one that does not build says where, until it does", async () => {
    const file = path.join(directory, "src/echo.ts");
    const text = fs.readFileSync(file, "utf8");
    fs.writeFileSync(file, text.replace('"heard"', "heard'"));
    await view.page.getByRole("link", { name: /Functions 1 of them does not build|Functions/ }).filter({ hasText: "1" }).click();
    await view.page.getByRole("navigation", { name: "Functions" }).getByText("console/Echo").click();
    const error = view.page.getByRole("region", { name: /does not build/ });
    await error.getByText(/Unterminated string literal/).waitFor();
    assert.match(await error.getByRole("link").first().getAttribute("href"), /^vscode:\/\/file\/.*\/src\/echo\.ts:4:/);
    fs.writeFileSync(file, text);
    await error.waitFor({ state: "detached" });
    await view.page.getByRole("article", { name: "console/Echo" }).getByText(/✓ built at/).waitFor();
  });

  test("what has changed in the infrastructure is deployed when somebody says so", async () => {
    const file = path.join(directory, "app.cjs");
    const text = fs.readFileSync(file, "utf8");
    fs.writeFileSync(file, text.replace('"TopicArn"', '"Renamed"').replace("const routes", 'new Topic(stack, "Second");\nconst routes'));
    await view.page.getByRole("link", { name: /Session/ }).click();
    const infrastructure = view.page.getByRole("region", { name: "Infrastructure" });
    await infrastructure.getByText("It has changed, and waits to be deployed.").waitFor();
    await infrastructure.getByRole("list", { name: "Resources" }).getByText("AWS::SNS::Topic").waitFor();
    await infrastructure.getByRole("button", { name: "Deploy" }).click();
    await infrastructure.getByText("Deploy this to stage dev?").waitFor();
    await infrastructure.getByRole("button", { name: "Cancel" }).click();
    await infrastructure.getByRole("button", { name: "Deploy" }).click();
    await infrastructure.getByRole("button", { name: "Yes, deploy" }).click();
    await infrastructure.getByText("It is deployed as it is saved.").waitFor({ timeout: 120_000 });
    await view.page.getByText("Renamed").waitFor();
    assert.equal(sst.stackOutput("Renamed").split(":")[2], "sns");
  });

  test("a function is called with an event that was written", async () => {
    await view.page.getByRole("link", { name: "Functions" }).click();
    await view.page.getByRole("navigation", { name: "Functions" }).getByText("console/Echo").click();
    const article = view.page.getByRole("article", { name: "console/Echo" });
    assert.equal(await article.getByRole("link", { name: "src/echo.ts" }).getAttribute("href"), `vscode://file${directory}/src/echo.ts`);
    await article.getByText("topic Topic", { exact: true }).waitFor();
    await article.getByRole("combobox", { name: "Take an event" }).selectOption({ label: "SNS notification: topic Topic" });
    const field = article.getByRole("textbox");
    await until("a sample of the topic", async () => (await field.inputValue()).includes(sst.stackOutput("Renamed")));
    await field.fill('{ "text": "from the box" }');
    await article.getByRole("button", { name: "Invoke", exact: true }).click();
    await article.getByRole("status").getByRole("link", { name: "ok" }).click();
    await section("Result").getByText("from the box").waitFor();
    await view.page.getByRole("link", { name: "Functions" }).click();
    await view.page.getByRole("navigation", { name: "Functions" }).getByText("console/Echo").click();
    await article.getByRole("button", { name: "Copy launch.json entry" }).click();
    await view.page.getByText("Copied an entry").waitFor();
    assert.equal(JSON.parse(await clipboard(view.page)).port, Number(sst.session().inspector.split(":")[1]));
    assert.match(await article.getByRole("img").last().getAttribute("aria-label"), /^\d+ calls?: .* in the middle/);
  });

  test("the session says what it serves", async () => {
    await view.page.getByRole("link", { name: "Session" }).click();
    for (const said of ["dev", "us-east-1", sst.stackOutput("Endpoint"), sst.session().inspector, directory]) {
      await view.page.locator("main").getByText(said, { exact: true }).first().waitFor();
    }
  });
});

describe("the end of a session", () => {
  test("the page says so, and goes on with the token of the next one", async () => {
    const before = sst.session();
    await opened((await invoke("Echo", { text: "before" })).id);
    await sst.stop("SIGKILL");
    await view.page.getByText("The session has ended.").waitFor();
    // What was known stays.
    assert.match(await section("Result").innerText(), /before/);
    sst = await Sst.start(directory);
    assert.equal(sst.session().control, before.control, "at the same port");
    await view.page.getByText("Another session has begun.").waitFor();
    const printed = new Sst(directory, ["console"]);
    await printed.closed;
    assert.equal(printed.output.trim(), addressOf(sst.session()));
    await view.page.goto(printed.output.trim());
    await view.page.getByText("live").waitFor();
    await view.page.getByRole("alert").filter({ hasText: "session" }).waitFor({ state: "detached" });
    await invoke("Echo", { text: "after" });
    await view.rows.first().filter({ hasText: "console/Echo" }).waitFor();
  });

  test("nothing was asked of anybody else, and nothing was complained of", () => assertQuiet(view, sst.session().control));
});
