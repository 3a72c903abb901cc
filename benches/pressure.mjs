// More calls than workers: `make bench`. How long so many calls at once of three functions take, each of 100 ms, for each limit; beside it
// the time that so many places need for the calls alone. What counts is the ratio.

import fs from "node:fs";

import { appWith, serveAll } from "../tests/e2e/support/pressure.mjs";
import { Sst } from "../tests/e2e/support/sst.mjs";
import { Figures } from "./support/figures.mjs";

const figures = new Figures("pressure");
const SLEEP = 100;

for (const limit of [1, 10, 100]) {
  const directory = appWith(3);
  const sst = await Sst.start(directory, ["--max-workers", String(limit)]);
  try {
    for (const calls of [1, 10, 100, 200]) {
      const names = Array.from({ length: calls }, (_, number) => `F${number % 3}`);
      const { took, workers } = await serveAll(sst, names, SLEEP);
      const ideal = Math.ceil(calls / limit) * SLEEP;
      figures.times(`${calls} calls, ${limit} workers at most`, { [`ours, by ${workers} processes`]: [took], "the calls alone": [ideal] });
    }
  } finally {
    await sst.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  }
}
figures.save();
