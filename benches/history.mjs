// What remembering a call costs it: warm calls by the way of `sst invoke`, of a session that keeps them on disk, and of one with `--no-history`,
// which has them in memory only: `make bench`. To reach: less than a hundredth.

import fs from "node:fs";
import path from "node:path";

import { Sst } from "../tests/e2e/support/sst.mjs";
import { makeEcho, makePlace } from "./support/app.mjs";
import { Figures, inTurns } from "./support/figures.mjs";
import { Caller } from "./support/running.mjs";

const CALLS = Number(process.env.CALLS ?? 1_000);
// As long as the events of an API with a body, and as those of a whole batch.
const EVENTS = { "2 kB": 2_000, "200 kB": 200_000 };

const figures = new Figures("history");
const place = makePlace();
const options = { kept: [], "`--no-history`": ["--no-history"] };
const sessions = [];
try {
  const callers = {};
  for (const [name, more] of Object.entries(options)) {
    const app = path.join(place, name.replaceAll(/\W/g, ""));
    makeEcho(app);
    sessions.push(await Sst.start(app, more));
    callers[name] = new Caller(app);
  }
  for (const [size, length] of Object.entries(EVENTS)) {
    const event = { body: "x".repeat(length), headers: { authorization: "Bearer abc" } };
    const side = (caller) => () => caller.call("bench/echo", event);
    const sides = Object.fromEntries(Object.entries(callers).map(([name, caller]) => [name, side(caller)]));
    figures.times(`a warm call with an event of ${size}`, await inTurns(sides, { rounds: CALLS, before: 20 }));
  }
  for (const caller of Object.values(callers)) caller.end();
} finally {
  for (const sst of sessions) await sst.stop();
  fs.rmSync(place, { recursive: true, force: true });
}
figures.save();
