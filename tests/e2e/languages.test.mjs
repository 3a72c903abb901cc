// Functions in Python, Go, Rust, and in something that only speaks the Runtime API: what callers, the terminal, and the process
// table see of them.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, repository, until } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { GetFunctionConfigurationCommand, InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

/** Where the code is, and a text in it that the answer shows. */
const LANGUAGES = {
  Python: { file: "python/pkg/behaviour.py", text: '"language": "python"' },
  Go: { file: "go/main.go", text: '"language": "go"' },
  Rust: { file: "rust/src/main.rs", text: '"language": "rust"' },
};

describe("languages", () => {
  let directory;
  let sst;
  let lambda;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/languages");
    sst = await Sst.start(directory);
    lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
  });
  after(async () => {
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const name = (id) => sst.stackOutput(`Function${id}`);
  const invoke = async (id, event = {}) => {
    const answer = await lambda.send(new InvokeCommand({ FunctionName: name(id), Payload: JSON.stringify(event) }));
    return { error: answer.FunctionError, body: JSON.parse(Buffer.from(answer.Payload)) };
  };
  const isAlive = (pid) => fs.existsSync(`/proc/${pid}`) && !fs.readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  const gone = (pid) => until(`the end of ${pid}`, () => !isAlive(pid), 20_000);

  for (const [id, { file, text }] of Object.entries(LANGUAGES)) {
    const language = id.toLowerCase();

    test(`${id}: a result, and the log line before it`, async () => {
      const value = { text: "ü", list: [1, 2.5, null] };
      const from = sst.output.length;
      assert.deepEqual(await invoke(id, { value }), { error: undefined, body: { value, language } });
      const [shown] = await sst.waitFor(new RegExp(`REQUEST .*languages/${id} [^]*RESPONSE .*languages/${id} `), from);
      assert.match(shown, new RegExp(`${language} does`));
    });

    test(`${id}: its own variables, the role's credentials, the context`, async () => {
      const { body } = await invoke(id, { do: "who" });
      const again = await invoke(id, { do: "who" });
      assert.equal(body.color, "blue");
      assert.equal(body.local, "true");
      assert.equal(body.name, name(id));
      assert.match(body.request, /^[0-9a-f-]{36}$/);
      assert.notEqual(again.body.request, body.request);
      // One process serves one call after the other.
      assert.deepEqual([again.body.pid, again.body.count], [body.pid, body.count + 1]);
    });

    test(`${id}: an error, after which it serves on`, async () => {
      const { body: before } = await invoke(id, { do: "who" });
      const { error, body } = await invoke(id, { do: "fail" });
      assert.equal(error, "Unhandled");
      assert.equal(body.errorMessage, "as wished");
      assert.equal((await invoke(id, { do: "who" })).body.pid, before.pid);
    });

    test(`${id}: an exit is told with its code, and the next call gets another process`, async () => {
      const { body: before } = await invoke(id, { do: "who" });
      const { error, body } = await invoke(id, { do: "exit" });
      assert.equal(error, "Unhandled");
      assert.equal(body.errorType, "Runtime.ExitError");
      assert.match(body.errorMessage, /^RequestId: [0-9a-f-]{36} Error: Runtime exited with error: exit status 4$/);
      const { body: after } = await invoke(id, { do: "who" });
      assert.notEqual(after.pid, before.pid);
    });

    test(`${id}: a call that takes too long is ended with its process, whatever that has started`, async () => {
      const { body: pid } = await invoke(id, { do: "fork" });
      assert.ok(isAlive(pid));
      const { body: before } = await invoke(id, { do: "who" });
      const { error, body } = await invoke(id, { do: "sleep", seconds: 60 });
      assert.equal(error, "Unhandled");
      assert.match(body.errorMessage, /Task timed out after 5.00 seconds/);
      await gone(before.pid);
      await gone(pid);
      assert.deepEqual((await invoke(id, { value: 1 })).body, { value: 1, language });
    });

    test(`${id}: a saved file is what the next call runs; one that is broken changes nothing`, async () => {
      const { body: before } = await invoke(id, { do: "who" });
      const source = path.join(directory, file);
      const original = fs.readFileSync(source, "utf8");
      let from = sst.output.length;
      fs.writeFileSync(source, original.replace(text, text.replace(language, `new ${language}`)));
      await sst.waitFor(new RegExp(`Rebuilt|built.*languages/${id}`, "i"), from);
      assert.deepEqual((await invoke(id, { value: 1 })).body, { value: 1, language: `new ${language}` });
      await gone(before.pid);
      if (id !== "Python") {
        from = sst.output.length;
        fs.writeFileSync(source, original.replace(text, `${text} nonsense nonsense`));
        await sst.waitFor(new RegExp(`${file}:\\d+`), from);
        assert.deepEqual((await invoke(id, { value: 1 })).body, { value: 1, language: `new ${language}` });
      }
      from = sst.output.length;
      fs.writeFileSync(source, original);
      await sst.waitFor(new RegExp(`Rebuilt|built.*languages/${id}`, "i"), from);
      assert.deepEqual((await invoke(id, { value: 1 })).body, { value: 1, language });
    });
  }

  test("a panic in Go ends the process, after its error was told", async () => {
    const { body } = await invoke("Go", { do: "panic" });
    assert.equal(body.errorMessage, "as wished");
    assert.deepEqual((await invoke("Go", { value: 1 })).body.value, 1);
  });

  test("a panic in Rust is an error", async () => {
    const { body } = await invoke("Rust", { do: "panic" });
    assert.match(body.errorMessage, /as wished/);
  });

  test("a module that is no Python is an error of the initialisation", async () => {
    const { error, body } = await invoke("PythonBroken");
    assert.equal(error, "Unhandled");
    assert.equal(body.errorType, "Runtime.UserCodeSyntaxError");
    assert.match(body.errorMessage, /broken/);
  });

  test("a command that `sst.json` names is run as the bootstrap", async () => {
    const from = sst.output.length;
    assert.deepEqual(await invoke("Shell", { a: 1 }), { error: undefined, body: { language: "shell", color: "blue" } });
    await sst.waitFor(/shell has \{"a": ?1\}/, from);
  });

  test("a function in .NET keeps its deployed code, and it is said why", async () => {
    assert.match(sst.output, /languages\/DotNet.*functions in \.NET \(`dotnet8`\) do not run on this machine yet/);
    const { Runtime } = await lambda.send(new GetFunctionConfigurationCommand({ FunctionName: name("DotNet") }));
    assert.equal(Runtime, "dotnet8");
  });
});
