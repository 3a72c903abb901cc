// This machine's clock is wrong, and is set while `sst start` runs: AWS's time is what counts. `libfaketime` changes the wall clock for
// `sst` alone, and for what it starts.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";
import { repository } from "../support/sst.mjs";

const HOUR_S = 3600;
const LEASE_S = 90;

/** The library, which is installed where it is missing. */
function faketime() {
  const found = () => {
    const below = fs.readdirSync("/usr/lib").map((name) => `/usr/lib/${name}/faketime/libfaketime.so.1`);
    return below.find((file) => fs.existsSync(file));
  };
  if (!found()) execFileSync(path.join(repository, "tests/apt-install.sh"), ["--no-install-recommends", "libfaketime"], { stdio: "inherit" });
  return found();
}

for (const first of [HOUR_S, -HOUR_S]) {
  describe(`a clock that is wrong by ${first} s`, () => {
    let deployed;
    let setting;
    /** Sets the clock, as somebody does while programs run. */
    const set = (seconds) => {
      fs.writeFileSync(`${setting}.new`, `${seconds < 0 ? "" : "+"}${seconds}\n`);
      fs.renameSync(`${setting}.new`, setting);
    };

    before(async () => {
      deployed = await Deployed.prepare();
      setting = path.join(deployed.directory("sst-clock-"), "offset");
      set(first);
      const env = {
        LD_PRELOAD: faketime(), FAKETIME_TIMESTAMP_FILE: setting, FAKETIME_NO_CACHE: "1", FAKETIME_DONT_FAKE_MONOTONIC: "1", NO_FAKE_STAT: "1",
      };
      deployed.app = deployed.copy();
      deployed.sst = await deployed.serve({ env });
    });
    after(() => deployed?.close());

    /** What holds whatever this machine's clock says. */
    const works = async (name, from) => {
      const calls = await Promise.all(Array.from({ length: 5 }, (_, number) => deployed.call("count", { number: `${name}-${number}` })));
      assert.deepEqual(calls.map(({ error }) => error), calls.map(() => undefined));
      deployed.onlyOnce(calls.map(({ requestId }) => requestId));
      await deployed.counterpart.settled();
      const refused = deployed.counterpart.recorded({ kind: "signature", ok: false }, from);
      assert.deepEqual(refused, []);
      const { tables } = await deployed.counterpart.state();
      for (const { ttl } of Object.values(tables).flat()) {
        const left = Number(ttl.N) - Date.now() / 1000;
        assert.ok(left > 0 && left <= LEASE_S + 2, `a registration counts for another ${left} s`);
      }
    };

    test("is told of, and calls are served", async () => {
      assert.match(deployed.sst.output, first > 0 ? /60 minutes ahead/ : /60 minutes behind/);
      await works("before", deployed.counterpart.records.length);
    });

    for (const [to, seconds] of [["right", 0], ["wrong in the other direction", -first], ["wrong again", first]]) {
      test(`and is set, ${to}, while calls are served`, async () => {
        const from = deployed.counterpart.records.length;
        const printed = deployed.sst.output.length;
        const running = await deployed.asleep(`running-${to}`);
        set(seconds);
        // Everything is written and signed anew.
        await deployed.counterpart.network.client.set({ cut: true });
        await deployed.sst.waitFor(/connected again/, printed);
        await works(to, from);
        running.wake();
        assert.deepEqual((await running.answer).value, { slept: `running-${to}` });
        const said = deployed.sst.output.slice(printed);
        assert.doesNotMatch(said, /was asleep|too late|^error/m);
      });
    }
  });
}
