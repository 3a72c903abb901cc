// Functions get their own code back: by `sst restore`, and by the end of an `sst start` that was asked to see to it.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { request } from "../../counterpart/client.mjs";
import { Deployed } from "../../counterpart/deployed.mjs";
import { Sst, gone, until } from "../support/sst.mjs";

const NAMES = ["brief", "count", "echo", "hasty", "sleep", "stream", "throws"];
const STUBS_STAY = /The functions of stage dev are stubs still: `sst restore --stage dev` gives them their own code\r?\n/;
const QUESTION = /Give the functions of stage dev their own code back now\? Ctrl-C leaves them stubs \[Y\/n\]\r?\n/;
const RESTORED = /Of stage dev, 7 functions have their own code again\. The debug stack stays for the next `sst start`/;
const TERMINAL = { terminal: [1000, 50] };

describe("own code", () => {
  let deployed;
  before(async () => {
    deployed = await Deployed.prepare();
  });
  after(() => deployed?.close());

  const programs = [];
  afterEach(async () => {
    for (const program of programs.splice(0)) await program.stop("SIGKILL").catch(() => {});
  });

  const serve = async (settings) => {
    const sst = await deployed.serve(settings);
    programs.push(sst);
    return sst;
  };
  const functions = async () => {
    const state = (await deployed.counterpart.state()).functions;
    return Object.fromEntries(NAMES.map((name) => [name, state[deployed.names[name]]]));
  };
  /** What was deployed last as the code of a function. */
  const code = (name) => {
    const parent = path.join(deployed.counterpart.directory, "functions");
    const numbers = fs.readdirSync(parent).filter((entry) => entry.startsWith(`${deployed.names[name]}-`)).map((entry) => Number(entry.split("-").pop()));
    return path.join(parent, `${deployed.names[name]}-${Math.max(...numbers)}`);
  };
  /** The functions that are stubs, and those that have the code, handler, timeout and runtime that the app gives them. */
  const kinds = async () => {
    const source = fs.readFileSync(path.join(deployed.app, "functions/index.js"), "utf8");
    const found = { stubs: [], own: [] };
    for (const [name, { runtime, handler, timeout, variables = {} }] of Object.entries(await functions())) {
      const files = fs.readdirSync(code(name));
      if ("SST_STUB" in variables && files.includes("bootstrap")) found.stubs.push(name);
      const isOwn = files.includes("index.js") && fs.readFileSync(path.join(code(name), "index.js"), "utf8") === source;
      const declared = { brief: 15, hasty: 6 }[name] ?? 60;
      if (isOwn && runtime === "nodejs22.x" && handler === `index.${name}` && timeout === declared && !("SST_STUB" in variables)) found.own.push(name);
    }
    return found;
  };
  const all = { stubs: [], own: NAMES };
  const none = { stubs: NAMES, own: [] };
  /** Runs a command to its end. */
  const run = async (app, args, { env = {}, ...options } = {}) => {
    const program = new Sst(app, args, { ...deployed.environment, ...env }, options);
    programs.push(program);
    const { code } = await program.exited;
    await program.closed;
    return { code, output: program.output };
  };
  const deployments = (from) => deployed.counterpart.recorded(({ kind, operation }) => kind === "cloudformation" && operation === "ExecuteChangeSet", from).length;
  const edit = (app, from, to) => {
    const file = path.join(app, "app.js");
    const text = fs.readFileSync(file, "utf8");
    assert.ok(text.includes(from));
    fs.writeFileSync(file, text.replace(from, to));
  };

  describe("by a command", () => {
    before(async () => {
      deployed.app = deployed.copy();
      deployed.sst = await deployed.serve();
    });

    test("without a terminal, what a running `sst start` serves is left to it", async () => {
      const { code, output } = await run(deployed.app, ["restore", "--stage", "dev"]);
      assert.equal(code, 2, output);
      assert.match(output, /error: the stubs of a running `sst start` would be replaced[^]*end it first, or give `--yes`/);
      assert.deepEqual(await kinds(), none);
    });

    test("the end of a session names it, and so does a stub that nobody answers for", async () => {
      await deployed.sst.stop();
      assert.match(deployed.sst.output, STUBS_STAY);
      const { value } = await deployed.call("echo", {});
      assert.equal(value.errorType, "Sst.NotRunning");
      assert.match(value.errorMessage, /the last was \S+@\S+, until [\d-]+ [\d:]+ UTC\. Run `sst start --stage dev` to [^.]*, or `sst restore --stage dev` to [^.]*$/);
    });

    test("it restores all stubs by one deployment, of what is on the disk, and leaves the debug stack", async () => {
      edit(deployed.app, "hasty: 6 }[name] ?? 60", "hasty: 6, echo: 61 }[name] ?? 60");
      const from = deployed.counterpart.records.length;
      const { code, output } = await run(deployed.app, ["restore", "--stage", "dev"]);
      assert.equal(code, 0, output);
      assert.match(output, /Of stage dev, 7 functions are stubs\. Deploying counterpart as on this disk, with changes that were not deployed yet if there are any\n/);
      assert.match(output, RESTORED);
      assert.equal(deployments(from), 1);
      assert.equal((await functions()).echo.timeout, 61);
      assert.deepEqual(await kinds(), { stubs: [], own: NAMES.filter((name) => name !== "echo") });
      const { stacks } = await deployed.counterpart.state();
      assert.ok("dev-counterpart-debug-stack" in stacks, Object.keys(stacks).join());
      edit(deployed.app, ", echo: 61", "");
    });

    test("what no stub is left of is not deployed", async () => {
      const from = deployed.counterpart.records.length;
      const { code, output } = await run(deployed.app, ["restore", "--stage", "dev"]);
      assert.equal(code, 0, output);
      assert.match(output, /No function of stage dev is a stub: there is nothing to do/);
      assert.equal(deployments(from), 0);
    });

    test("only what is a stub counts, and a function that has left the app is gone", async () => {
      await (await serve({ args: ["--function", "{echo,count,hasty}"] })).stop();
      edit(deployed.app, '"hasty"]', "]");
      const { code, output } = await run(deployed.app, ["restore", "--stage", "dev"]);
      assert.equal(code, 0, output);
      assert.match(output, /Of stage dev, 3 functions are stubs/);
      assert.match(output, /Of stage dev, 2 functions have their own code again; 1 that the app does not have any more is gone\./);
      edit(deployed.app, '"brief", ]', '"brief", "hasty"]');
    });

    test("what cannot be looked at is not deployed over", async () => {
      const from = deployed.counterpart.records.length;
      const match = { service: "cloudformation", operation: "GetTemplate", who: "developer" };
      const id = await deployed.counterpart.fault({ match, status: 403, error: "AccessDenied", message: "not authorized" });
      try {
        const { code, output } = await run(deployed.app, ["restore", "--stage", "dev"]);
        assert.equal(code, 6, output);
        assert.match(output, /error: which functions are stubs is not known, so nothing was deployed[^]*the template of `counterpart` is not known: [^]*AccessDenied[^]*hint: `sst deploy` gives/);
        assert.equal(deployments(from), 0);
      } finally {
        await deployed.counterpart.ask("clearFaults", { id });
      }
    });

    test("who serves the stage elsewhere is named, and asked about in a terminal", async () => {
      const alice = await deployed.person("alice");
      alice.sst = await serve(alice);
      deployed.names.hasty = alice.sst.stackOutput("Functionhasty");
      const program = new Sst(deployed.app, ["restore", "--stage", "dev"], deployed.environment, TERMINAL);
      programs.push(program);
      await program.waitFor(new RegExp(`\`sst start\` of ${alice.owner} serves this stage\\. Replace the stubs, so that calls do not come there any more\\? \\[y/N\\]`));
      program.type("\r");
      assert.equal((await program.exited).code, 2);
      assert.deepEqual(await kinds(), none);
      const { code, output } = await run(deployed.app, ["restore", "--stage", "dev", "--yes"]);
      assert.equal(code, 0, output);
      assert.deepEqual(await kinds(), all);
      await alice.sst.stop();
    });
  });

  describe("at the end of a session", () => {
    beforeEach(() => {
      deployed.app = deployed.copy();
    });

    test("without a terminal it is given back without a question, after the calls that are open", async () => {
      const sst = await serve({ args: ["--restore-on-exit"] });
      assert.deepEqual(await kinds(), none);
      const running = await deployed.asleep("stopped");
      const from = deployed.counterpart.records.length;
      sst.child.kill("SIGINT");
      const { value } = await running.answer;
      assert.equal(value.errorType, "Sst.Stopped");
      await sst.waitFor(/Deploying counterpart as on this disk/);
      // Nothing is lost meanwhile: whoever comes is answered as when nobody is there, until the function itself is.
      const meanwhile = await deployed.call("count", { number: 1 });
      assert.equal(meanwhile.value.errorType, "Sst.NotRunning", JSON.stringify(meanwhile.value));
      assert.deepEqual(await sst.exited, { code: 0, signal: null }, sst.output);
      await sst.closed;
      assert.match(sst.output, RESTORED);
      assert.doesNotMatch(sst.output, /stubs still|\[Y\/n\]/);
      assert.match(sst.output, /Stopped\n$/);
      assert.deepEqual(await kinds(), all);
      assert.equal(deployments(from), 1);
    });

    test("in a terminal it is asked for, and ENTER is a yes", async () => {
      const sst = await serve({ args: ["--restore-on-exit"], options: TERMINAL });
      // This is no answer.
      sst.type("n\r");
      await sst.waitFor(/n\r\n/);
      sst.type("\x03");
      await sst.waitFor(QUESTION);
      sst.type("what?\r");
      await sst.waitFor(/what\?[^]*Give the functions of stage dev/);
      sst.type("\r");
      assert.deepEqual(await sst.exited, { code: 0, signal: null }, sst.output);
      await sst.closed;
      assert.match(sst.output, RESTORED);
      assert.deepEqual(await kinds(), all);
    });

    test("a terminal that is closed is nobody to ask", async () => {
      const sst = await serve({ args: ["--restore-on-exit"], options: TERMINAL });
      // With it goes the other end of the terminal.
      sst.child.kill("SIGKILL");
      await until("own code", async () => (await kinds()).own.length === NAMES.length);
      await gone(deployed.app);
    });

    test("a session that fails gives it back without a question", async () => {
      const sst = await serve({ args: ["--restore-on-exit"], options: TERMINAL });
      const form = { headers: { "content-type": "application/x-www-form-urlencoded" }, service: "cloudformation" };
      const { status, body } = await request(deployed.counterpart, "POST", "/", { ...form, body: "Action=DeleteStack&Version=2010-05-15&StackName=dev-counterpart-debug-stack" });
      assert.equal(status, 200, body);
      assert.equal((await sst.exited).code, 6, sst.output);
      await sst.closed;
      assert.match(sst.output, RESTORED);
      assert.doesNotMatch(sst.output, QUESTION);
      assert.match(sst.output, /error: the debug stack `dev-counterpart-debug-stack` has been removed/);
      assert.deepEqual(await kinds(), all);
    });

    test("a no leaves stubs, and names the command", async () => {
      const sst = await serve({ args: ["--restore-on-exit"], options: TERMINAL });
      sst.type("\x03");
      await sst.waitFor(QUESTION);
      sst.type("n\r");
      assert.deepEqual(await sst.exited, { code: 0, signal: null }, sst.output);
      await sst.closed;
      assert.match(sst.output, STUBS_STAY);
      assert.deepEqual(await kinds(), none);
    });

    test("a second Ctrl-C leaves stubs, and names the command", async () => {
      const sst = await serve({ args: ["--restore-on-exit"], options: TERMINAL });
      sst.type("\x03");
      await sst.waitFor(QUESTION);
      sst.type("\x03");
      assert.deepEqual(await sst.exited, { code: 130, signal: null }, sst.output);
      await sst.closed;
      assert.match(sst.output, STUBS_STAY);
      assert.deepEqual(await kinds(), none);
    });

    test("so does one during the deployment, which it ends", async () => {
      const sst = await serve({ args: ["--restore-on-exit"], options: TERMINAL });
      sst.type("\x03");
      await sst.waitFor(QUESTION);
      sst.type("\r");
      await sst.waitFor(/Deploying counterpart as on this disk/);
      sst.type("\x03");
      assert.deepEqual(await sst.exited, { code: 130, signal: null }, sst.output);
      await sst.closed;
      assert.match(sst.output, /Functions of stage dev may be stubs still: `sst restore --stage dev` gives them their own code\r\n/);
      assert.deepEqual(await kinds(), none);
      const { code, output } = await run(deployed.app, ["restore", "--stage", "dev"]);
      assert.equal(code, 0, output);
      assert.deepEqual(await kinds(), all);
    });

    test("a deployment that fails leaves stubs, and names the command", async () => {
      const sst = await serve({ args: ["--restore-on-exit"] });
      const match = { service: "cloudformation", operation: "CreateChangeSet" };
      const id = await deployed.counterpart.fault({ match, status: 403, error: "AccessDenied", message: "not authorized" });
      try {
        sst.child.kill("SIGINT");
        assert.equal((await sst.exited).code, 5, sst.output);
        await sst.closed;
        assert.match(sst.output, /Functions of stage dev may be stubs still[^]*error: the app could not be deployed/);
        assert.deepEqual(await kinds(), none);
      } finally {
        await deployed.counterpart.ask("clearFaults", { id });
      }
    });

    test("the stubs of another developer stay as they are", async () => {
      const [alice, bob] = [await deployed.person("alice"), await deployed.person("bob")];
      alice.sst = await serve({ ...alice, args: ["--function", "{echo,count}", "--increase-timeout"] });
      bob.sst = await serve({ ...bob, args: ["--function", "{count,sleep}", "--restore-on-exit"] });
      const { echo } = await functions();
      // Each has one of their own, and the one that bob has taken over is his.
      assert.deepEqual(await kinds(), { stubs: ["count", "echo", "sleep"], own: NAMES.filter((name) => !["count", "echo", "sleep"].includes(name)) });
      assert.deepEqual(await bob.sst.stop(), { code: 0, signal: null });
      // What he had taken over is free as soon as he ends. Alice has it back if she renews her leases before his deployment looks at them.
      const stay = bob.sst.output.includes("so they stay stubs: counterpart/echo, counterpart/count\n") ? ["count", "echo"] : ["echo"];
      if (stay.length === 1) {
        assert.match(bob.sst.output, new RegExp(`Served by ${alice.owner}, so they stay stubs: counterpart/echo\n`));
        assert.match(bob.sst.output, /Of stage dev, 2 functions have their own code again/);
      }
      assert.deepEqual(await kinds(), { stubs: stay, own: NAMES.filter((name) => !stay.includes(name)) });
      assert.deepEqual((await functions()).echo, echo, "the stub is the same");
      assert.equal((await deployed.call("echo", {})).value.at, alice.app);

      // One whose functions are all served elsewhere by then has nothing to restore.
      bob.sst = await serve({ ...bob, args: ["--function", "stream", "--restore-on-exit"] });
      await alice.sst.stop();
      alice.sst = await serve({ ...alice, args: ["--function", "stream"] });
      await bob.sst.waitFor(new RegExp(`${alice.owner} has taken over counterpart/stream`));
      const from = deployed.counterpart.records.length;
      assert.deepEqual(await bob.sst.stop(), { code: 0, signal: null });
      assert.match(bob.sst.output, new RegExp(`Served by ${alice.owner}, so they stay stubs: counterpart/stream\n.*no function that was served here is a stub any more`));
      assert.equal(deployments(from), 0);
      await alice.sst.stop();
    });
  });
});
