// What `make package` has put into target/packages: only what belongs there, for the oldest systems that are promised, and no more of it than
// that.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { PLATFORMS, STUBS, fileOf } from "../../npm/pack.mjs";
import { packages, repository } from "./support/trial.mjs";

/** No packed tarball is larger. */
const LARGEST = 12_000_000;
const OLDEST_GLIBC = [2, 17];

const unpacked = fs.mkdtempSync(path.join(os.tmpdir(), "sst-contents-"));
const parts = ["stubs", ...PLATFORMS.filter((platform) => fs.existsSync(path.join(packages, fileOf(platform))))];
const executables = parts.flatMap((part) => {
  const names = part === "stubs" ? STUBS : ["bin/sst"];
  return names.map((name) => ({ part, name, file: path.join(unpacked, part, "package", name) }));
});
const run = (...command) => execFileSync(command[0], command.slice(1), { encoding: "utf8", maxBuffer: 1e9, cwd: repository });

before(() => {
  for (const part of parts) {
    fs.mkdirSync(path.join(unpacked, part));
    run("tar", "-xf", path.join(packages, fileOf(part)), "-C", path.join(unpacked, part));
  }
});
after(() => fs.rmSync(unpacked, { recursive: true }));

describe("what is packed", () => {
  for (const part of ["main", ...parts]) {
    test(`${part} is at most 12 MB`, () => {
      const { size } = fs.statSync(path.join(packages, fileOf(part)));
      assert.ok(size <= LARGEST, `${size} bytes`);
    });
  }

  for (const { part, name, file } of executables.filter(({ part }) => !part.startsWith("darwin"))) {
    test(`${part}: ${name} is for the machines that it says, and needs nothing that older ones lack`, () => {
      const isArm = /arm64/.test(`${part} ${name}`);
      const isStatic = part === "stubs" || part.endsWith("musl");
      assert.match(run("readelf", "--file-header", file), isArm ? /Machine: +AArch64/ : /Machine: +Advanced Micro Devices X86-64/);
      assert.equal(fs.statSync(file).mode & 0o777, 0o755);
      const segments = run("readelf", "--wide", "--program-headers", file);
      assert.equal(/ INTERP /.test(segments), !isStatic);
      assert.doesNotMatch(run("readelf", "--wide", "--sections", file), /\.symtab|\.debug_/);
      const versions = [...run("readelf", "--wide", "--version-info", file).matchAll(/GLIBC_(\d+)\.(\d+)/g)].map(([, major, minor]) => [+major, +minor]);
      const newer = versions.filter(([major, minor]) => major * 1000 + minor > OLDEST_GLIBC[0] * 1000 + OLDEST_GLIBC[1]);
      assert.deepEqual(newer, []);
      assert.equal(versions.length > 0, !isStatic);
    });

    test(`${part}: ${name} says nothing of the machine that built it`, () => {
      const content = fs.readFileSync(file);
      for (const where of [repository, os.homedir(), process.env.CARGO_TARGET_DIR, process.env.CARGO_HOME]) {
        if (where && where !== "/") assert.ok(!content.includes(Buffer.from(`${where}/`)), where);
      }
      assert.ok(!content.includes(Buffer.from(os.userInfo().username === "root" ? "/root/" : `/${os.userInfo().username}/`)));
    });
  }

  test("the notices name every crate that is in it", () => {
    const notices = fs.readFileSync(path.join(unpacked, parts[1] ?? "stubs", "package/THIRD-PARTY-NOTICES.txt"), "utf8");
    const targets = ["linux-gnu", "linux-musl"].flatMap((system) => [`x86_64-unknown-${system}`, `aarch64-unknown-${system}`]);
    const ours = JSON.parse(run("cargo", "metadata", "--locked", "--format-version=1", "--no-deps")).packages.map(({ name }) => name);
    const missing = new Set();
    for (const target of [...targets, "x86_64-apple-darwin", "aarch64-apple-darwin"]) {
      for (const crate of ["sst", "sst-stub"]) {
        const tree = run("cargo", "tree", "--locked", "--package", crate, "--target", target, "--edges", "normal", "--prefix", "none", "--format", "{p}");
        for (const line of new Set(tree.trim().split("\n"))) {
          const [name, version] = line.split(" ");
          const isNamed = notices.includes(`  ${name} ${version.slice(1)}`);
          if (!ours.includes(name) && !isNamed) missing.add(`${name} ${version}`);
        }
      }
    }
    assert.deepEqual([...missing], []);
  });
});
