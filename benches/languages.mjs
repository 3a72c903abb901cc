// What a new process, a debugger, and a saved file cost in each language: `make bench`. What counts are the ratios:
// each pair is measured in turns in one run, so that both sides meet the same machine.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { Hub } from "../tests/e2e/support/dap.mjs";
import { Sst, clientOptions, copyApp, repository } from "../tests/e2e/support/sst.mjs";
import { Figures, target, timed, inTurns as turns } from "./support/figures.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

const ROUNDS = Number(process.env.ROUNDS ?? 10);
const figures = new Figures("languages");
const inTurns = (sides) => turns(sides, { rounds: ROUNDS });

/** Where a function's code is, and what its developer would run by hand after a change. */
const LANGUAGES = {
  Node: { file: "node/index.js", byHand: ["node", "index.js"] },
  Python: { file: "python/pkg/behaviour.py", byHand: ["python3", "behaviour.py"] },
  Go: { file: "go/main.go", byHand: ["go", "build", "-gcflags=all=-N -l", "-o", "by-hand", "."] },
  Rust: { file: "rust/src/main.rs", byHand: ["cargo", "build", "--quiet"] },
};

const debuggers = path.join(target, "debuggers");
execFileSync(path.join(repository, "tests/debuggers/install.sh"), [debuggers], { stdio: ["ignore", "ignore", "inherit"] });
const environment = { PATH: `${debuggers}/bin:${process.env.PATH}`, VIRTUAL_ENV: `${debuggers}/python` };

const directory = copyApp("tests/fixtures/apps/languages");
const twin = copyApp("tests/fixtures/apps/languages", null);
// The other functions can exit when they are told to.
fs.appendFileSync(
  path.join(directory, "node/index.js"),
  "const { handler } = exports;\nexports.handler = (event) => (event.do === 'exit' ? process.exit(4) : handler(event));\n",
);
let sst;
try {
  sst = await Sst.start(directory, ["--increase-timeout"], environment);
  const lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
  for (const id of Object.keys(LANGUAGES)) {
    // Variables and credentials come with a call from the cloud.
    await lambda.send(new InvokeCommand({ FunctionName: sst.stackOutput(`Function${id}`), Payload: '{"value":"x"}' }));
    await processes(id);
    if (id !== "Node") await withDebugger(id);
    await reload(id);
  }
} finally {
  await sst?.stop();
  for (const made of [directory, twin]) fs.rmSync(made, { recursive: true, force: true });
}
figures.save();

/** A call that needs a new process, against one that finds a process. */
async function processes(id) {
  figures.times(`${id}: a call in a new process`, await inTurns({ "started for it": () => timeInNewProcess(id), "there already": () => invoke(id) }));
}

/** The same with an editor that debugs all languages, without a breakpoint. */
async function withDebugger(id) {
  const port = Number(sst.session().debugAdapter.split(":")[1]);
  const debugged = async () => {
    const hub = await Hub.attach(port, new Map());
    try {
      return await timeInNewProcess(id);
    } finally {
      hub.dap.vanish();
      for (const child of hub.children) child.dap.vanish();
    }
  };
  const sides = { "a debugger has attached before it": debugged, without: () => timeInNewProcess(id) };
  figures.times(`${id}: a call in a new process, debugged`, await inTurns(sides));
}

/** From saving a file to the answer of the new code, against building or loading the same by hand. */
async function reload(id) {
  const { file, byHand } = LANGUAGES[id];
  const save = (app) => {
    const changed = path.join(app, file);
    fs.writeFileSync(changed, `\n${fs.readFileSync(changed, "utf8")}`);
    return changed;
  };
  const saved = async () => {
    const from = sst.output.length;
    save(directory);
    await sst.waitFor(new RegExp(`built +languages/${id}\\b`, "i"), from);
    await invoke(id);
  };
  const alone = async () => {
    const changed = save(twin);
    const cwd = id === "Rust" ? path.join(twin, "rust") : path.dirname(changed);
    const env = { ...process.env, CARGO_TARGET_DIR: path.join(target, "bench/cargo") };
    const child = spawn(byHand[0], byHand.slice(1), { cwd, env, stdio: "ignore" });
    const [code] = await once(child, "exit");
    if (code !== 0) throw new Error(`${byHand.join(" ")} ended with ${code}`);
  };
  figures.times(`${id}: a saved file`, await inTurns({ "saved, built, and called": saved, [`\`${byHand.join(" ")}\`, nothing else`]: alone }));
}

/** The time of a call whose process does not live yet. */
async function timeInNewProcess(id) {
  const { outcome } = await send(id, { do: "exit" });
  if (outcome !== "failed") throw new Error(`${id} did not exit: ${outcome}`);
  return timed(() => invoke(id));
}

async function invoke(id) {
  const answer = await send(id, { value: "x" });
  if (answer.outcome !== "returned") throw new Error(`${id}: ${JSON.stringify(answer)}`);
}

/** A call as `sst invoke` makes it: a local cloud takes its time for each call, which would hide what is measured. */
async function send(id, event) {
  const { control, token } = sst.session();
  const url = `http://${control}/api/v1/functions/${encodeURIComponent(`languages/${id}`)}/invoke`;
  const answer = await fetch(url, { method: "POST", headers: { authorization: `Bearer ${token}` }, body: JSON.stringify(event) });
  return answer.json();
}
