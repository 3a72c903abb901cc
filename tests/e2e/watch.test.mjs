// Whatever a build has read is noticed when it is saved, wherever it is and however it is saved, and builds exactly the functions that
// have read it, once. One session for the entire table: a project in a subfolder of a monorepo that pnpm has installed.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, call, copyApp, gone, repository } from "./support/sst.mjs";

const app = "packages/app";
const handler = "export const handler = async () => value;\n";

/** Where each function's source is, and the file that has its value, with a text in which `VALUE` stands for it. */
const FUNCTIONS = {
  Own: [`${app}/src/own.ts`, `${app}/src/own.ts`, `const value = "VALUE";\n${handler}`],
  Shared: [`${app}/src/shared.ts`, "packages/shared/src/deep/value.ts", 'export const value: string = "VALUE";\n'],
  Twice: [`${app}/src/twice.ts`, "packages/shared/src/twice.ts", 'export const value: string = "VALUE";\n'],
  Path: [`${app}/src/path.ts`, "packages/lib/VALUE/x.ts", undefined],
  Package: [`${app}/src/package.ts`, "node_modules/dep/package.json", undefined],
  Installed: [`${app}/npm/installed.ts`, `${app}/npm/node_modules/installed/package.json`, undefined],
  Generated: [`${app}/src/generated.ts`, `${app}/made/code.ts`, 'export const value = "VALUE";\n'],
  Target: [`${app}/src/target/target.ts`, `${app}/src/target/value.json`, '{ "value": "VALUE" }\n'],
  Link: [`${app}/src/link.ts`, "packages/linked/value.ts", 'export const value = "VALUE";\n'],
  Rival: [`${app}/src/rival.ts`, `${app}/src/rival/value.ts`, 'export const value = "VALUE";\n'],
  Node: [`${app}/node`, `${app}/node/target/value.json`, '{ "value": "VALUE" }\n'],
  Python: [`${app}/python`, "packages/linked-python/value.py", "value = 'VALUE'\n"],
  Editable: [`${app}/python-editable`, "packages/editable/src/edited/__init__.py", "value = 'VALUE'\n"],
  Finder: [`${app}/python-finder`, "packages/finder/found/__init__.py", "value = 'VALUE'\n"],
  Go: [`${app}/go`, "packages/golib/lib.go", 'package golib\n\nconst Value = "VALUE"\n'],
  GoWork: [`${app}/go-work`, "packages/worklib/lib.go", 'package worklib\n\nconst Value = "VALUE"\n'],
  Rust: [`${app}/rust`, "packages/rustlib/src/lib.rs", 'pub const VALUE_: &str = "VALUE";\n'],
};

/** A client of the Runtime API in few words. */
const GO = `package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"

	"example.com/golib"
)

func main() {
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		next, err := http.Get(base + "next")
		if err != nil {
			return
		}
		next.Body.Close()
		text, _ := json.Marshal(golib.Value)
		answer, err := http.Post(base+next.Header.Get("Lambda-Runtime-Aws-Request-Id")+"/response", "", strings.NewReader(string(text)))
		if err == nil {
			answer.Body.Close()
		}
	}
}
`;
const RUST = `use std::{env, io::{Read, Write}, net::TcpStream};

fn ask(head: &str, body: &str) -> String {
    let api = env::var("AWS_LAMBDA_RUNTIME_API").unwrap();
    let mut stream = TcpStream::connect(&api).unwrap();
    let length = body.len();
    write!(stream, "{head} HTTP/1.1\\r\\nHost: {api}\\r\\nConnection: close\\r\\nContent-Length: {length}\\r\\n\\r\\n{body}").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn main() {
    loop {
        let next = ask("GET /2018-06-01/runtime/invocation/next", "");
        let mut headers = next.lines().filter_map(|line| line.split_once(": "));
        let id = headers.find(|(name, _)| name.eq_ignore_ascii_case("lambda-runtime-aws-request-id")).unwrap().1;
        let value = if cfg!(told) { "told" } else { rustlib::VALUE_ };
        ask(&format!("POST /2018-06-01/runtime/invocation/{id}/response"), &format!("\\"{value}\\""));
    }
}
`;

