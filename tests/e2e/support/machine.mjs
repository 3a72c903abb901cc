// The processes of this machine, and who of them belongs to whom. Linux only.

import fs from "node:fs";

const PATIENCE_MS = 120_000;

/** Waits for a condition that nothing tells of. */
export async function waitUntil(condition, what, more = () => "") {
  for (const end = Date.now() + PATIENCE_MS; !condition(); ) {
    if (Date.now() > end) throw new Error(`not in time: ${typeof what === "function" ? what() : what}\n${more()}`);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}

/** All who descend from a process, or have anything to do with a directory: as often as one looks, and remembered. */
export class Machine {
  #known = new Map();
  #listening = new Set();

  /** Looks now and then by itself, so that those are known whose parent ends. */
  constructor(root, directory) {
    this.root = root;
    this.directory = directory;
    this.remember(root);
    this.timer = setInterval(() => this.look(), 40);
  }

  end() {
    clearInterval(this.timer);
    for (const [pid] of this.#alive()) process.kill(pid, "SIGKILL");
  }

  /** Counts a process among those that belong to the directory. */
  remember(pid) {
    const stat = statOf(pid);
    if (stat) this.#known.set(pid, stat.start);
  }

  /** Finds who descends from those that are known, and what they listen at. */
  look() {
    const all = processes();
    for (let found = true; found; ) {
      found = false;
      for (const [pid, { parent, start }] of all) {
        if (!this.#known.has(pid) && this.#known.has(parent) && all.get(parent)?.start === this.#known.get(parent)) {
          this.#known.set(pid, start);
          found = true;
        }
      }
    }
    const listening = listeners();
    for (const [pid] of this.#alive()) {
      for (const inode of socketsOf(pid)) if (listening.has(inode)) this.#listening.add(inode);
    }
  }

  /** How many there are. */
  count() {
    return this.#alive().length;
  }

  /** The names of their programs. */
  names() {
    this.look();
    return this.#alive().map(([pid]) => read(`/proc/${pid}/comm`).trim());
  }

  /** Those that are there still. */
  left() {
    const found = new Map(this.#alive());
    for (const [pid, { start }] of processes()) if (pid !== process.pid && this.#belongs(pid)) found.set(pid, start);
    return [...found.keys()].map((pid) => `${pid} ${read(`/proc/${pid}/cmdline`).replaceAll("\0", " ")}`);
  }

  /** The listening sockets that are there still. */
  sockets() {
    const listening = listeners();
    return [...this.#listening].filter((inode) => listening.has(inode));
  }

  #alive() {
    return [...this.#known].filter(([pid, start]) => statOf(pid)?.start === start);
  }

  #belongs(pid) {
    const text = read(`/proc/${pid}/cmdline`) + read(`/proc/${pid}/environ`);
    return text.includes(this.directory) || link(`/proc/${pid}/cwd`).startsWith(this.directory);
  }
}

function read(file) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    // It ended while it was looked at.
    return "";
  }
}

function link(file) {
  try {
    return fs.readlinkSync(file);
  } catch {
    return "";
  }
}

/** The parent and the start time of a process that has not ended. */
function statOf(pid) {
  const fields = read(`/proc/${pid}/stat`).split(") ").pop().split(" ");
  if (fields.length < 20 || fields[0] === "Z" || fields[0] === "X") return undefined;
  return { parent: Number(fields[1]), start: fields[19] };
}

function processes() {
  const pids = fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number);
  return new Map(pids.map((pid) => [pid, statOf(pid)]).filter(([, stat]) => stat));
}

/** The inodes of the sockets that listen on this machine. */
function listeners() {
  const lines = ["tcp", "tcp6"].flatMap((table) => read(`/proc/net/${table}`).split("\n").slice(1));
  const fields = lines.map((line) => line.trim().split(/\s+/)).filter((line) => line[3] === "0A");
  return new Set(fields.map((line) => line[9]));
}

function socketsOf(pid) {
  try {
    const links = fs.readdirSync(`/proc/${pid}/fd`).map((fd) => link(`/proc/${pid}/fd/${fd}`));
    return links.map((name) => /^socket:\[(\d+)\]$/.exec(name)?.[1]).filter(Boolean);
  } catch {
    return [];
  }
}
