// Functions in Java: a project that Maven compiles, an archive, and classes. What callers and the terminal see of them; and the JDK's
// own debugger, which attaches once.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Conversation } from "./support/debuggers.mjs";
import { clockStandsStill } from "./support/pauses.mjs";
import { Sst, binary, clientOptions, copyApp, repository, until } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

execFileSync(path.join(repository, "tests/java/install.sh"), { stdio: ["ignore", "inherit", "inherit"] });

const FILE = "function/src/main/java/example/Behaviour.java";

/** A copy of the app, with what the project would have packed before it is deployed. */
function prepare() {
  const directory = copyApp("tests/fixtures/apps/java");
  execFileSync("mvn", ["-q", "-B", "compile"], { cwd: path.join(directory, "function"), stdio: ["ignore", "inherit", "inherit"] });
  const classes = path.join(directory, "function/target/classes");
  fs.mkdirSync(path.join(directory, "packed"));
  execFileSync("jar", ["cf", path.join(directory, "packed/function.jar"), "-C", classes, "."]);
  fs.cpSync(classes, path.join(directory, "classes"), { recursive: true });
  return directory;
}

function serves(directory, sst) {
  const lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
  const name = (id) => sst.stackOutput(`Function${id}`);
  const invoke = async (id, event = {}) => {
    const answer = await lambda.send(new InvokeCommand({ FunctionName: name(id), Payload: JSON.stringify(event) }));
    return { error: answer.FunctionError, body: JSON.parse(Buffer.from(answer.Payload)) };
  };
  /** Writes the function's file and waits for the new code. */
  const save = async (text) => {
    const from = sst.output.length;
    fs.writeFileSync(path.join(directory, FILE), text);
    await sst.waitFor(/built.*java\/Source/i, from);
  };
  return { name, invoke, save };
}

const isAlive = (pid) => fs.existsSync(`/proc/${pid}`) && !fs.readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
const gone = (pid) => until(`the end of ${pid}`, () => !isAlive(pid), 20_000);

