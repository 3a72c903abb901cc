// Requests as a web page sends them: by hand, and from pages in a real browser.

import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import { createRequire } from "node:module";
import path from "node:path";

import { CHROMIUM_FLAGS, loadPlaywright } from "../../vscode/vscode.mjs";
import { repository } from "./sst.mjs";

/** A name that somebody else owns and has point at this machine. */
export const FOREIGN = "evil.example";

/** How long a listener may take to refuse. One that goes on waiting has let a request in. */
const PATIENCE_MS = 15_000;

/** Starts Chromium, in which the foreign name leads here. */
export async function launchChromium() {
  const chromium = await loadPlaywright(path.join(repository, "tests/fixtures"));
  const args = CHROMIUM_FLAGS.filter((flag) => !flag.startsWith("--host-resolver-rules"));
  args.push(`--host-resolver-rules=MAP ${FOREIGN} 127.0.0.1 , MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost , EXCLUDE *.localhost`);
  return chromium.launch({ executablePath: "/usr/bin/chromium", headless: true, args });
}

/** Serves one empty page under any name. */
export async function servePage() {
  const server = http.createServer((request, response) => {
    response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>page</title>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: server.address().port, close: () => server.close() };
}

/**
 * Sends a request as it is written: `headers` is a list of names and values, in which a name may come twice. Returns the answer's
 * head, which is empty when the connection is closed without one, and undefined when there is none and the connection stays.
 */
export function raw(port, line, headers, body = "") {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    let answer = "";
    const finish = (result) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => finish(answer || undefined), PATIENCE_MS);
    socket.setEncoding("latin1").on("data", (data) => {
      answer += data;
      if (answer.includes("\r\n\r\n")) finish(answer);
    });
    socket.on("error", () => {});
    socket.on("close", () => finish(answer));
    const length = body ? [["Content-Length", Buffer.byteLength(body)]] : [];
    const lines = [...headers, ...length].map(([name, value]) => `${name}: ${value}\r\n`).join("");
    socket.write(`${line} HTTP/1.1\r\n${lines}\r\n${body}`);
  });
}

/** Whether an answer gives nothing: no success, no other protocol, and no page is told that it may read it. */
export function isRefusal(answer) {
  if (answer === undefined) return false;
  if (answer === "") return true;
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(answer)?.[1] ?? 0);
  return status >= 400 && status < 500 && !/^access-control-allow-/im.test(answer);
}

/** The listening ports of a process and all its descendants, by the process that has them: pid → ports. Linux only. */
export function listeners(root) {
  const parents = new Map();
  for (const name of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = fs.readFileSync(`/proc/${name}/stat`, "utf8");
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      // It ended while it was looked at.
    }
  }
  const family = new Set([root]);
  for (let before = 0; before < family.size; ) {
    before = family.size;
    for (const [pid, parent] of parents) if (family.has(parent)) family.add(pid);
  }
  const sockets = new Map();
  for (const table of ["tcp", "tcp6"]) {
    for (const line of fs.readFileSync(`/proc/net/${table}`, "utf8").split("\n").slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[3] === "0A") sockets.set(`socket:[${fields[9]}]`, { port: parseInt(fields[1].split(":")[1], 16), address: fields[1].split(":")[0] });
    }
  }
  const found = new Map();
  for (const pid of family) {
    try {
      const links = fs.readdirSync(`/proc/${pid}/fd`).map((fd) => {
        try {
          return fs.readlinkSync(`/proc/${pid}/fd/${fd}`);
        } catch {
          return "";
        }
      });
      const open = [...new Set(links)].map((link) => sockets.get(link)).filter(Boolean);
      if (open.length > 0) found.set(pid, open);
    } catch {
      // It ended while it was looked at.
    }
  }
  return found;
}

/** Resolves the modules of the fixtures. */
export const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
