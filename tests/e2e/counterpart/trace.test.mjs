// X-Ray: a function finds the trace of each call in `_X_AMZN_TRACE_ID`, in every language and whoever has called.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

import { startCounterpart } from "../../counterpart/counterpart.mjs";
import { Sst, binary, copyApp } from "../support/sst.mjs";

const TRACE = /^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0$/;

describe("the trace of a call", () => {
  let counterpart;
  let directory;
  let sst;

  before(async () => {
    counterpart = await startCounterpart({ region: "us-east-1" });
    directory = copyApp("tests/fixtures/apps/languages");
    sst = new Sst(directory, ["start", "--stage", "dev", "--yes"], counterpart.environment);
    await sst.waitFor(/Listening for requests/);
  });
  after(async () => {
    await sst?.stop();
    await counterpart?.close();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  for (const id of ["Node", "Python", "Go", "Rust"]) {
    test(`${id}: is that of Lambda`, async () => {
      const name = sst.stackOutput(`Function${id}`);
      const seen = [];
      for (const round of [1, 2]) {
        const { error, bytes, requestId } = await counterpart.invoke(name, { do: "who" });
        assert.equal(error, undefined, bytes.toString());
        await counterpart.settled();
        const [{ trace }] = counterpart.recorded({ kind: "called", request: requestId });
        const own = JSON.parse(bytes);
        assert.equal(own.trace, trace, `call ${round}`);
        seen.push(own);
      }
      // One process serves both.
      assert.equal(seen[0].pid, seen[1].pid);
      assert.notEqual(seen[0].trace, seen[1].trace);
    });

    test(`${id}: is one of its own for each call from this machine`, async () => {
      const call = async () => {
        const running = promisify(execFile)(binary(), ["invoke", id, "--event", "-"], { cwd: directory });
        running.child.stdin.end('{"do":"who"}');
        return JSON.parse((await running).stdout).trace;
      };
      const before = Math.floor(Date.now() / 1000);
      const [first, second] = [await call(), await call()];
      for (const trace of [first, second]) {
        assert.match(trace, TRACE);
        const began = Number.parseInt(trace.slice(7, 15), 16);
        assert.ok(began >= before && began <= Date.now() / 1000, `${trace} began at ${began}`);
      }
      assert.notEqual(first, second);
    });
  }
});
