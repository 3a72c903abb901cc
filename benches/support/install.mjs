// What others made, and what is measured beside it. It is installed into `target/bench/` once, for the benches only.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

import { directory } from "./figures.mjs";

/** Installs packages of npm with exact versions. Returns their `node_modules`. */
export function npm(name, packages) {
  const place = installed(name, packages, (place) => {
    fs.writeFileSync(path.join(place, "package.json"), '{ "private": true }\n');
    execFileSync("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", ...packages], { cwd: place, stdio: ["ignore", "ignore", "inherit"] });
  });
  return path.join(place, "node_modules");
}

/** Installs packages for Python with exact versions, without what they depend on. Returns where their programs are. */
export function pip(name, packages) {
  const place = installed(name, packages, (place) => {
    execFileSync("python3", ["-m", "venv", place]);
    execFileSync(path.join(place, "bin/python"), ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", ...packages], { stdio: "inherit" });
  });
  return path.join(place, "bin");
}

function installed(name, packages, install) {
  const place = path.join(directory, name);
  const mark = path.join(place, ".installed");
  const wanted = packages.join("\n");
  if (fs.existsSync(mark) && fs.readFileSync(mark, "utf8") === wanted) return place;
  fs.rmSync(place, { recursive: true, force: true });
  fs.mkdirSync(place, { recursive: true });
  install(place);
  fs.writeFileSync(mark, wanted);
  return place;
}
