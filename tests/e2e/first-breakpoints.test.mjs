// The first call of a new process stops at its breakpoint: always. Each round saves a function, so that its next call runs in a process
// that no debugger has seen before. `make faults` does it many more times, and with two busy loops beside it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { JsDebug } from "./support/js-debug.mjs";
import { Sst, call, copyApp, repository } from "./support/sst.mjs";

const full = process.env.SST_FAULTS === "full";
const ROUNDS = Number(process.env.ROUNDS ?? (full ? 250 : 8));
const launch = JSON.parse(fs.readFileSync(path.join(repository, "launch-configs/vscode/launch.json"), "utf8"));
const attach = launch.configurations.find(({ name }) => name === "Attach to SST");

/** One function in JavaScript as it is on disk, and one with a source map. */
const FUNCTIONS = { Asset: ["functions/asset/index.js", 2, (n) => `// ${n}`], Explicit: ["functions/explicit.ts", 7, (n) => `export const round = ${n};`] };

describe("attach", () => {
  let directory;
  let sst;
  let debug;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    sst = await Sst.start(directory, ["--increase-timeout"]);
    debug = new JsDebug(directory, Object.fromEntries(Object.values(FUNCTIONS).map(([file, line]) => [file, [line]])));
    await debug.start({ ...attach, port: Number(sst.session().inspector.split(":")[1]) });
    await sst.waitFor(/A debugger is attached/);
  });
  after(async () => {
    await debug?.stop();
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  for (const busy of full ? [0, 2] : [0]) {
    for (const [name, [file, line, change]] of Object.entries(FUNCTIONS)) {
      test(`${ROUNDS} new processes of ${file}, with ${busy} busy loops beside`, async () => {
        const loops = Array.from({ length: busy }, () => spawn(process.execPath, ["-e", "for (;;);"]));
        try {
          const source = path.join(directory, file);
          const text = fs.readFileSync(source, "utf8");
          for (let round = 0; round < ROUNDS; round++) {
            const from = sst.output.length;
            fs.writeFileSync(source, `${text}\n${change(round)}\n`);
            if (round > 0) await sst.waitFor(new RegExp(`BUILT +plain/${name}`), from);
            const answered = call(sst.session(), name, {});
            const first = await Promise.race([debug.stopped(), answered]);
            assert.equal(first.place, `${file}:${line}`, `round ${round} was not stopped:\n${sst.output.slice(from)}`);
            await first.resume();
            assert.equal((await answered).outcome, "returned");
          }
          fs.writeFileSync(source, text);
        } finally {
          loops.forEach((loop) => loop.kill("SIGKILL"));
        }
      });
    }
  }
});
