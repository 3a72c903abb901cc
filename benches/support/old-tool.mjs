// Starts the runtime server of SST 0.69.7 for an app: see `old-tool.cjs`.

import { spawn } from "node:child_process";
import process from "node:process";
import readline from "node:readline";
import { fileURLToPath } from "node:url";

import { endsWithTests } from "../../tests/e2e/support/sst.mjs";
import { modules } from "./classic.mjs";

/** A running one. */
export class OldTool {
  #waiting = [];

  /** `directory` has the functions in `src/`. */
  constructor(directory) {
    const env = { ...process.env, NODE_PATH: modules, PORT: "12557", SST_TELEMETRY_DISABLED: "1", AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE: "1" };
    const script = fileURLToPath(new URL("old-tool.cjs", import.meta.url));
    this.child = endsWithTests(spawn(process.execPath, [script], { cwd: directory, env, stdio: ["pipe", "pipe", "inherit"] }));
    readline.createInterface({ input: this.child.stdout }).on("line", (line) => {
      if (line.startsWith("@@")) this.#waiting.shift()(JSON.parse(line.slice(2)));
    });
  }

  #ask(message) {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.child.stdin.write(`${JSON.stringify(message)}\n`);
    });
  }

  /** Calls a function. What comes has the result and the time that it took. */
  call(name) {
    return this.#ask({ call: name });
  }

  /** Saves a function's text, has it built, and calls it. */
  save(name, text) {
    return this.#ask({ save: name, text });
  }

  /** Answers the calls that come by a WebSocket API, from when this returns. */
  listen(endpoint) {
    return this.#ask({ listen: endpoint });
  }

  end() {
    this.child.kill();
  }
}
