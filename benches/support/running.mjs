// Calls of a running app by the way of `sst invoke`, and what its processes take.

import fs from "node:fs";
import http from "node:http";
import path from "node:path";

/** A call of a function of the app in a directory, on a connection of its own, as `sst invoke` makes it. */
export async function call(app, name, event = {}) {
  const caller = new Caller(app);
  const answer = await caller.call(name, event);
  caller.end();
  return answer;
}

/** A connection to the program, for calls one after the other. */
export function Caller(app) {
  const { control, token } = session(app);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1, noDelay: true });
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  this.call = async (name, event = {}) => {
    const body = JSON.stringify(event);
    const url = `http://${control}/api/v1/functions/${encodeURIComponent(name)}/invoke`;
    const text = await new Promise((resolve, reject) => {
      const request = http.request(url, { method: "POST", agent, headers: { ...headers, "content-length": Buffer.byteLength(body) } }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (more) => (text += more)).on("end", () => resolve(text)).on("error", reject);
      });
      request.on("error", reject).end(body);
    });
    const answer = JSON.parse(text);
    if (answer.outcome !== "returned") throw new Error(text);
    return JSON.parse(Buffer.from(answer.body, "base64").toString());
  };
  this.end = () => agent.destroy();
}

/** Directory → what its session says. */
const sessions = new Map();

function session(app) {
  if (!sessions.has(app)) sessions.set(app, JSON.parse(fs.readFileSync(path.join(app, ".sst/session.json"), "utf8")));
  return sessions.get(app);
}

/** The program, and all that it has started but the local cloud and what that has started. */
export function processesOf({ child }) {
  const all = descendants(child.pid);
  const cloud = new Set(all.filter((pid) => /server\.py/.test(commandOf(pid))).flatMap((pid) => [pid, ...descendants(pid)]));
  return { own: child.pid, children: all.filter((pid) => !cloud.has(pid)) };
}

function descendants(pid) {
  const children = new Map();
  for (const one of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const parent = read(`/proc/${one}/stat`).split(") ").pop().split(" ")[1];
    children.set(parent, [...(children.get(parent) ?? []), one]);
  }
  const all = [];
  const walk = (parent) => (children.get(String(parent)) ?? []).forEach((child) => (all.push(child), walk(child)));
  walk(pid);
  return all;
}

function read(file) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** The command line of a process. */
export function commandOf(pid) {
  return read(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
}

/** In MB. */
export function resident(pid) {
  return Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) / 1024;
}

/** In MB: what several processes share counts for each of them by their number. */
export function proportional(pid) {
  return Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0) / 1024;
}

/** What a process has computed so far, in milliseconds. */
export function computed(pid) {
  const [user, system] = read(`/proc/${pid}/stat`).split(") ").pop().split(" ").slice(11, 13).map(Number);
  return (user + system) * 10;
}

export function write(file, text) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
}

/** Links what is in a directory of packages to another one. */
export function link(from, to) {
  fs.mkdirSync(to, { recursive: true });
  for (const name of fs.readdirSync(from).filter((name) => !name.startsWith("."))) {
    if (name.startsWith("@")) link(path.join(from, name), path.join(to, name));
    else if (!fs.existsSync(path.join(to, name))) fs.symlinkSync(path.join(from, name), path.join(to, name));
  }
}
