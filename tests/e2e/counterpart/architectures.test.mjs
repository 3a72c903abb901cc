// Functions keep the architecture that they declare: those for arm64 have a stub for arm64.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { startCounterpart } from "../../counterpart/counterpart.mjs";
import { Sst, copyApp } from "../support/sst.mjs";

describe("a stub", () => {
  let counterpart;
  let directory;
  let sst;

  before(async () => {
    counterpart = await startCounterpart({ region: "us-east-1", tls: "h2" });
    directory = copyApp("tests/fixtures/apps/architectures");
    sst = new Sst(directory, ["start", "--stage", "dev", "--yes"], counterpart.environment);
    await sst.waitFor(/Listening for requests/);
  });
  after(async () => {
    await sst?.stop();
    await counterpart?.close();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  // For what a parameter names there is one stub, which has to be right whatever that is.
  const architectures = { Usual: "x86_64", Intel: "x86_64", Arm: "arm64", Chosen: "arm64", Named: "x86_64" };
  for (const [id, architecture] of Object.entries(architectures)) {
    test(`of ${id} runs on ${architecture}`, async () => {
      const name = sst.stackOutput(`Function${id}`);
      const [deployed] = counterpart.recorded({ kind: "function", name });
      assert.equal(deployed.architecture, architecture);
      const { error, bytes } = await counterpart.invoke(name, { number: 21 });
      assert.equal(error, undefined, bytes.toString());
      const { doubled, pid } = JSON.parse(bytes);
      assert.equal(doubled, 42);
      // It was run here, by a process of this machine.
      assert.match(fs.readFileSync(`/proc/${pid}/cmdline`, "utf8"), /node/);
      await counterpart.settled();
      const [environment] = counterpart.recorded({ kind: "environment", function: name });
      assert.equal(environment.architecture, architecture);
    });
  }

  test("for the other architecture does not run", async () => {
    await counterpart.registerFunction("wrong", { architecture: "arm64" });
    const { error, bytes } = await counterpart.invoke("wrong", {});
    assert.ok(error, bytes.toString());
    const logs = path.join(counterpart.directory, "logs");
    const [log] = fs.readdirSync(logs).filter((file) => file.startsWith("wrong-"));
    assert.match(fs.readFileSync(path.join(logs, log), "utf8"), /Invalid ELF image for this architecture/);
  });
});
