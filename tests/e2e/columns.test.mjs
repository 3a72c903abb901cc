// What a terminal of 80 columns shows: nothing of ours is longer than a line, and no address or command is broken where one ends.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, copyApp } from "./support/sst.mjs";

const TERMINAL = { terminal: [80, 24] };

/** The lines that stay on the screen: what was drawn over is not among them. */
function lines(output) {
  // Of a link only its text is seen.
  const shown = output.replaceAll(/\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;[^\x1b]*\x1b\\/g, "").split("\n");
  return shown.map((line) => line.replace(/\r+$/, "").split("\r").at(-1));
}

const APP = `
const { App, CfnOutput, Stack } = require("aws-cdk-lib");
const { Code, Function: LambdaFunction, Runtime } = require("aws-cdk-lib/aws-lambda");

const stack = new Stack(new App(), "columns");
new LambdaFunction(stack, "Asset", { runtime: Runtime.NODEJS_20_X, handler: "index.handler", code: Code.fromAsset("functions/asset") });
new CfnOutput(stack, "Address", { value: "http://127.0.0.1:4566/restapis/a1b2c3d4e5/dev/_user_request_/notes/1234" });
new CfnOutput(stack, "Short", { value: "short" });
`;

describe("at 80 columns", () => {
  let directory;
  before(() => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    fs.writeFileSync(path.join(directory, "bin/app.js"), APP);
  });
  after(() => fs.rmSync(directory, { recursive: true, force: true }));

  test("help keeps its columns, and an example is one line", async () => {
    const say = async (args) => {
      const sst = new Sst(directory, [...args, "--help"], {}, TERMINAL);
      await sst.closed;
      return lines(sst.output);
    };
    const commands = (await say([])).map((line) => /^ {2}([a-z]+) {2,}/.exec(line)?.[1]).filter((name) => name && name !== "help");
    assert.ok(commands.length > 10, commands.join());
    for (const args of [[], ...commands.map((name) => [name])]) {
      const said = await say(args);
      for (const line of said) assert.ok(line.length <= 80, `${args}: ${line}`);
      const examples = said.slice(said.indexOf("Examples:") + 1).filter(Boolean);
      if (said.includes("Examples:")) for (const line of examples) assert.match(line, /^ {2}(sst |echo |curl )/, `${args}: ${line}`);
    }
  });

  test("a session's lines fit, addresses are whole, and what is new after ENTER is shown", async () => {
    const sst = new Sst(directory, ["start", "--local"], { NO_COLOR: undefined, TERM: "xterm" }, TERMINAL);
    await sst.waitFor(/Listening for requests/);
    await sst.waitFor(/To debug in an editor/);
    const file = path.join(directory, "bin/app.js");
    const from = sst.output.length;
    fs.appendFileSync(file, 'new CfnOutput(stack, "Later", { value: "later" });\n');
    await sst.waitFor(/Press ENTER to deploy/, from);
    sst.type("\r");
    await sst.waitFor(/Later[^\n]*: later/, from);
    await sst.waitFor(/live|Nothing/, from);
    await sst.stop();
    const said = lines(sst.output);
    for (const line of said) assert.ok(line.length <= 80, `${line.length}: ${line}\n${said.join("\n")}`);
    const text = said.join("\n");
    assert.match(text, /^ {2}Address:\n {4}http:\/\/127\.0\.0\.1:4566\/restapis\/a1b2c3d4e5\/dev\/_user_request_\/notes\/1234$/m);
    assert.match(text, /^ {2}Short: short$/m);
    assert.match(text, /^Console at http:\/\/127\.0\.0\.1:\d+ \(o and ENTER opens it\)$/m);
    assert.match(text, /^Debuggers attach at 127\.0\.0\.1:\d+ \(inspector\), 127\.0\.0\.1:\d+ \(flat\)$/m);
    // They stand out.
    assert.match(sst.output, /\x1b\[[0-9;]*1[0-9;]*m[^\n]*Listening for requests \(stage dev, 1 function\)/);
    assert.match(sst.output, /\x1b\[1mAddress\x1b\[0m:/);
    assert.doesNotMatch(text.slice(text.lastIndexOf("Press ENTER")), /Short: short/, "only what is new");
  });
});