const files = (value) => ({
  "package.json": JSON.stringify({
    private: true,
    dependencies: { "@acme/config": "link:packages/config", "@acme/shared": "link:packages/shared", dep: "file:dep-1.0.0.tgz" },
  }),
  "tsconfig.base.json": JSON.stringify({ extends: "@acme/config/paths.json", compilerOptions: { strict: true } }),
  "packages/config/package.json": '{ "name": "@acme/config", "version": "1.0.0" }',
  "packages/config/paths.json": '{\n  // As TypeScript allows it.\n  "compilerOptions": { "paths": { "@lib/*": ["../lib/one/*", "../../../packages/lib/one/*"], }, },\n}\n',
  "packages/infra/names.js": 'exports.stack = "watch";\n',
  "packages/lib/one/x.ts": 'export const value = "one";\n',
  "packages/lib/two/x.ts": 'export const value = "two";\n',
  "packages/shared/package.json": '{ "name": "@acme/shared", "main": "src/index.ts" }',
  "packages/shared/src/index.ts": 'export { value } from "./deep/value.js";\nexport { value as twice } from "./twice";\n',
  [`${app}/package.json`]: '{ "private": true }',
  [`${app}/tsconfig.json`]: '{ "extends": "../../tsconfig.base.json" }',
  [`${app}/.gitignore`]: "made/\nnode_modules\n",
  [`${app}/src/shared.ts`]: `import { value } from "@acme/shared";\n${handler}`,
  [`${app}/src/twice.ts`]: `import { twice as value } from "@acme/shared";\n${handler}`,
  [`${app}/src/path.ts`]: `import { value } from "@lib/x";\n${handler}`,
  [`${app}/src/package.ts`]: `import { value } from "dep";\n${handler}`,
  [`${app}/npm/package.json`]: '{ "private": true }',
  [`${app}/npm/installed.ts`]: `import { value } from "installed";\n${handler}`,
  [`${app}/src/generated.ts`]: `import { value } from "../made/code";\n${handler}`,
  [`${app}/src/target/target.ts`]: `import { value } from "./value.json";\n${handler}`,
  [`${app}/src/link.ts`]: `import { value } from "./linked/value";\n${handler}`,
  [`${app}/src/rival.ts`]: `import { value } from "./rival/value";\n${handler}`,
  [`${app}/node/index.js`]: 'const { value } = require("./target/value.json");\nexports.handler = async () => value;\n',
  [`${app}/python/index.py`]: "from linked.value import value\n\ndef handler(event, context):\n    return value\n",
  [`${app}/python-editable/index.py`]: "from edited import value\n\ndef handler(event, context):\n    return value\n",
  [`${app}/python-finder/index.py`]: "from found import value\n\ndef handler(event, context):\n    return value\n",
  "packages/finder/pyproject.toml": '[build-system]\nrequires = ["setuptools==80.9.0"]\nbuild-backend = "setuptools.build_meta"\n\n[project]\nname = "found"\nversion = "1.0.0"\n\n[tool.setuptools]\npackages = ["found"]\n',
  [`${app}/go/go.mod`]: "module example.com/app\n\ngo 1.21\n\nrequire example.com/golib v0.0.0\n\nreplace example.com/golib => ../../golib\n",
  [`${app}/go/main.go`]: GO,
  "packages/golib/go.mod": "module example.com/golib\n\ngo 1.21\n",
  [`${app}/go-work/go.mod`]: "module example.com/worked\n\ngo 1.21\n",
  [`${app}/go-work/go.work`]: "go 1.21\n\nuse (\n\t.\n\t../../worklib\n)\n",
  [`${app}/go-work/main.go`]: GO.replaceAll("golib", "worklib"),
  "packages/worklib/go.mod": "module example.com/worklib\n\ngo 1.21\n",
  "packages/worklib-two/go.mod": "module example.com/worklib\n\ngo 1.21\n",
  "packages/worklib-two/lib.go": 'package worklib\n\nconst Value = "two"\n',
  [`${app}/rust/Cargo.toml`]: '[package]\nname = "watched"\nversion = "0.0.0"\nedition = "2021"\n\n[dependencies]\nrustlib = { path = "../../rustlib" }\n\n[workspace]\n',
  [`${app}/rust/src/main.rs`]: RUST,
  "packages/rustlib/Cargo.toml": '[package]\nname = "rustlib"\nversion = "0.0.0"\nedition = "2021"\n',
  ...Object.fromEntries(Object.values(FUNCTIONS).flatMap(([, file, text]) => (text ? [[file, text.replaceAll("VALUE", value)]] : []))),
  // The name has `VALUE` in it as well.
  "packages/rustlib/src/lib.rs": `pub const VALUE_: &str = "${value}";\n`,
});