describe("functions in Java", () => {
  let directory;
  let sst;
  let app;

  before(async () => {
    directory = prepare();
    sst = await Sst.start(directory);
    app = serves(directory, sst);
  });
  after(async () => {
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  for (const id of ["Source", "Packed", "Classes"]) {
    test(`${id}: a result, and the log line before it`, async () => {
      const value = { text: "ü", list: [1, 2.5, null] };
      const from = sst.output.length;
      assert.deepEqual(await app.invoke(id, { value }), { error: undefined, body: { value, language: "java" } });
      const [shown] = await sst.waitFor(new RegExp(`REQUEST .*java/${id} [^]*RESPONSE .*java/${id} `), from);
      assert.match(shown, /java does return/);
    });

    test(`${id}: its own variables, the role's credentials, the context`, async () => {
      const { body } = await app.invoke(id, { do: "who" });
      const again = await app.invoke(id, { do: "who" });
      assert.equal(body.color, "blue");
      assert.equal(body.local, "true");
      assert.equal(body.handler, "example.Behaviour::handle");
      assert.equal(body.name, app.name(id));
      assert.match(body.key, /^[A-Z0-9a-z]{4}$/);
      assert.match(body.request, /^[0-9a-f-]{36}$/);
      assert.ok(body.left > 1_000 && body.left <= 5_000, String(body.left));
      assert.notEqual(again.body.request, body.request);
      // One process serves one call after the other.
      assert.deepEqual([again.body.pid, again.body.count], [body.pid, body.count + 1]);
    });
  }

  test("an error with its stack, after which it serves on", async () => {
    const { body: before } = await app.invoke("Source", { do: "who" });
    const { error, body } = await app.invoke("Source", { do: "fail" });
    assert.equal(error, "Unhandled");
    assert.equal(body.errorMessage, "as wished");
    assert.equal(body.errorType, "java.lang.IllegalStateException");
    assert.match(body.stackTrace[0], /^example\.Behaviour\.handle\(Behaviour\.java:\d+\)$/);
    assert.equal((await app.invoke("Source", { do: "who" })).body.pid, before.pid);
  });

  test("an exit is told with its code, and the next call gets another process", async () => {
    const { body: before } = await app.invoke("Source", { do: "who" });
    const { error, body } = await app.invoke("Source", { do: "exit" });
    assert.equal(error, "Unhandled");
    assert.equal(body.errorType, "Runtime.ExitError");
    assert.match(body.errorMessage, /^RequestId: [0-9a-f-]{36} Error: Runtime exited with error: exit status 4$/);
    assert.notEqual((await app.invoke("Source", { do: "who" })).body.pid, before.pid);
  });

  test("a call that takes too long is ended with its process, whatever that has started", async () => {
    const { body: pid } = await app.invoke("Source", { do: "fork" });
    assert.ok(isAlive(pid));
    const { body: before } = await app.invoke("Source", { do: "who" });
    const { error, body } = await app.invoke("Source", { do: "sleep", seconds: 60 });
    assert.equal(error, "Unhandled");
    assert.match(body.errorMessage, /Task timed out after 5.00 seconds/);
    await gone(before.pid);
    await gone(pid);
    assert.deepEqual((await app.invoke("Source", { value: 1 })).body, { value: 1, language: "java" });
  });

  test("what fails in the constructor is an error of the initialisation", async () => {
    const { error, body } = await app.invoke("Broken");
    assert.equal(error, "Unhandled");
    assert.match(JSON.stringify(body), /not today/);
  });

  test("a saved file is what the next call runs; one that is broken changes nothing", async () => {
    const { body: before } = await app.invoke("Source", { do: "who" });
    const original = fs.readFileSync(path.join(directory, FILE), "utf8");
    const begun = performance.now();
    await app.save(original.replace('"language", "java"', '"language", "new java"'));
    assert.deepEqual((await app.invoke("Source", { value: 1 })).body, { value: 1, language: "new java" });
    console.log(`from the save to the first answer: ${Math.round(performance.now() - begun)} ms`);
    await gone(before.pid);
    const from = sst.output.length;
    fs.writeFileSync(path.join(directory, FILE), original.replace("count++;", "count++ nonsense"));
    await sst.waitFor(new RegExp(`${FILE}:\\d+`), from);
    assert.deepEqual((await app.invoke("Source", { value: 1 })).body, { value: 1, language: "new java" });
    await app.save(original);
    assert.deepEqual((await app.invoke("Source", { value: 1 })).body, { value: 1, language: "java" });
  });

  test("nothing of the debugger's own shows in the terminal, and a Java that is older is warned of", () => {
    assert.doesNotMatch(sst.output, /Listening for transport/);
    const version = Number(/"(?:1\.)?(\d+)/.exec(execFileSync("sh", ["-c", "java -version 2>&1"], { encoding: "utf8" }))[1]);
    assert.equal(/java\/Source` is declared as `java17` and runs here on Java \d+ .* which is older/.test(sst.output), version < 17);
  });

  test("sst doctor looks for Java", () => {
    const said = execFileSync(binary(), ["doctor"], { cwd: directory, encoding: "utf8" });
    assert.match(said, /java/i);
  });
});

describe("jdb", () => {
  let directory;
  let sst;
  let app;
  let jdb;

  before(async () => {
    directory = prepare();
    sst = await Sst.start(directory, ["--increase-timeout"]);
    app = serves(directory, sst);
  });
  after(async () => {
    jdb?.vanish();
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const lineOf = (text) => fs.readFileSync(path.join(directory, FILE), "utf8").split("\n").findIndex((line) => line.includes(text)) + 1;

  test("attached once it stops the first call of each process, after a save too", async () => {
    const port = sst.session().debugPorts["java/Source"];
    jdb = Conversation.start("jdb", "-attach", `127.0.0.1:${port}`);
    await jdb.hear(/Initializing jdb/);
    await jdb.say(`stop at example.Behaviour:${lineOf("answer.put(\"value\"")}`, /Deferring breakpoint|Set breakpoint/);
    for (let round = 0; round < 3; round += 1) {
      const call = app.invoke("Source", { value: "x" });
      await jdb.hear(new RegExp(`Breakpoint hit: .*example\\.Behaviour\\.handle\\(\\), line=${lineOf("answer.put(\"value\"")} `));
      await jdb.say("print value", /value = "x"/);
      await jdb.say("cont", />|\[1\]/);
      assert.deepEqual((await call).body, { value: "x", language: round ? `java ${round}` : "java" });
      if (round === 2) break;
      const text = fs.readFileSync(path.join(directory, FILE), "utf8");
      await app.save(text.replace(/"language", "java[ \d]*"/, `"language", "java ${round + 1}"`));
    }
  });

  test("while a call is paused its clock stands still", async () => {
    const lines = [lineOf("java does"), lineOf("answer.put(\"value\"")];
    await jdb.say(`stop at example.Behaviour:${lines[0]}`, /Deferring breakpoint|Set breakpoint/);
    const from = sst.output.length;
    const call = app.invoke("Source", { value: "x" });
    await clockStandsStill(sst, lines.map((line) => `java/Source at example/Behaviour.java:${line}`), {
      from,
      seconds: 2,
      resume: () => jdb.say("cont", /Breakpoint hit/),
    });
    await jdb.say("cont", />|\[1\]/);
    assert.equal((await call).body.value, "x");
  });

  test("a debugger that vanishes leaves nothing paused, and another one can come", async () => {
    const heard = sst.output.length;
    const call = app.invoke("Source", { value: "x" });
    await sst.waitFor(/PAUSED .* java\/Source/, heard);
    jdb.vanish();
    assert.equal((await call).body.value, "x");
    assert.equal((await app.invoke("Source", { value: "y" })).body.value, "y");
    const port = sst.session().debugPorts["java/Source"];
    jdb = Conversation.start("jdb", "-attach", `127.0.0.1:${port}`);
    await jdb.hear(/Initializing jdb/);
    await jdb.say("stop in example.Behaviour.who", /Deferring breakpoint|Set breakpoint/);
    const again = app.invoke("Source", { do: "who" });
    await jdb.hear(/Breakpoint hit: .*example\.Behaviour\.who/);
    await jdb.say("cont", />|\[1\]/);
    assert.equal((await again).body.color, "blue");
  });

  test("sst ide fills in the port of each function", () => {
    const ports = sst.session().debugPorts;
    execFileSync(binary(), ["ide", "intellij"], { cwd: directory });
    const text = fs.readFileSync(path.join(directory, ".run/Attach to java Source.run.xml"), "utf8");
    assert.match(text, new RegExp(`<option name="PORT" value="${ports["java/Source"]}" />`));
    execFileSync(binary(), ["ide", "vscode"], { cwd: directory });
    const launch = fs.readFileSync(path.join(directory, ".vscode/launch.json"), "utf8");
    const found = JSON.parse(launch.replace(/^\s*\/\/.*$/gm, "")).configurations.find(({ type, name }) => type === "java" && name.includes("java/Source"));
    assert.equal(found.port, ports["java/Source"]);
  });
});
