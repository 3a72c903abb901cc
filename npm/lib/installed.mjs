// What was installed beside this package: the native program of this machine, and the stubs. Each is a package of its own, called as this
// one with something behind, so that nobody downloads programs for other machines.

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The directory of this package, where links lead to it. */
export const packageRoot = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

// Packages are found from here, as pnpm and Yarn want it: what a package needs is beside that package, not in the project.
const require = createRequire(import.meta.url);
const manifest = require("../package.json");
const prefix = `${manifest.name}-`;
/** The platforms that there are programs for. None in a checkout. */
const platforms = Object.keys(manifest.optionalDependencies ?? {}).map((name) => name.slice(prefix.length));

/** The native program that was installed, as `{ program }`, or in one sentence why there is none, as `{ missing }`. */
export function nativeProgram() {
  if (process.versions.pnp) {
    // The native program, and the Node that it starts, look into directories.
    return { missing: "`sst` does not work with Yarn Plug'n'Play: put `nodeLinker: node-modules` into `.yarnrc.yml` and run `yarn install`" };
  }
  const wanted = wantedPlatforms();
  for (const platform of wanted) {
    const directory = directoryOf(platform);
    if (directory) return { program: path.join(directory, "bin/sst") };
  }
  return { missing: whyMissing(wanted[0]) };
}

/** The variables that tell the native program where its stubs are. */
export function stubVariables() {
  const directory = directoryOf("stubs");
  if (!directory) return {};
  return { SST_STUB_BINARY: path.join(directory, "sst-stub"), SST_STUB_BINARY_ARM64: path.join(directory, "sst-stub-arm64") };
}

/** What runs here, the best first. Programs for musl are static, so they do on any Linux. */
function wantedPlatforms() {
  const here = `${process.platform}-${process.arch}`;
  if (process.platform !== "linux") return [here];
  return isMusl() ? [`${here}-musl`] : [here, `${here}-musl`];
}

/** Package managers that do not know `libc` install the programs for both. */
function isMusl() {
  // The report takes longer than all else here. What has no loader of musl is no system of musl; what has one may still be of glibc.
  if (!fs.readdirSync("/lib").some((file) => file.startsWith("ld-musl-"))) return false;
  // It would look up the names of open connections.
  process.report.excludeNetwork = true;
  return process.report.getReport().header.glibcVersionRuntime === undefined;
}

function directoryOf(part) {
  try {
    return path.dirname(require.resolve(`${prefix}${part}/package.json`));
  } catch {
    return undefined;
  }
}

function whyMissing(here) {
  if (platforms.length === 0) {
    return `\`${packageRoot}\` is a checkout without a program: run \`make build\` in its repository, and let \`SST_BINARY\` name what that builds`;
  }
  if (!platforms.includes(here)) {
    const system = process.platform === "win32" ? "Windows: use WSL 2, which is a Linux" : `${process.platform} on ${process.arch}: use Linux or macOS`;
    return `there is no \`sst\` for ${system}, on x64 or arm64`;
  }
  const other = platforms.find((platform) => platform !== here && directoryOf(platform));
  if (other) return `\`node_modules\` was installed on another machine (${other}; this one is ${here}): install it again here`;
  return `\`${prefix}${here}\`, the program for this machine, was not installed: install again, with optional dependencies (\`npm install --include=optional\`)`;
}