/** The runtimes of the functions that do not run on Node. */
const RUNTIMES = {
  Python: "PYTHON_3_11",
  Editable: "PYTHON_3_11",
  Finder: "PYTHON_3_11",
  Go: "PROVIDED_AL2023",
  GoWork: "PROVIDED_AL2023",
  Rust: "PROVIDED_AL2023",
};

const LINKS = {
  [`${app}/src/linked`]: "../../linked",
  [`${app}/python/linked`]: "../../linked-python",
};

function cdkApp() {
  const functions = Object.keys(FUNCTIONS).map((id) => {
    const source = path.relative(app, FUNCTIONS[id][0]);
    const runtime = RUNTIMES[id] ?? "NODEJS_22_X";
    const code = source.endsWith(".ts") ? "empty" : source;
    return `new Function(stack, "${id}", { code: Code.fromAsset("${code}"), runtime: Runtime.${runtime}, handler: "index.handler", timeout });`;
  });
  return `const { App, Duration, Stack } = require("aws-cdk-lib");
const { Code, Function, Runtime } = require("aws-cdk-lib/aws-lambda");
const stack = new Stack(new App(), require("../infra/names.js").stack);
const timeout = Duration.seconds(60);
${functions.join("\n")}
`;
}

describe("what is noticed when it is saved", () => {
  let base;
  let sst;

  const write = (file, text) => {
    fs.mkdirSync(path.dirname(path.join(base, file)), { recursive: true });
    fs.writeFileSync(path.join(base, file), text);
  };
  const git = (...args) => execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@example.com", ...args], { cwd: base, stdio: "pipe" });
  const npm = (version) =>
    execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", `../../../installed-${version}.tgz`], {
      cwd: path.join(base, app, "npm"),
      stdio: "pipe",
    });
  const pnpm = (...command) => {
    const program = path.join(repository, "tests/fixtures/node_modules/pnpm/bin/pnpm.cjs");
    const options = ["--offline", "--ignore-scripts", "--store-dir=node_modules/.store"];
    execFileSync(process.execPath, [program, ...command, ...options], { cwd: base, stdio: "pipe" });
  };

  before(async () => {
    const modules = path.join(repository, "tests/fixtures/node_modules");
    base = copyApp("tests/fixtures/apps/cdk-plain/bin", null);
    for (const [file, text] of Object.entries(files("first"))) write(file, text);
    for (const [link, target] of Object.entries(LINKS)) {
      fs.mkdirSync(path.dirname(path.join(base, link)), { recursive: true });
      fs.symlinkSync(target, path.join(base, link));
    }
    write(`${app}/empty/index.js`, "");
    write(`${app}/app.js`, cdkApp());
    write(`${app}/cdk.json`, '{ "app": "node app.js" }');
    const mapped = Object.entries(FUNCTIONS).filter(([, [source]]) => source.endsWith(".ts"));
    const mappings = mapped.map(([id, [source]]) => [`watch/${id}`, { entry: path.relative(app, source), handler: "handler" }]);
    // With the mark that some editors write.
    write(`${app}/sst.json`, `\uFEFF${JSON.stringify({ name: "watch", regoin: "x", functions: Object.fromEntries(mappings) })}`);
    fs.symlinkSync(modules, path.join(base, app, "node_modules"));
    for (const version of ["1.0.0", "2.0.0"]) {
      for (const name of ["installed", "dep"]) {
        write(`${name}/package.json`, JSON.stringify({ name, version }));
        write(`${name}/index.js`, `exports.value = "${version}";\n`);
        execFileSync("npm", ["pack", `./${name}`], { cwd: base, stdio: "pipe" });
      }
    }
    npm("1.0.0");
    pnpm("install");
    const environment = path.join(base, app, "python-editable/.venv");
    execFileSync("python3", ["-m", "venv", "--without-pip", environment]);
    const [python] = fs.readdirSync(path.join(environment, "lib"));
    fs.writeFileSync(path.join(environment, "lib", python, "site-packages/edited.pth"), path.join(base, "packages/editable/src") + "\n");
    // It is no directory of the path, so setuptools makes a finder for it.
    const found = path.join(base, app, "python-finder/.venv");
    execFileSync("python3", ["-m", "venv", found]);
    const options = ["--quiet", "--disable-pip-version-check", "--no-deps"];
    execFileSync(path.join(found, "bin/python"), ["-m", "pip", "install", ...options, "--editable", path.join(base, "packages/finder")]);
    assert.ok(fs.readdirSync(path.join(found, "lib", python, "site-packages")).some((file) => /^__editable___found_.*_finder\.py$/.test(file)));
    git("init", "--quiet", "--initial-branch=main");
    write(".gitignore", "node_modules\n.sst\n.venv\n*.egg-info\ntarget/\n!/packages/app/src/target/\n!/packages/app/node/target/\n*.tgz\n");
    git("add", "--all", ".");
    git("commit", "--quiet", "--message=first");
    sst = await Sst.start(path.join(base, app), ["--increase-timeout"], {
      RUST_LOG: "sst::builder=debug,sst::core::builds=debug",
      CARGO_TARGET_DIR: undefined,
    });
    for (const id of Object.keys(FUNCTIONS)) assert.equal(await answerOf(id), first(id), id);
  });
  after(async () => {
    await sst?.stop();
    if (base) {
      await gone(base);
      fs.rmSync(base, { recursive: true, force: true });
    }
  });

  const first = (id) => ({ Path: "one", Package: "1.0.0", Installed: "1.0.0" })[id] ?? "first";
  const answerOf = async (id) => {
    const answer = await call(sst.session(), `watch/${id}`, {});
    assert.equal(answer.outcome, "returned", `${id}: ${JSON.stringify(answer)}\n${sst.output}`);
    return JSON.parse(Buffer.from(answer.body, "base64"));
  };
  /** Does something, waits for what is printed of it, and says which builds began until a later save was noticed and nothing was left to build. */
  let marks = 0;
  const buildsOf = async (act, expected) => {
    const from = sst.output.length;
    act();
    for (const pattern of expected) await sst.waitFor(pattern, from);
    const until = sst.output.length;
    write(`${app}/src/own.ts`, `const value = "mark ${++marks}";\n${handler}`);
    await sst.waitFor(built("Own"), until);
    // What is printed of it comes another way.
    await sst.waitFor(/a build begins function=watch\/Own[^]*nothing is left to build ahead/, until);
    const begun = [...sst.output.slice(from).matchAll(/a build begins function=watch\/(\w+)/g)].map(([, id]) => id);
    begun.splice(begun.lastIndexOf("Own"), 1);
    return begun.sort();
  };
  const built = (id) => new RegExp(`BUILT +watch/${id} `);

  const plain = Object.entries(FUNCTIONS).filter(([id, [, , text]]) => text && id !== "Own");
  let values = 0;
  for (const [id, [, file, text]] of plain) {
    const concerned = [id === "Shared" || id === "Twice" ? ["Shared", "Twice"] : [id]].flat();
    const next = () => {
      // Each of another length: within a second Python tells files apart by that.
      const value = `changed ${"i".repeat(++values)}`;
      return { value, content: id === "Rust" ? `pub const VALUE_: &str = "${value}";\n` : text.replaceAll("VALUE", value) };
    };
    const WAYS = {
      "written in place": (content) => write(file, content),
      "written beside and renamed over": (content) => {
        // As Vim does it, and npm's write-file-atomic.
        const beside = path.join(path.dirname(file), `.${path.basename(file)}.swp`);
        write(beside, content);
        fs.renameSync(path.join(base, beside), path.join(base, file));
      },
    };
    for (const [way, save] of Object.entries(WAYS)) {
      test(`${id}: ${path.relative(app, file)} ${way}`, async () => {
        const { value, content } = next();
        // A file that both have read is built for both, and is new only for the one that uses it.
        assert.deepEqual(await buildsOf(() => save(content), [built(id)]), concerned);
        assert.equal(await answerOf(id), value);
      });
    }
    test(`${id}: ${path.relative(app, file)} deleted and restored`, async () => {
      const { value, content } = next();
      const isBundled = FUNCTIONS[id][0].endsWith(".ts") || RUNTIMES[id] === "PROVIDED_AL2023";
      const gone = isBundled ? new RegExp(`BROKEN +watch/${id} `) : built(id);
      const removed = await buildsOf(() => fs.rmSync(path.join(base, file)), [gone]);
      assert.deepEqual(removed, concerned);
      assert.deepEqual(await buildsOf(() => write(file, content), [built(id)]), concerned);
      assert.equal(await answerOf(id), value);
    });
  }

  test("a configuration that is extended by way of a package", async () => {
    const text = fs.readFileSync(path.join(base, "packages/config/paths.json"), "utf8");
    // All that is bundled below that configuration reads it; for one the outcome is another one.
    const begun = await buildsOf(() => write("packages/config/paths.json", text.replaceAll("/one/", "/two/")), [built("Path")]);
    assert.equal(begun.filter((id) => id === "Path").length, 1);
    assert.ok(!["Node", ...Object.keys(RUNTIMES)].some((id) => begun.includes(id)), begun.join());
    assert.equal(await answerOf("Path"), "two");
  });

  test("a workspace of Go that leads to another module of that name", async () => {
    const text = fs.readFileSync(path.join(base, app, "go-work/go.work"), "utf8");
    const act = () => write(`${app}/go-work/go.work`, text.replace("worklib", "worklib-two"));
    assert.deepEqual(await buildsOf(act, [built("GoWork")]), ["GoWork"]);
    assert.equal(await answerOf("GoWork"), "two");
  });

  test("what Cargo is told in a directory above its workspace", async () => {
    const file = ".cargo/config.toml";
    const before = await answerOf("Rust");
    // Its directory comes first, which is a change as well.
    const begun = await buildsOf(() => write(file, '[build]\nrustflags = ["--cfg", "told"]\n'), [built("Rust")]);
    assert.deepEqual([...new Set(begun)], ["Rust"]);
    assert.equal(await answerOf("Rust"), "told");
    assert.deepEqual(await buildsOf(() => fs.rmSync(path.join(base, file)), [built("Rust")]), ["Rust"]);
    assert.equal(await answerOf("Rust"), before);
  });

  test("`pnpm add` of another version", async () => {
    const begun = await buildsOf(() => pnpm("add", "file:dep-2.0.0.tgz"), [built("Package")]);
    // For one the outcome is another one. Others have read the `package.json` as well, or where pnpm notes what is installed.
    assert.ok(!Object.keys(RUNTIMES).some((id) => begun.includes(id)), begun.join());
    assert.equal(await answerOf("Package"), "2.0.0");
  });

  test("`npm install` of another version", async () => {
    const begun = await buildsOf(() => npm("2.0.0"), [built("Installed")]);
    // npm writes for a while, and whatever is built meanwhile is built again.
    assert.deepEqual([...new Set(begun)], ["Installed"]);
    assert.equal(await answerOf("Installed"), "2.0.0");
  });

  test("the checkout of another branch", async () => {
    git("checkout", "--quiet", "--force", "main");
    git("checkout", "--quiet", "-b", "other");
    const ids = plain.map(([id]) => id).filter((id) => id !== "Generated");
    const changed = files("branched");
    for (const id of ids) write(FUNCTIONS[id][1], changed[FUNCTIONS[id][1]]);
    git("commit", "--quiet", "--all", "--message=other");
    const is = async (value) => {
      for (const id of ids) {
        const from = Date.now();
        let answer;
        while ((answer = await answerOf(id)) !== value && Date.now() - from < 60_000);
        assert.equal(answer, value, id);
      }
    };
    await is("branched");
    git("checkout", "--quiet", "main");
    await is("first");
  });

  test("a file that nobody has looked for builds nothing, and one that is found before another does", async () => {
    for (const file of ["src/nobody.ts", "src/deep/nobody.ts", "go/notes.txt", "../shared/src/other.ts", "../golib/notes.md"]) {
      assert.deepEqual(await buildsOf(() => write(path.join(app, file), ""), []), [], file);
    }
    const rival = `${app}/src/rival/value.tsx`;
    assert.deepEqual(await buildsOf(() => write(rival, 'export const value = "rival";\n'), [built("Rival")]), ["Rival"]);
    assert.equal(await answerOf("Rival"), "rival");
    assert.deepEqual(await buildsOf(() => fs.rmSync(path.join(base, rival)), [built("Rival")]), ["Rival"]);
    assert.deepEqual(await buildsOf(() => write("packages/golib/new.go", 'package golib\n\nconst Other = ""\n'), []), ["Go"]);
    // A package of its own comes before the one that is installed above.
    const own = `${app}/src/node_modules/dep`;
    const act = () => {
      write(`${own}/package.json`, '{ "name": "dep", "version": "3.0.0" }');
      write(`${own}/index.js`, 'exports.value = "3.0.0";\n');
    };
    await buildsOf(act, [built("Package")]);
    assert.equal(await answerOf("Package"), "3.0.0");
  });

  test("a file outside of the project that the stacks are made of", async () => {
    const from = sst.output.length;
    write("packages/infra/names.js", '// Another one.\nexports.stack = "watch";\n');
    await sst.waitFor(/Nothing to deploy/, from);
  });

  test("what is wrong in `sst.json` is told, and a byte order mark is not", () => {
    assert.match(sst.output, /`regoin` in `[^`]+sst\.json` is not known, and has no effect: did you mean `region`\?/);
  });
});
