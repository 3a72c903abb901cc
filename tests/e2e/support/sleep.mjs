// Has a program and all that it has started stand still, as they do while their machine sleeps. Linux only.

import fs from "node:fs";

/** Stops everything from a process down. Returns what lets it go on. */
export function stopAll(root) {
  const stopped = new Set();
  // Whoever has not been stopped yet may start others meanwhile.
  for (let found = [root]; found.length; found = descendants(root).filter((pid) => !stopped.has(pid))) {
    for (const pid of found) {
      signal(pid, "SIGSTOP");
      stopped.add(pid);
    }
  }
  return () => stopped.forEach((pid) => signal(pid, "SIGCONT"));
}

function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    // It has ended meanwhile.
    if (error.code !== "ESRCH") throw error;
  }
}

function descendants(root) {
  const parents = new Map();
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      parents.set(Number(pid), Number(fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").pop().split(" ")[1]));
    } catch {
      // It ended while it was looked at.
    }
  }
  const below = new Set([root]);
  for (let before = 0; before !== below.size; ) {
    before = below.size;
    for (const [pid, parent] of parents) if (below.has(parent)) below.add(pid);
  }
  return [...below];
}
