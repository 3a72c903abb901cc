// What the benches share: measuring in turns, and the figures, which are printed, and kept in `target/bench/` for the table.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { performance } from "node:perf_hooks";

import { binary, repository } from "../../tests/e2e/support/sst.mjs";

/** Where everything is that is made. */
export const target = process.env.CARGO_TARGET_DIR ?? path.join(repository, "target");

/** Where the figures are, and what they are compared with. */
export const directory = path.join(target, "bench");

/** How often each side is measured, if its bench does not say otherwise. */
export const ROUNDS = Number(process.env.ROUNDS ?? 30);

/** How long something takes, in milliseconds. */
export async function timed(work) {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/**
 * Measures each of `sides` in each round, so that all of them meet the same machine, after rounds that do not count, for what makes later
 * ones quick. A side is a name with what is measured, which returns what it has taken, in milliseconds, if that is not all of its time.
 */
export async function inTurns(sides, { rounds = ROUNDS, before = 1 } = {}) {
  const times = Object.fromEntries(Object.keys(sides).map((name) => [name, []]));
  for (let round = -before; round < rounds; round += 1) {
    for (const [name, run] of Object.entries(sides)) {
      let own;
      const all = await timed(async () => (own = await run(round)));
      if (round >= 0) times[name].push(typeof own === "number" ? own : all);
    }
  }
  return times;
}

/** The figures of one bench. */
export class Figures {
  #rows = [];
  #load = os.loadavg();

  constructor(name) {
    this.name = name;
    console.log(`${name}: load before ${this.#load[0].toFixed(2)}, ${os.cpus().length} cores, ${this.build} build`);
  }

  /** Which build of the program is measured. */
  get build() {
    return path.basename(path.dirname(binary()));
  }

  /** Times by sides: ours is the first, those beside it are what it is compared with. `aim` is what ours is to reach. */
  times(what, sides, aim) {
    const of = ([name, times]) => {
      const sorted = times.toSorted((a, b) => a - b);
      const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
      return { name, n: sorted.length, p50: at(0.5), p95: at(0.95), p99: at(0.99), worst: at(1) };
    };
    this.#add({ what, unit: "ms", aim, sides: Object.entries(sides).map(of) });
  }

  /** One value for each side. */
  values(what, unit, sides, aim) {
    this.#add({ what, unit, aim, sides: Object.entries(sides).map(([name, value]) => ({ name, value })) });
  }

  #add(row) {
    this.#rows.push(row);
    const [[what], ...rest] = [lines(row)[0], ...lines(row)];
    const side = ([, name, middle, p95, worst, n, factor]) =>
      `${name} ${middle}${p95 && ` (p95 ${p95}, worst ${worst}, n ${n})`}${factor && `, ${factor} times`}`;
    console.log(`${what}: ${rest.map(side).join("; ")}`);
  }

  /** Keeps them, with what is to be known of the machine. */
  save() {
    const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: repository, encoding: "utf8" }).trim();
    const { build } = this;
    const machine = { at: new Date().toISOString(), commit, build, cores: os.cpus().length, loadBefore: this.#load, loadAfter: os.loadavg() };
    fs.mkdirSync(directory, { recursive: true });
    fs.writeFileSync(path.join(directory, `${this.name}.json`), `${JSON.stringify({ name: this.name, ...machine, rows: this.#rows }, undefined, 2)}\n`);
  }
}

/** What each column of `lines` is. The factor is a side's median, or value, by ours. */
export const COLUMNS = ["", "", "p50", "p95", "worst", "n", "by ours"];

/** A row as lines of columns, one for each side. */
export function lines({ what, unit, aim, sides }) {
  const middle = ({ p50, value }) => p50 ?? value;
  const shown = (number) => number?.toFixed(Math.abs(number) < 100 ? 2 : 0) ?? "";
  return sides.map((side, index) => [
    index ? "" : `${what}, ${unit}${aim === undefined ? "" : ` (to reach: ${aim})`}`,
    side.name,
    shown(middle(side)),
    shown(side.p95),
    shown(side.worst),
    side.n === undefined ? "" : String(side.n),
    index && middle(sides[0]) > 0 ? (middle(side) / middle(sides[0])).toFixed(2) : "",
  ]);
}
