// Installs what is packed into scratch projects, with npm, pnpm and Yarn, from a registry on this machine. Programs that say how they were
// called stand for the native ones. Dependencies come from the package managers' caches or their registry.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";

import { PARTS, PLATFORMS, STUBS, manifestOf, nameOf, pack, source } from "../pack.mjs";
import { Registry } from "./support/registry.mjs";

const packageRoot = path.dirname(import.meta.dirname);
const managers = path.join(import.meta.dirname, "managers/node_modules");
const libc = process.report.getReport().header.glibcVersionRuntime ? "" : "-musl";
const here = `${process.platform}-${process.arch}${process.platform === "linux" ? libc : ""}`;
const LIMIT = { timeout: 300_000 };

let registry;
let packed;
const directories = [];
const yarnCache = scratch();

before(async () => {
  const programs = scratch();
  fs.mkdirSync(path.join(programs, "stubs"));
  for (const stub of STUBS) fs.writeFileSync(path.join(programs, "stubs", stub), "");
  const standIn = path.join(import.meta.dirname, "support/native.mjs");
  for (const platform of PLATFORMS) {
    fs.mkdirSync(path.join(programs, platform));
    fs.writeFileSync(path.join(programs, platform, "sst"), `#!/bin/sh\nexport SST_STAND_IN=${platform}\nexec node "${standIn}" "$@"\n`);
  }
  fs.writeFileSync(path.join(programs, "THIRD-PARTY-NOTICES.txt"), "");
  packed = pack(PARTS, { programs, out: scratch() });
  registry = await Registry.start(packed.map(({ part, file }) => ({ manifest: manifestOf(part), file })));
});

after(() => {
  registry?.close();
  for (const directory of directories) fs.rmSync(directory, { recursive: true, force: true });
});

function scratch() {
  const directory = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "sst-npm-")));
  directories.push(directory);
  return directory;
}

/** A project that finds our packages. */
function project(name = "scratch") {
  const directory = scratch();
  fs.writeFileSync(path.join(directory, "package.json"), JSON.stringify({ name, private: true }));
  const scope = source.name.split("/")[0];
  fs.writeFileSync(path.join(directory, ".npmrc"), `${scope}:registry=${registry.url}\n`);
  const scopes = { [scope.slice(1)]: { npmRegistryServer: registry.url } };
  const settings = { nodeLinker: "node-modules", npmScopes: scopes, unsafeHttpWhitelist: ["127.0.0.1"], enableGlobalCache: false, enableTelemetry: false };
  fs.writeFileSync(path.join(directory, ".yarnrc.yml"), JSON.stringify(settings));
  return directory;
}

/** Runs a program and returns how it ended: with `await`, because the registry answers meanwhile. */
async function run(directory, [command, ...args], env = {}) {
  // An empty variable is as none, and nobody's settings of Yarn for CI hold here. Its cache knows packages by their version.
  const variables = { ...process.env, SST_BINARY: "", SST_NPM_ROOT: "", SST_STUB_BINARY: undefined, CI: undefined, YARN_CACHE_FOLDER: yarnCache, YARN_GLOBAL_FOLDER: yarnCache, ...env };
  const child = spawn(command, args, { cwd: directory, env: variables, stdio: ["ignore", "pipe", "pipe"] });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) child[name].setEncoding("utf8").on("data", (text) => (output[name] += text));
  const [status] = await once(child, "close");
  return { status, ...output };
}

