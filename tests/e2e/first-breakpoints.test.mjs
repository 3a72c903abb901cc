// The first call of a new process stops at its breakpoint: always. Each round saves a function, so that its next call runs in a process
// that no debugger has seen before. `make faults` does it many more times, after F5 as well, and with two busy loops beside it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, describe, test } from "node:test";

import { JsDebug } from "./support/js-debug.mjs";
import { App, Sst, binary, call, copyApp, extraArguments, gone, repository } from "./support/sst.mjs";

const full = process.env.SST_FAULTS === "full";
const ROUNDS = Number(process.env.ROUNDS ?? (full ? 125 : 8));
const launch = JSON.parse(fs.readFileSync(path.join(repository, "launch-configs/vscode/launch.json"), "utf8"));
const configuration = (name) => launch.configurations.find((one) => one.name === name);

/** One function in JavaScript as it is on disk, and one with a source map: file, line, and what makes other code of it. */
const FUNCTIONS = {
  Asset: ["functions/asset/index.js", 2, (round) => `// ${round}`],
  Explicit: ["functions/explicit.ts", 7, (round) => `export const round = ${round};`],
};
const breakpoints = () => Object.fromEntries(Object.values(FUNCTIONS).map(([file, line]) => [file, [line]]));

/** Ways to a debugger: each starts an app and gives what has its output, and how it ends. */
const WAYS = {
  async attach() {
    const directory = copyApp("tests/fixtures/apps/cdk-plain");
    const sst = await Sst.start(directory, ["--increase-timeout"]);
    const debug = new JsDebug(directory, breakpoints());
    await debug.start({ ...configuration("Attach to SST"), port: Number(sst.session().inspector.split(":")[1]) });
    await sst.waitFor(/A debugger is attached/);
    const end = async () => {
      await debug.stop();
      await sst.stop();
    };
    return { directory, debug, terminal: sst, end };
  },
  async F5() {
    const directory = copyApp("tests/fixtures/apps/cdk-plain");
    const start = configuration("Debug SST Start");
    const debug = new JsDebug(directory, breakpoints());
    const runtimeArgs = [...start.runtimeArgs, "--local", ...extraArguments()];
    const env = { SST_NPM_ROOT: path.join(repository, "npm"), SST_BINARY: binary(), NO_COLOR: "1" };
    await debug.start({ ...start, runtimeExecutable: binary(), runtimeArgs, env });
    await debug.waitFor(/Listening for requests/);
    const end = async () => {
      await debug.stop();
      await debug.programs[0].exited;
      await gone(directory);
    };
    return { directory, debug, terminal: debug, end };
  },
};

for (const [way, start] of Object.entries(WAYS)) {
  if (way === "F5" && !full) continue; // `debug.test.mjs` has it, with a few processes.
  describe(way, () => {
    let world;
    after(async () => {
      await world?.end();
      if (world) fs.rmSync(world.directory, { recursive: true, force: true });
    });

    for (const busy of full ? [0, 2] : [0]) {
      for (const [name, [file, line, change]] of Object.entries(FUNCTIONS)) {
        test(`${ROUNDS} new processes of ${file}, with ${busy} busy loops beside`, async () => {
          world ??= await start();
          const { directory, debug, terminal } = world;
          const loops = Array.from({ length: busy }, () => spawn(process.execPath, ["-e", "for (;;);"]));
          const source = path.join(directory, file);
          const text = fs.readFileSync(source, "utf8");
          try {
            for (let round = 0; round < ROUNDS; round++) {
              const from = terminal.output.length;
              const warm = terminal.output.includes(`plain/${name} `);
              fs.writeFileSync(source, `${text}\n${change(round + 1000 * busy)}\n`);
              if (warm) await terminal.waitFor(new RegExp(`BUILT +plain/${name}`), from);
              const answered = call(new App(directory).session(), name, {});
              const first = await Promise.race([debug.stopped(), answered]);
              assert.equal(first.place, `${file}:${line}`, `round ${round} was not stopped:\n${terminal.output.slice(from)}`);
              await first.resume();
              assert.equal((await answered).outcome, "returned");
            }
          } finally {
            loops.forEach((loop) => loop.kill("SIGKILL"));
            fs.writeFileSync(source, text);
          }
        });
      }
    }
  });
}
