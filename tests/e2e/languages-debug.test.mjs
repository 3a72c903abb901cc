// Functions in Python, Go and Rust under their own debuggers: debugpy, Delve, LLDB. All through the adapter for all languages, with a
// client that does what VS Code does, and through the port of one function.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, afterEach, before, describe, test } from "node:test";

import { Conversation, Rpc } from "./support/debuggers.mjs";
import { Hub, Session } from "./support/dap.mjs";
import { clockStandsStill } from "./support/pauses.mjs";
import { Sst, binary, cargoTarget, clientOptions, copyApp, gone, processesOf, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

const debuggers = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, "target"), "debuggers");
execFileSync(path.join(repository, "tests/debuggers/install.sh"), [debuggers], { stdio: ["ignore", "inherit", "inherit"] });
const environment = { PATH: `${debuggers}/bin:${process.env.PATH}`, VIRTUAL_ENV: `${debuggers}/python` };

/** Where each language's answer is made, what is in a variable there, and what is run before that. */
const LANGUAGES = {
  Python: { file: "python/pkg/behaviour.py", text: 'return {"value": answer', variable: "answer", shows: "'x'", before: 'print(f"python does' },
  Go: { file: "go/main.go", text: "return answer, nil", variable: "e.Value", shows: /"x"/, before: 'fmt.Println("go does' },
  Rust: { file: "rust/src/main.rs", text: 'json!({ "value": value', variable: "value", shows: /x/, before: 'println!("rust does' },
};

/** Real debuggers for native programs, and what one types into them. */
const NATIVE_CLIENTS = {
  gdb: {
    command: (program) => ["gdb", "-q", "-nx", "--interpreter=mi2", program],
    attach: async (gdb, port, file, line) => {
      await gdb.say(`-target-select remote 127.0.0.1:${port}`, /\^connected|\*stopped/);
      await gdb.say(`-break-insert ${file}:${line}`, /\^done,bkpt=/);
      await gdb.say("-exec-continue", /\*running/);
    },
    stopped: (gdb, line) => gdb.hear(new RegExp(`\\*stopped,reason="breakpoint-hit".*line="${line}"`)),
  },
  LLDB: {
    command: (program) => [lldb(), "--no-lldbinit", "--no-use-colors", program],
    attach: async (session, port, file, line) => {
      await session.say(`gdb-remote 127.0.0.1:${port}`, /Process \d+ stopped/);
      await session.say(`breakpoint set --file ${file} --line ${line}`, /Breakpoint 1: /);
      await session.say("continue", /Process \d+ resuming/);
    },
    stopped: (session, line) => session.hear(new RegExp(`main\\.rs:${line}`)),
  },
};

/** LLDB's command, which has a version in its name where it comes from a distribution. */
function lldb() {
  const names = ["lldb", ...Array.from({ length: 15 }, (_, index) => `lldb-${30 - index}`)];
  const directories = process.env.PATH.split(":");
  return names.find((name) => directories.some((directory) => fs.existsSync(path.join(directory, name))));
}