async function ok(directory, command, env) {
  const result = await run(directory, command, env);
  assert.equal(result.status, 0, `${command.join(" ")}\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

const npm = (directory, ...args) => ok(directory, ["npm", ...args, "--no-audit", "--no-fund"]);
const sst = (directory, ...args) => run(directory, [path.join(directory, "node_modules/.bin/sst"), ...args]);

/** The platforms whose programs are somewhere below a directory. */
function installedPlatforms(directory) {
  const parts = fs.readdirSync(directory, { recursive: true }).filter((file) => file.endsWith("bin/sst") && !file.includes(".bin/"));
  const names = parts.map((file) => JSON.parse(fs.readFileSync(path.join(directory, file, "../../package.json"), "utf8")).name);
  return [...new Set(names)].map((name) => name.slice(source.name.length + 1)).sort();
}

/** That what was installed works: the right program, its stubs, and what it finds from the package's own directory. */
async function works(directory, command = [path.join(directory, "node_modules/.bin/sst")]) {
  assert.deepEqual(JSON.parse(await ok(directory, [...command, "arguments", "a b"])), ["a b"]);
  const { platform, npmRoot, stubs } = JSON.parse(await ok(directory, [...command, "environment"]));
  assert.equal(platform, here);
  assert.equal(JSON.parse(fs.readFileSync(path.join(npmRoot, "package.json"), "utf8")).name, source.name);
  assert.deepEqual(stubs.map((stub) => path.basename(stub)), STUBS);
  for (const stub of stubs) assert.ok(fs.existsSync(stub), stub);
  // As the program and its scripts look for them.
  const found = (file) => ancestors(npmRoot).some((above) => fs.existsSync(path.join(above, "node_modules", file)));
  assert.ok(found("esbuild/package.json") && found("aws-cdk/bin/cdk"));
}

function ancestors(directory) {
  const above = path.dirname(directory);
  return above === directory ? [directory] : [directory, ...ancestors(above)];
}

describe("what is packed", () => {
  test("has one version, which is that of the program, and names that begin with that of the main package", () => {
    const cargo = fs.readFileSync(path.join(packageRoot, "../Cargo.toml"), "utf8");
    assert.equal(source.version, /^version = "(.*)"$/m.exec(cargo)[1]);
    const { dependencies, optionalDependencies } = manifestOf("main");
    assert.deepEqual(optionalDependencies, Object.fromEntries(PLATFORMS.map((platform) => [`${source.name}-${platform}`, source.version])));
    assert.equal(dependencies[`${source.name}-stubs`], source.version);
  });

  test("runs nothing when it is installed", () => {
    for (const { part } of packed) assert.equal(manifestOf(part).scripts, undefined, part);
  });

  test("cannot be published unless that was asked for", () => {
    for (const { part } of packed) {
      assert.equal(manifestOf(part).private, true, part);
      assert.equal(manifestOf(part, { isPublic: true }).private, undefined, part);
    }
  });

  test("has licences, and says for what it is", async () => {
    for (const { part, file } of packed) {
      const files = (await ok(path.dirname(file), ["tar", "-tf", file])).trim().split("\n").map((name) => name.replace("package/", ""));
      for (const name of ["LICENSE", "README.md", "THIRD-PARTY-NOTICES.txt", "package.json"]) assert.ok(files.includes(name), `${part}: ${name}`);
      const own = part === "main" ? ["bin/sst.mjs", "lib/installed.mjs"] : part === "stubs" ? STUBS : ["bin/sst"];
      assert.deepEqual(files.filter((name) => /^(bin|lib|sst-stub)/.test(name)).sort(), own, part);
    }
    assert.match(fs.readFileSync(path.join(packageRoot, "README.md"), "utf8"), new RegExp(`npm install --save-dev ${source.name}\n`));
    assert.deepEqual(
      PLATFORMS.map((part) => manifestOf(part)).map(({ os: [system], cpu: [processor], libc: [library] = [] }) => [system, processor, library]),
      [["linux", "x64", "glibc"], ["linux", "arm64", "glibc"], ["linux", "x64", "musl"], ["linux", "arm64", "musl"], ["darwin", "x64", undefined], ["darwin", "arm64", undefined]],
    );
  });
});

describe("each package manager", { concurrency: 2 }, () => {
  const script = (file) => [process.execPath, path.join(managers, file)];
  const ways = {
    npm: { add: ["npm", "install", "--no-audit", "--no-fund"] },
    pnpm: { add: [...script("pnpm/bin/pnpm.cjs"), "add"] },
    // It does not know `libc`, and so installs programs for both.
    "Yarn 1": { add: [...script("yarn/bin/yarn.js"), "add"], both: process.platform === "linux" },
    Yarn: { add: [...script("@yarnpkg/cli-dist/bin/yarn.js"), "add"] },
  };
  for (const [name, { add, both }] of Object.entries(ways)) {
    test(`${name} installs the program for this machine`, LIMIT, async () => {
      const directory = project();
      await ok(directory, [...add, source.name]);
      const others = here.endsWith("-musl") ? here.replace("-musl", "") : `${here}-musl`;
      assert.deepEqual(installedPlatforms(path.join(directory, "node_modules")), both ? [here, others].sort() : [here]);
      await works(directory);
    });
  }

  test("npm, for the whole machine", LIMIT, async () => {
    const directory = project();
    const prefix = scratch();
    // It does not read the project's settings then.
    const ours = `--${source.name.split("/")[0]}:registry=${registry.url}`;
    await npm(directory, "install", "--global", "--prefix", prefix, ours, source.name);
    await works(directory, [path.join(prefix, "bin/sst")]);
  });

  test("npm, in a workspace, at its top", LIMIT, async () => {
    const top = project();
    const member = path.join(top, "packages/app");
    fs.mkdirSync(member, { recursive: true });
    fs.writeFileSync(path.join(member, "package.json"), '{ "name": "app", "version": "1.0.0", "private": true }');
    fs.writeFileSync(path.join(top, "package.json"), '{ "name": "top", "private": true, "workspaces": ["packages/*"] }');
    await npm(top, "install", "--workspace", "app", source.name);
    await works(member, [path.join(top, "node_modules/.bin/sst")]);
  });

  test("npm, from the tarballs by themselves", LIMIT, async () => {
    const directory = project();
    const tarballs = packed.filter(({ part }) => ["main", "stubs", here].includes(part)).map(({ file }) => file);
    await npm(directory, "install", ...tarballs);
    await works(directory);
  });

  test("npm, a checkout, with a program of its own", LIMIT, async () => {
    const checkout = scratch();
    for (const name of ["package.json", "package-lock.json", ".npmrc", "bin", "lib"]) {
      fs.cpSync(path.join(packageRoot, name), path.join(checkout, name), { recursive: true });
    }
    await npm(checkout, "ci");
    const directory = project();
    await npm(directory, "install", checkout);
    const result = await sst(directory, "start");
    assert.equal(result.status, 3);
    assert.equal(result.stderr, `error: \`${checkout}\` is a checkout without a program: run \`make build\` in its repository, and let \`SST_BINARY\` name what that builds\n`);
    const env = { SST_BINARY: path.join(import.meta.dirname, "support/native.mjs") };
    const { npmRoot } = JSON.parse(await ok(directory, [path.join(directory, "node_modules/.bin/sst"), "environment"], env));
    assert.equal(npmRoot, checkout);
  });
});

