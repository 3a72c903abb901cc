// `sst init` for each language, from an empty directory to an answer of the code that was saved last, with the packages that it installs; and
// what it does where something is there already.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, binary, cargoTarget, repository, until } from "./support/sst.mjs";

const target = process.env.CARGO_TARGET_DIR ?? path.join(repository, "target");

const scratches = [];
after(() => scratches.forEach((one) => fs.rmSync(one, { recursive: true, force: true })));

function scratch() {
  const directory = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-init-"));
  scratches.push(directory);
  return directory;
}

/** Runs the program to its end, as a user does in a directory. */
function run(cwd, args, env = {}) {
  const variables = { ...process.env, SST_NPM_ROOT: path.join(repository, "npm"), NO_COLOR: "1", npm_config_user_agent: "", ...env };
  const { status, stdout, stderr } = spawnSync(binary(), args, { cwd, encoding: "utf8", env: variables, timeout: 180_000 });
  return { status, output: stdout + stderr };
}

/** The last line that it prints. */
const lastLine = (output) => output.trimEnd().split("\n").pop().trim();

/** What a shell prints that runs a line. */
const shell = (line, cwd, env = {}) =>
  spawnSync("sh", ["-c", line], { cwd, encoding: "utf8", env: { ...process.env, SST_NPM_ROOT: path.join(repository, "npm"), ...env }, timeout: 60_000 });

const LANGUAGES = {
  javascript: "functions/hello.js",
  typescript: "functions/hello.ts",
  python: "functions/hello.py",
  go: "functions/hello/main.go",
  rust: "functions/hello/src/main.rs",
  java: "functions/hello/src/main/java/hello/Hello.java",
};

describe("an app in each language", { concurrency: 2 }, () => {
  // What makes them run is installed by `make`.
  before(() => assert.equal(shell(path.join(repository, "tests/java/install.sh"), repository).status, 0));

  test("there is no other language", () => {
    assert.deepEqual(fs.readdirSync(path.join(repository, "templates")).sort(), Object.keys(LANGUAGES).sort());
  });

  for (const [language, file] of Object.entries(LANGUAGES)) {
    test(language, async () => {
      const parent = scratch();
      const { status, output } = run(parent, ["init", "my-app", "--language", language]);
      assert.equal(status, 0, output);
      assert.equal(lastLine(output), `cd my-app && ${binary()} start --local`);
      const directory = path.join(parent, "my-app");
      if (language === "rust") {
        fs.mkdirSync(cargoTarget(directory), { recursive: true, mode: 0o700 });
        // What it depends on is compiled by `make`, as for other apps with functions in Rust.
        const compiled = path.join(target, "functions");
        if (fs.existsSync(compiled)) fs.cpSync(fs.realpathSync(compiled), cargoTarget(directory), { recursive: true, preserveTimestamps: true });
      }
      if (language === "typescript") {
        const checked = shell("npm run check", directory);
        assert.equal(checked.status, 0, checked.stdout);
      }
      const sst = await Sst.start(directory);
      try {
        const ask = () => shell(`curl --silent --fail "$(${binary()} outputs ApiEndpoint)/hello/Ann"`, directory).stdout;
        assert.equal(ask(), "Hello, Ann!\n");
        const from = sst.output.length;
        const source = path.join(directory, file);
        fs.writeFileSync(source, fs.readFileSync(source, "utf8").replace("Hello, ", "Good morning, "));
        await sst.waitFor(/built.*api\/Hello/i, from);
        assert.equal(ask(), "Good morning, Ann!\n");
        // What no event of an API has the parameter for is greeted as well.
        const invoked = run(directory, ["invoke", "Hello"]);
        assert.equal(invoked.status, 0, invoked.output);
        assert.match(invoked.output, /Good morning, world!/);
        assert.doesNotMatch(sst.output, /^error/m);
      } finally {
        await sst.stop();
      }
      // What is deployed without stubs is built by the construct: in Rust with `cargo lambda`, which need not be here.
      if (language !== "rust") {
        const built = run(directory, ["build", "--local"]);
        assert.equal(built.status, 0, built.output);
      }
      const again = run(parent, ["init", "my-app", "--language", language, "--no-install"]);
      assert.equal(again.status, 0, again.output);
      assert.doesNotMatch(again.output, /^wrote/m);
    });
  }
});

