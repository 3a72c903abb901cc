#!/usr/bin/env node
// Packs what is published: the package with the launcher, the stubs, and the native program of each platform.
//
//   node npm/pack.mjs --programs DIRECTORY --out DIRECTORY [--public] [--repository URL] PART…
//
// A PART is `main`, `stubs`, or a platform. With `--names` it only says what the files are called, of all parts in the order in which they can
// be published. Programs are taken from `DIRECTORY/<platform>/sst`, stubs from `DIRECTORY/stubs`, and the licences
// of what is in them from `DIRECTORY/THIRD-PARTY-NOTICES.txt`. Without `--public`, nobody can publish what comes of it by accident.
//
// The name is in `npm/package.json` and nowhere else: other packages are called as the main one with something behind. A name with a scope
// keeps the names of all of them to whoever has the scope.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gunzipSync } from "node:zlib";

/** What there are programs for: system, processor, and on Linux which library of C. */
export const PLATFORMS = ["linux-x64", "linux-arm64", "linux-x64-musl", "linux-arm64-musl", "darwin-x64", "darwin-arm64"];
/** The main package needs all others, so it is published after them. */
export const PARTS = ["stubs", ...PLATFORMS, "main"];
export const STUBS = ["sst-stub", "sst-stub-arm64"];
const NOTICES = "THIRD-PARTY-NOTICES.txt";

const npmRoot = path.dirname(fileURLToPath(import.meta.url));
/** What is written down of the main package. */
export const source = JSON.parse(fs.readFileSync(path.join(npmRoot, "package.json"), "utf8"));
export const nameOf = (part) => (part === "main" ? source.name : `${source.name}-${part}`);
export const fileOf = (part) => `${nameOf(part).replace("@", "").replace("/", "-")}-${source.version}.tgz`;

/** The `package.json` of a part. */
export function manifestOf(part, { isPublic = false, repository } = {}) {
  const { version, license } = source;
  const common = {
    name: nameOf(part),
    version,
    ...(isPublic ? { publishConfig: { access: "public" } } : { private: true }),
    license,
    ...(repository ? { repository: { type: "git", url: repository } } : {}),
  };
  if (part === "main") {
    const { description, type, bin, files, engines, dependencies } = source;
    // Those of other platforms are left out by whoever installs.
    const programs = Object.fromEntries(PLATFORMS.map((platform) => [nameOf(platform), version]));
    const own = { description, type, bin, files: [...files, NOTICES], engines, dependencies: { ...dependencies, [nameOf("stubs")]: version } };
    return { ...common, ...own, optionalDependencies: programs };
  }
  if (part === "stubs") {
    return { ...common, description: `The stubs of ${source.name}, which are deployed as the code of functions.`, files: [...STUBS, NOTICES] };
  }
  const [os, cpu, musl] = part.split("-");
  const libc = os === "linux" ? { libc: [musl ?? "glibc"] } : {};
  const description = `The program of ${source.name} for ${part}.`;
  // Yarn would leave it in an archive, from which it cannot be run.
  return { ...common, description, files: ["bin", NOTICES], preferUnplugged: true, os: [os], cpu: [cpu], ...libc };
}

/** Packs `parts` into `out`, and returns the names of the files. */
export function pack(parts, { programs, out, ...options }) {
  fs.mkdirSync(out, { recursive: true });
  return parts.map((part) => {
    const directory = path.join(out, part);
    fs.rmSync(directory, { recursive: true, force: true });
    fs.mkdirSync(directory, { recursive: true });
    const manifest = manifestOf(part, options);
    fs.writeFileSync(path.join(directory, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
    fs.copyFileSync(path.join(programs, NOTICES), path.join(directory, NOTICES));
    fs.copyFileSync(path.join(npmRoot, "../LICENSE"), path.join(directory, "LICENSE"));
    if (part === "main") {
      for (const name of [...source.files, "README.md"]) fs.cpSync(path.join(npmRoot, name), path.join(directory, name), { recursive: true });
    } else {
      fs.writeFileSync(path.join(directory, "README.md"), `${manifest.description} Install \`${source.name}\`, which brings it along.\n`);
      const executables = part === "stubs" ? STUBS.map((stub) => [`stubs/${stub}`, stub]) : [[`${part}/sst`, "bin/sst"]];
      for (const [from, to] of executables) {
        fs.mkdirSync(path.dirname(path.join(directory, to)), { recursive: true });
        fs.copyFileSync(path.join(programs, from), path.join(directory, to));
        fs.chmodSync(path.join(directory, to), 0o755);
      }
    }
    const packed = execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", ".."], { cwd: directory, encoding: "utf8" });
    fs.rmSync(directory, { recursive: true });
    const [{ unpackedSize }] = JSON.parse(packed);
    const file = path.join(out, fileOf(part));
    // The library that Node has compresses less than the program, which is a fortieth of what is downloaded.
    fs.writeFileSync(file, execFileSync("gzip", ["-9", "--no-name"], { input: gunzipSync(fs.readFileSync(file)), maxBuffer: 1e9 }));
    return { part, file, size: fs.statSync(file).size, unpackedSize };
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [string, boolean] = [{ type: "string" }, { type: "boolean" }];
  const options = { programs: string, out: string, repository: string, public: boolean, names: boolean };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const unknown = positionals.filter((part) => !PARTS.includes(part));
  if (unknown.length > 0) throw new Error(`there is no part \`${unknown}\``);
  if (values.names) {
    process.stdout.write(`${PARTS.map(fileOf).join("\n")}\n`);
    process.exit();
  }
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  for (const { file, size, unpackedSize } of pack(positionals, { ...values, isPublic: values.public })) {
    process.stdout.write(`${file}: ${megabytes(size)}, unpacked ${megabytes(unpackedSize)}\n`);
  }
}