describe("where there is no program, one sentence says why", { concurrency: 2 }, () => {
  async function refused(directory, expected, env = {}) {
    const result = await run(directory, [path.join(directory, "node_modules/.bin/sst"), "start"], env);
    assert.equal(result.status, 3, result.stdout + result.stderr);
    assert.equal(result.stderr, `error: ${expected}\n`);
    assert.equal(result.stdout, "");
  }

  test("optional dependencies were left out", LIMIT, async () => {
    const directory = project();
    await npm(directory, "install", "--omit=optional", source.name);
    const sentence = "the program for this machine, was not installed: install again, with optional dependencies (`npm install --include=optional`)";
    await refused(directory, `\`${nameOf(here)}\`, ${sentence}`);
    await npm(directory, "install", "--include=optional");
    await works(directory);
  });

  test("`node_modules` is from another machine; its lock file does here as well", LIMIT, async () => {
    const directory = project();
    const [system, processor, library] = here === "darwin-arm64" ? ["linux", "x64", "glibc"] : ["darwin", "arm64", ""];
    await npm(directory, "install", `--os=${system}`, `--cpu=${processor}`, ...(library ? [`--libc=${library}`] : []), source.name);
    await refused(directory, `\`node_modules\` was installed on another machine (${system}-${processor}; this one is ${here}): install it again here`);
    await npm(directory, "ci");
    await works(directory);
  });

  test("Yarn Plug'n'Play has no `node_modules`", LIMIT, async () => {
    const directory = project();
    const settings = path.join(directory, ".yarnrc.yml");
    const yarn = [process.execPath, path.join(managers, "@yarnpkg/cli-dist/bin/yarn.js")];
    const withLinker = (nodeLinker) => fs.writeFileSync(settings, JSON.stringify({ ...JSON.parse(fs.readFileSync(settings, "utf8")), nodeLinker }));
    withLinker("pnp");
    await ok(directory, [...yarn, "add", source.name]);
    const result = await run(directory, [...yarn, "sst", "start"]);
    assert.equal(result.status, 3);
    assert.equal(result.stderr, "error: `sst` does not work with Yarn Plug'n'Play: put `nodeLinker: node-modules` into `.yarnrc.yml` and run `yarn install`\n");
    withLinker("node-modules");
    await ok(directory, [...yarn, "install"]);
    await works(directory, [...yarn, "sst"]);
  });

  test("the system is none of those that there are programs for", LIMIT, async () => {
    const directory = project();
    await npm(directory, "install", source.name);
    for (const [name, value, system] of [
      ["platform", "win32", "Windows: use WSL 2, which is a Linux"],
      ["platform", "freebsd", `freebsd on ${process.arch}: use Linux or macOS`],
      ["arch", "s390x", `${process.platform} on s390x: use Linux or macOS`],
    ]) {
      const pretends = path.join(directory, "pretends.cjs");
      fs.writeFileSync(pretends, `Object.defineProperty(process, "${name}", { value: "${value}" });`);
      await refused(directory, `there is no \`sst\` for ${system}, on x64 or arm64`, { NODE_OPTIONS: `--require=${pretends}` });
    }
  });
});