describe("a directory with something in it", () => {
  test("a package keeps what it has", () => {
    const directory = scratch();
    const packages = '{\n\t"name": "@scope/notes",\n\t"dependencies": {\n\t\t"aws-cdk-lib": "2.100.0"\n\t}\n}\n';
    fs.writeFileSync(path.join(directory, "package.json"), packages);
    fs.writeFileSync(path.join(directory, ".gitignore"), "/node_modules\n*.log");
    const { status, output } = run(directory, ["init", "--language", "javascript", "--no-install"]);
    assert.equal(status, 0, output);
    const merged = packages.replace("\n}\n", ',\n\t"devDependencies": {\n\t\t"constructs": "^10"\n\t}\n}\n');
    assert.equal(fs.readFileSync(path.join(directory, "package.json"), "utf8"), merged);
    assert.equal(fs.readFileSync(path.join(directory, ".gitignore"), "utf8"), "/node_modules\n*.log\n.sst/\ncdk.out/\n");
    assert.equal(JSON.parse(fs.readFileSync(path.join(directory, "sst.json"))).name, "notes");
  });

  for (const [name, version, lock] of [["pnpm", "9.15.9", "pnpm-lock.yaml"], ["yarn", "1.22.22", "yarn.lock"]]) {
    test(`${name} installs where it is the project's own`, async () => {
      const tools = scratch();
      execFileSync("npm", ["install", "--silent", "--no-audit", "--no-fund", "--prefix", tools, `${name}@${version}`], { stdio: ["ignore", "inherit", "inherit"] });
      const directory = scratch();
      // No `type`, as in many packages, so that the files of the app are modules by their syntax only.
      // Later ones bring a package along that Yarn asks the registry for all the same.
      const dependencies = { "aws-cdk-lib": "2.220.0" };
      fs.writeFileSync(path.join(directory, "package.json"), JSON.stringify({ name: "notes", private: true, packageManager: `${name}@${version}`, dependencies }));
      // In a pipeline they would change no lock file if they were not told to.
      const env = { PATH: `${tools}/node_modules/.bin:${process.env.PATH}`, CI: "true" };
      const { status, output } = run(directory, ["init", "--language", "javascript"], env);
      assert.equal(status, 0, output);
      assert.ok(fs.existsSync(path.join(directory, lock)));
      assert.ok(!fs.existsSync(path.join(directory, "package-lock.json")));
      const sst = await Sst.start(directory);
      try {
        const response = await fetch(`${sst.stackOutput("ApiEndpoint")}/hello/Ann`);
        assert.equal(await response.text(), "Hello, Ann!\n");
      } finally {
        await sst.stop();
      }
    });
  }

  test("with the package in `node_modules`, the last line runs that", () => {
    for (const [lock, line] of [["package-lock.json", "npx sst start --local"], ["yarn.lock", "yarn sst start --local"]]) {
      const directory = scratch();
      fs.writeFileSync(path.join(directory, lock), "");
      fs.mkdirSync(path.join(directory, "node_modules/.bin"), { recursive: true });
      fs.writeFileSync(path.join(directory, "node_modules/.bin/sst"), "");
      const { output } = run(directory, ["init", "--language", "go", "--no-install"]);
      const install = `${line.startsWith("npx") ? "npm" : "yarn"} install`;
      assert.equal(lastLine(output), `${install} && ${line}`, output);
    }
  });

  test("packages that cannot be installed are one error, and everything else is there", () => {
    const directory = scratch();
    const offline = { npm_config_registry: "http://127.0.0.1:1", npm_config_cache: scratch(), npm_config_fetch_retries: "0" };
    const { status, output } = run(directory, ["init", "app", "--language", "python"], offline);
    assert.equal(status, 3, output);
    assert.match(output, /^error: the packages are not installed: `npm install` failed$/m);
    assert.equal(output.match(/^error/gm).length, 1);
    assert.match(output, /^hint: everything is written; later: cd app && npm install && \S+ start --local$/m);
    for (const file of ["sst.json", ".vscode/launch.json"]) assert.ok(fs.existsSync(path.join(directory, "app", file)), file);
    // The same once more goes on where it has ended.
    const again = run(directory, ["init", "app", "--language", "python"]);
    assert.equal(again.status, 0, again.output);
    assert.ok(fs.existsSync(path.join(directory, "app/node_modules/aws-cdk-lib")));
  });

  test("an app that is there is refused, and named", () => {
    for (const [file, text] of [["sst.json", '{ "name": "mine" }'], ["cdk.json", '{ "app": "node app.js" }'], ["stacks/index.ts", "mine"]]) {
      const directory = scratch();
      fs.mkdirSync(path.dirname(path.join(directory, file)), { recursive: true });
      fs.writeFileSync(path.join(directory, file), text);
      const before = fs.readdirSync(directory, { recursive: true });
      const { status, output } = run(directory, ["init"]);
      assert.equal(status, 2, output);
      assert.match(output, new RegExp(`^error: .*\`${file}\`.*\nhint: `, "m"));
      assert.deepEqual(fs.readdirSync(directory, { recursive: true }), before);
    }
  });
});

describe("in a terminal", () => {
  test("the language is asked for, and Ctrl-C while packages are installed leaves what a second run completes", async () => {
    const directory = scratch();
    // A package manager that never ends by itself, and says when it has begun.
    const bin = scratch();
    fs.writeFileSync(path.join(bin, "npm"), "#!/bin/sh\ntouch begun\nexec sleep 600\n", { mode: 0o755 });
    const env = { PATH: `${bin}:${process.env.PATH}`, npm_config_user_agent: "" };
    const asked = new Sst(directory, ["init"], env, { terminal: [100, 30] });
    await asked.waitFor(/Language \(go, java, javascript, python, rust, typescript\), or ENTER for `typescript`:/);
    const from = asked.output.length;
    asked.type("cobol\r");
    await asked.waitFor(/There is nothing for `cobol`\.[^]*Language \(/, from);
    asked.type("go\r");
    await asked.waitFor(/Installing the packages/);
    await until("its beginning", () => fs.existsSync(path.join(directory, "begun")));
    asked.type("\x03");
    assert.equal((await asked.exited).code, 130);
    assert.ok(fs.existsSync(path.join(directory, "functions/hello/main.go")));

    const again = run(directory, ["init", "--language", "go", "--no-install"]);
    assert.equal(again.status, 0, again.output);
    const { configurations } = JSON.parse(fs.readFileSync(path.join(directory, ".vscode/launch.json"), "utf8"));
    const start = configurations.find(({ name }) => name === "Debug SST Start");
    assert.deepEqual(start.runtimeArgs, ["start", "--local", "--increase-timeout"]);
  });
});
