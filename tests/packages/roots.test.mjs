// The packages, where nothing of this machine is: each test makes a root file system, installs the packages there with npm, starts an app, calls
// it, saves a file, calls it again. Where there is no Python that is new enough for the local cloud, that runs beside it.
//
// Debian's packages and Node come from their usual places, and it takes root to have what is mounted in a root file system. How long each step
// took is printed.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { nameOf } from "../../npm/pack.mjs";
import { Place, app, packages, registryOf, repository, trial } from "./support/trial.mjs";

const support = path.join(path.dirname(fileURLToPath(import.meta.url)), "support");
const roots = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, "target"), "roots");
const ROOTS = [
  { root: "debian-13", platform: "linux-x64", python: true },
  { root: "debian-11", platform: "linux-x64" },
  { root: "musl", platform: "linux-x64-musl" },
  { root: "debian-13-arm64", platform: "linux-arm64" },
  { root: "musl-arm64", platform: "linux-arm64-musl" },
];
const isRoot = process.getuid() === 0;

let registry;
let beside;
const directories = [];

before(async () => {
  registry = await registryOf(packages);
});

after(async () => {
  await beside?.end();
  registry?.close();
  for (const directory of directories) fs.rmSync(directory, { recursive: true, force: true });
});

/** A local cloud for those that cannot have their own: that of an `sst start --local` on this machine, with the same packages. */
async function cloudBeside() {
  if (!beside) {
    const directory = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "sst-beside-")));
    directories.push(directory);
    app(directory, registry);
    const place = new Place();
    await place.run(directory, "npm install --no-audit --no-fund --loglevel=error");
    beside = place.start(directory, "node_modules/.bin/sst start --local");
    beside.directory = directory;
    await beside.waitFor(/Listening for requests/);
  }
  return JSON.parse(fs.readFileSync(path.join(beside.directory, ".sst/session.json"), "utf8")).endpoint;
}

/** A root file system by its name, made if it is not there. */
function made(name) {
  const directory = path.join(roots, name);
  const make = path.join(support, "roots.sh");
  const isNew = fs.existsSync(directory) && fs.statSync(directory).mtimeMs > fs.statSync(make).mtimeMs;
  if (!isNew) execFileSync(make, [name, directory], { stdio: ["ignore", "inherit", "inherit"] });
  return directory;
}

for (const { root, platform, python = false } of ROOTS) {
  test(`${root}: the package for ${platform} is installed, and works`, { timeout: 800_000, skip: !isRoot && "it takes root" }, async (t) => {
    const directory = made(root);
    const env = root.endsWith("arm64") ? { QEMU: made("qemu") } : {};
    const place = new Place({ command: [path.join(support, "enter.sh"), directory], at: (inside) => inside.slice(directory.length), env });
    const project = fs.mkdtempSync(path.join(directory, "root/app-"));
    directories.push(project);
    app(project, registry);
    const endpoint = python ? undefined : await cloudBeside();
    const seconds = await trial(project, place, { endpoint, stage: root });
    t.diagnostic(JSON.stringify(seconds));
    const installed = fs.readdirSync(path.join(project, "node_modules", path.dirname(nameOf(platform)))).sort();
    assert.deepEqual(installed, [nameOf("main"), nameOf("stubs"), nameOf(platform)].map((name) => path.basename(name)).sort());
    assert.match(seconds.version, root.startsWith("musl") ? /linux-musl/ : /linux-gnu/);
  });
}
