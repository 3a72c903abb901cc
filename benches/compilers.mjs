// From a save to the first answer of the new code, in Rust beside `cargo lambda watch`, in Go beside nobody, as there is no such tool; and in
// both beside the compiler alone, with the same profile and a target directory of the same kind: `make bench`. What is over the compiler's
// time is ours; it is to be 10 ms at most.

import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";

import { Sst, call, cargoTarget, clientOptions, copyApp, endsWithTests, freePort, repository, until } from "../tests/e2e/support/sst.mjs";
import { Figures, inTurns } from "./support/figures.mjs";
import { pip } from "./support/install.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

const AIM = 10;
const LANGUAGES = {
  Rust: { file: "rust/src/main.rs", before: '"language": "rust', compiler: ["cargo", "build", "--quiet"] },
  Go: { file: "go/main.go", before: '"language": "go', compiler: ["go", "build", "-gcflags=all=-N -l", "-o", "compiled", "."] },
};

const cargoLambda = path.join(pip("cargo-lambda", ["cargo-lambda==1.9.2"]), "cargo-lambda");
const figures = new Figures("compilers");
const app = copyApp("tests/fixtures/apps/languages");
// Whoever compiles has a copy, so that none finds what another one has compiled.
const [alone, watched] = [0, 1].map(() => copyApp("tests/fixtures/apps/languages", null));
const sst = await Sst.start(app);
const watch = await startWatch();
try {
  const lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
  for (const id of Object.keys(LANGUAGES)) {
    // Variables and credentials come with a call from the cloud.
    await lambda.send(new InvokeCommand({ FunctionName: sst.stackOutput(`Function${id}`), Payload: "{}" }));
    await saves(id);
  }
} finally {
  watch.child.kill();
  await sst.stop();
  for (const made of [app, alone, watched]) fs.rmSync(made, { recursive: true, force: true });
}
figures.save();

async function saves(id) {
  const { compiler } = LANGUAGES[id];
  const session = sst.session();
  const ours = async (version) => {
    save(id, app, version);
    await answerOf(id, version, async () => JSON.parse(Buffer.from((await call(session, `languages/${id}`, {})).body, "base64")));
  };
  const compile = async (version) => {
    const changed = save(id, alone, version);
    const env = { ...process.env, CARGO_TARGET_DIR: cargoTarget(alone) };
    const cwd = id === "Rust" ? path.join(alone, "rust") : path.dirname(changed);
    const [code] = await once(spawn(compiler[0], compiler.slice(1), { cwd, env, stdio: "ignore" }), "exit");
    if (code !== 0) throw new Error(`${compiler.join(" ")} ended with ${code}`);
  };
  const theirs = async (version) => {
    save(id, watched, version);
    // A call that comes while it starts the new program may never be answered, so none is waited for long.
    await answerOf(id, version, async () => (await fetch(watch.url, { method: "POST", body: "{}", signal: AbortSignal.timeout(250) })).json());
  };
  const name = `\`${compiler.join(" ")}\` alone`;
  const found = await inTurns({ ours, [name]: compile, ...(id === "Rust" && { "cargo lambda watch": theirs }) }, { before: 2 });
  figures.times(`save → answer: ${id}`, found);
  // Round by round, as the machine is not the same in each.
  figures.times(`over the compiler's time: ${id}`, { ours: found.ours.map((time, round) => time - found[name][round]) }, AIM);
}

/** Saves a function with another answer. */
function save(id, directory, version) {
  const { file, before } = LANGUAGES[id];
  const changed = path.join(directory, file);
  const text = fs.readFileSync(changed, "utf8").replace(new RegExp(`(${before})[^"]*"`), `$1 ${version}"`);
  fs.writeFileSync(changed, text);
  return changed;
}

/** Calls until the new code answers. What fails meanwhile is called again. */
async function answerOf(id, version, invoke) {
  const end = Date.now() + 60_000;
  for (;;) {
    const { language } = await invoke().catch(() => ({}));
    if (language === `${id.toLowerCase()} ${version}`) return;
    if (Date.now() > end) throw new Error(`${id}: old code answers a minute after a save: ${language}`);
    // The compiler needs the machine.
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Starts `cargo lambda watch` for the function in Rust. */
async function startWatch() {
  const port = await freePort();
  const env = { ...process.env, CARGO_TARGET_DIR: cargoTarget(watched) };
  const args = ["lambda", "watch", "--invoke-address", "127.0.0.1", "--invoke-port", String(port)];
  const child = endsWithTests(spawn(cargoLambda, args, { cwd: path.join(watched, "rust"), env, stdio: "ignore" }));
  const url = `http://127.0.0.1:${port}/2015-03-31/functions/behaviour/invocations`;
  await until("an answer of `cargo lambda watch`", () => fetch(url, { method: "POST", body: "{}" }).then(({ ok }) => ok, () => false), 120_000);
  return { child, url };
}
