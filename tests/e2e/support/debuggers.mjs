// Debuggers with a protocol of their own: a client of Delve's JSON-RPC, and programs that one types commands into.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import net from "node:net";

const PATIENCE = 60_000;

/** A connection to Delve. */
export class Rpc {
  #pending = new Map();
  #number = 0;

  static async connect(port) {
    const rpc = new Rpc();
    let received = "";
    rpc.socket = net.connect(port, "127.0.0.1");
    rpc.socket.on("data", (data) => {
      // Delve ends each answer with a line feed.
      const lines = (received + data).split("\n");
      received = lines.pop();
      for (const line of lines) {
        const { id, result, error } = JSON.parse(line);
        const { resolve, reject } = rpc.#pending.get(id);
        if (error) reject(new Error(error));
        else resolve(result);
      }
    });
    rpc.socket.on("error", () => {});
    rpc.socket.on("close", () => {
      for (const { reject, method } of rpc.#pending.values()) reject(new Error(`closed before ${method} was answered`));
    });
    await new Promise((resolve, reject) => rpc.socket.once("connect", resolve).once("error", reject));
    return rpc;
  }

  call(method, argument) {
    const id = ++this.#number;
    const answer = new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject, method }));
    answer.catch(() => {});
    this.socket.write(JSON.stringify({ method: `RPCServer.${method}`, params: [argument], id }));
    return answer;
  }

  vanish() {
    this.socket.destroy();
  }
}

/** A program that one talks to through its standard input and output. */
export class Conversation {
  #output = "";
  #heard = 0;
  #listeners = new Set();

  static start(...command) {
    const conversation = new Conversation();
    conversation.child = spawn(command[0], command.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
    conversation.child.stdout.on("data", (data) => {
      conversation.#output += data;
      for (const listener of conversation.#listeners) listener();
    });
    return conversation;
  }

  /** Says something and waits for the answer. */
  async say(text, answer) {
    this.child.stdin.write(`${text}\n`);
    await this.hear(answer);
  }

  /** Waits until it says something that it has not said before. */
  async hear(answer) {
    for (const end = Date.now() + PATIENCE; ; ) {
      const found = answer.exec(this.#output.slice(this.#heard));
      if (found) {
        this.#heard += found.index + found[0].length;
        return;
      }
      await new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no ${answer} in ${this.#output}`)), end - Date.now());
        const listener = () => {
          clearTimeout(timer);
          this.#listeners.delete(listener);
          resolve();
        };
        this.#listeners.add(listener);
      });
    }
  }

  /** Goes away without a word. */
  vanish() {
    assert.ok(this.child.pid);
    this.child.kill("SIGKILL");
  }
}
