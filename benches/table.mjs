// Prints the figures that are in `target/bench/`, whichever run they are of: `make bench` ends with it.

import fs from "node:fs";
import path from "node:path";

import { COLUMNS, directory, lines } from "./support/figures.mjs";

for (const file of fs.readdirSync(directory).filter((name) => name.endsWith(".json")).sort()) {
  const { name, at, commit, build, cores, loadBefore, loadAfter, rows } = JSON.parse(fs.readFileSync(path.join(directory, file), "utf8"));
  const load = `load ${loadBefore[0].toFixed(1)} before, ${loadAfter[0].toFixed(1)} after`;
  console.log(`\n${name} (${at}, commit ${commit}, ${build} build, ${cores} cores, ${load})`);
  const table = [COLUMNS, ...rows.flatMap(lines)];
  const widths = COLUMNS.map((_, column) => Math.max(...table.map((columns) => columns[column].length)));
  // Names to the left, numbers to the right.
  const cell = (text, column) => (column < 2 ? text.padEnd(widths[column]) : text.padStart(widths[column]));
  for (const columns of table) console.log(`  ${columns.map(cell).join("  ")}`);
}