describe("debuggers of other languages", () => {
  let directory;
  let sst;
  let lambda;
  let clients = [];
  const executable = () => path.join(cargoTarget(directory), "debug/behaviour");
  // By the directory's name the debuggers, too, are found among all processes.
  // What these flags and settings want would leave debuggers nothing to read.
  const variables = () => ({ ...environment, SST_TEST_APP: directory, GOFLAGS: "-trimpath -ldflags=-s" });

  before(async () => {
    directory = copyApp("tests/fixtures/apps/languages");
    fs.appendFileSync(path.join(directory, "rust/Cargo.toml"), "\n[profile.dev]\ndebug = 0\nstrip = true\n");
    sst = await Sst.start(directory, ["--increase-timeout"], variables());
    lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
  });
  after(async () => {
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.dap.vanish();
  });

  test("flags that would undo debugging are named", () => {
    for (const [id, option] of [["Go", "-trimpath"], ["Go", "-ldflags=-s"], ["Rust", "profile.dev.debug = 0"], ["Rust", "profile.dev.strip = true"]]) {
      assert.ok(sst.output.includes(`\`languages/${id}\` sets \`${option}\`, which has no effect here: `), `${option} in ${sst.output}`);
    }
  });

  const invoke = async (id, event = { value: "x" }) => {
    const FunctionName = sst.stackOutput(`Function${id}`);
    const answer = await lambda.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(event) }));
    return JSON.parse(Buffer.from(answer.Payload));
  };
  const lineOf = (id, text = LANGUAGES[id].text) => {
    const { file } = LANGUAGES[id];
    return fs.readFileSync(path.join(directory, file), "utf8").split("\n").findIndex((line) => line.includes(text)) + 1;
  };
  const breakpoints = (...ids) => new Map(ids.map((id) => [path.join(directory, LANGUAGES[id].file), [lineOf(id)]]));
  const attachWith = async (wanted) => {
    const { debugAdapter } = sst.session();
    const hub = await Hub.attach(Number(debugAdapter.split(":")[1]), wanted);
    clients.push(hub);
    return hub;
  };
  const attach = (...ids) => attachWith(breakpoints(...ids));
  /** Puts a line in at the top of the function's file, and waits for the new code. */
  const insertLine = async (id) => {
    const file = path.join(directory, LANGUAGES[id].file);
    const from = sst.output.length;
    fs.writeFileSync(file, `\n${fs.readFileSync(file, "utf8")}`);
    await sst.waitFor(new RegExp(`built.*languages/${id}`, "i"), from);
  };
  /** LLDB stops at a line as often as it finds code for it there. */
  const resumeAll = async (session, stop, answer) => {
    const again = (event) => {
      // A session that ends meanwhile answers nothing more. The call tells whether it went on.
      if (event.event === "stopped") session.stopped().then((next) => next.resume()).catch(() => {});
    };
    session.dap.on("event", again);
    await stop.resume();
    await answer;
    session.dap.off("event", again);
  };

  for (const [id, { file, variable, shows }] of Object.entries(LANGUAGES)) {
    const answer = { value: "x", language: id.toLowerCase() };
    const place = () => `${path.basename(file)}:${lineOf(id)}`;

    test(`${id}: the first call stops, and after a save the next one does`, async () => {
      // The worker of an earlier call has no debugger; a saved file brings another one.
      const hub = await attach(id);
      for (let round = 0; round < 3; round += 1) {
        if (round > 0) {
          hub.breakpoints = new Map([[path.join(directory, file), [lineOf(id) + 1]]]);
          await insertLine(id);
        }
        const call = invoke(id);
        const { session, stop } = await hub.stopped(`languages/${id} [`);
        assert.ok(session.verified[path.join(directory, file)].every(Boolean), "the breakpoint is verified");
        assert.equal(stop.place, place());
        assert.match(await stop.evaluate(variable), shows instanceof RegExp ? shows : new RegExp(shows));
        await resumeAll(session, stop, call);
        assert.deepEqual(await call, answer);
      }
    });

    test(`${id}: two processes of one function stop at the same time`, async () => {
      const hub = await attach(id);
      const calls = [invoke(id), invoke(id)];
      const stops = [await hub.stopped(`languages/${id} [`), await hub.stopped(`languages/${id} [`)];
      assert.deepEqual(stops.map(({ stop }) => stop.place), [place(), place()]);
      assert.notEqual(stops[0].session, stops[1].session);
      const all = Promise.all(calls);
      await Promise.all(stops.map(({ session, stop }) => resumeAll(session, stop, all)));
      assert.deepEqual(await all, [answer, answer]);
    });

    test(`${id}: while it is paused the clock stands still`, async () => {
      const lines = [lineOf(id, LANGUAGES[id].before), lineOf(id)];
      const hub = await attachWith(new Map([[path.join(directory, file), lines]]));
      const from = sst.output.length;
      const call = invoke(id);
      let { session, stop } = await hub.stopped(`languages/${id} [`);
      const resume = async () => {
        for (const first = stop.place; stop.place === first; stop = await session.stopped()) await stop.resume();
      };
      await clockStandsStill(sst, lines.map((line) => `languages/${id} at ${file}:${line}`), { from, seconds: 2, resume });
      await resumeAll(session, stop, call);
      assert.deepEqual(await call, answer);
    });

    test(`${id}: a debugger that vanishes leaves nothing paused, and can come again`, async () => {
      for (const leave of ["vanish", "disconnect"]) {
        const hub = await attach(id);
        const call = invoke(id);
        const { session, stop } = await hub.stopped(`languages/${id} [`);
        assert.equal(stop.place, place());
        if (leave === "vanish") session.dap.vanish();
        else await hub.dap.request("disconnect");
        assert.deepEqual(await call, answer);
        if (leave === "disconnect") await session.dap.event("terminated");
        hub.dap.vanish();
      }
    });

    test(`${id}: the port of one function keeps its session and its breakpoints over processes`, async () => {
      const port = sst.session().debugPorts[`languages/${id}`];
      const set = breakpoints(id);
      const session = await Session.attach(port, {}, set, id);
      clients.push(session);
      for (let round = 0; round < 2; round += 1) {
        const call = invoke(id);
        const stop = await session.stopped();
        assert.equal(stop.place, place());
        assert.match(await stop.evaluate(variable), shows instanceof RegExp ? shows : new RegExp(shows));
        await resumeAll(session, stop, call);
        assert.deepEqual(await call, answer);
        if (round > 0) break;
        await session.setBreakpoints(path.join(directory, file), [lineOf(id) + 1]);
        await insertLine(id);
      }
      await session.dap.request("disconnect");
      assert.deepEqual(await invoke(id), answer);
    });
  }

  test("a second editor for all languages is told of the first one once, and takes over when that leaves", async () => {
    const first = await attach("Python", "Go");
    const second = await attach("Python", "Go");
    const told = () => second.dap.events.filter(({ event, body }) => event === "output" && body.category === "important");
    for (const id of ["Python", "Go"]) {
      const call = invoke(id);
      const { session, stop } = await first.stopped(`languages/${id} [`);
      await resumeAll(session, stop, call);
      await call;
    }
    assert.deepEqual(told().map(({ body }) => body.output.split(" ").slice(0, 6).join(" ")), ["test (all languages) is attached already,"]);
    assert.deepEqual([second.children.length, second.failure], [0, undefined]);
    await first.dap.request("disconnect");
    first.dap.vanish();
    for (const id of ["Python", "Go"]) {
      const call = invoke(id);
      const { session, stop } = await second.stopped(`languages/${id} [`);
      await resumeAll(session, stop, call);
      await call;
    }
    assert.equal(told().length, 1);
    assert.equal(second.failure, undefined);
  });

  test("sst ide fills in the port of each function", () => {
    const ide = (editor) => execFileSync(binary(), ["ide", editor], { cwd: directory, encoding: "utf8", env: { ...process.env, CARGO_TARGET_DIR: cargoTarget(directory) } });
    const ports = sst.session().debugPorts;
    const file = (id) => fs.readFileSync(path.join(directory, `.run/Attach to languages ${id}.run.xml`), "utf8");
    assert.equal(ide("goland"), "wrote `.run/Attach to languages Go.run.xml`\n");
    assert.match(file("Go"), new RegExp(` host="127.0.0.1" port="${ports["languages/Go"]}"`));
    assert.match(ide("clion"), /wrote `.run\/Attach to languages Rust.run.xml`/);
    assert.match(file("Rust"), new RegExp(`remoteCommand="127.0.0.1:${ports["languages/Rust"]}"`));
    assert.equal(/ symbolFile="(.*?)"/.exec(file("Rust"))[1], executable().replace(directory, () => "$PROJECT_DIR$"));
    assert.match(ide("pycharm"), new RegExp(`\`languages/Python\`: remote address 127.0.0.1:${ports["languages/Python"]}\n`));
  });

  test("Go: a debugger that speaks Delve's JSON-RPC stops calls, and may vanish", async () => {
    const port = sst.session().debugPorts["languages/Go"];
    for (const from of ["nothing", "a breakpoint of the client before, which is gone"]) {
      const heard = sst.output.length;
      const delve = await Rpc.connect(port);
      clients.push({ dap: delve });
      // Without a worker it waits for one, which a call brings.
      const call = from === "nothing" ? invoke("Go") : undefined;
      await delve.call("SetApiVersion", { APIVersion: 2 });
      assert.deepEqual((await delve.call("ListBreakpoints", {})).Breakpoints.filter(({ id }) => id > 0), [], from);
      const place = { file: path.join(directory, LANGUAGES.Go.file), line: lineOf("Go") };
      await delve.call("CreateBreakpoint", { Breakpoint: place });
      const stopped = delve.call("Command", { name: "continue" });
      const answered = call ?? invoke("Go");
      const { State } = await stopped;
      assert.equal(State.currentThread.line, place.line);
      const scope = { GoroutineID: State.currentGoroutine.id, Frame: 0 };
      const { Variable } = await delve.call("Eval", { Scope: scope, Expr: "e.Value", Cfg: { MaxStringLen: 64 } });
      assert.equal(Variable.value || Variable.children[0].value, "x");
      await sst.waitFor(/PAUSED .* languages\/Go/, heard);
      delve.vanish();
      assert.deepEqual(await answered, { value: "x", language: "go" });
      assert.deepEqual(await invoke("Go"), { value: "x", language: "go" });
    }
  });

  for (const [name, client] of Object.entries(NATIVE_CLIENTS)) {
    test(`Rust: ${name} stops calls through gdb's remote protocol, and may vanish`, async () => {
      const port = sst.session().debugPorts["languages/Rust"];
      await invoke("Rust");
      for (let round = 0; round < 2; round += 1) {
        const conversation = Conversation.start(...client.command(executable()));
        clients.push({ dap: conversation });
        const from = sst.output.length;
        await client.attach(conversation, port, `${path.join(directory, LANGUAGES.Rust.file)}`, lineOf("Rust"));
        const call = invoke("Rust");
        await client.stopped(conversation, lineOf("Rust"));
        await sst.waitFor(/PAUSED .* languages\/Rust/, from);
        conversation.vanish();
        assert.deepEqual(await call, { value: "x", language: "rust" });
        assert.deepEqual(await invoke("Rust"), { value: "x", language: "rust" });
      }
    });
  }

  /** Ends it while a function of each language is paused, and waits until no process of the app is left. */
  const endsWithEverything = async (signal) => {
    const hub = await attach(...Object.keys(LANGUAGES));
    for (const id of Object.keys(LANGUAGES)) {
      invoke(id).catch(() => {});
      await hub.stopped(`languages/${id} [`);
    }
    // The program itself, the builder, the workers, Delve, LLDB and its server.
    assert.ok(processesOf(directory).length >= 8, String(processesOf(directory).length));
    await sst.stop(signal);
    await gone(directory);
  };

  test("nothing stays after Ctrl-C while a function of each language is paused", () => endsWithEverything("SIGINT"));

  test("nothing stays after a SIGKILL either", async () => {
    sst = await Sst.start(directory, ["--increase-timeout"], variables());
    lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
    await endsWithEverything("SIGKILL");
  });
});
