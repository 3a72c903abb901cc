"""Ends what the counterpart has started, however the counterpart ends.

Execution environments are frozen most of the time, and a frozen process sees nothing of its parent's end. So a process of its own is told
who was started, and kills them when the pipe to the counterpart ends.
"""

import os
import signal
import subprocess
import sys

_pipe = None


def start():
    """Starts the guard."""
    global _pipe
    # In a session of its own, so that Ctrl-C does not end it before its work.
    command = [sys.executable, "-S", "-E", os.path.abspath(__file__)]
    _pipe = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True).stdin


def add(pid):
    """Has a process end with the counterpart, and all that descends from it."""
    _pipe.write(f"+{pid}\n".encode())
    _pipe.flush()


def remove(pid):
    """Forgets a process that has ended, before its number is given to another one."""
    _pipe.write(f"-{pid}\n".encode())
    _pipe.flush()


def parents():
    """Everybody's children, for kernels that do not tell those of one process."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            children.setdefault(parent, []).append(int(name))
    return children


def children(pid):
    """The children of a process: each of its threads has a list of those that it has started."""
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found.extend(int(child) for child in file.read().split())
    except OSError:
        # It has ended.
        pass
    return found


def descendants(pid):
    """A process and all that descends from it, parents first."""
    known = None if os.path.exists(f"/proc/self/task/{os.getpid()}/children") else parents()
    found = [pid]
    for one in found:
        found.extend(children(one) if known is None else known.get(one, []))
    return found


def send(pid, number):
    """Sends a signal to a process and to all that descends from it. Returns to whom."""
    reached = []
    for one in descendants(pid):
        try:
            os.kill(one, number)
            reached.append(one)
        except ProcessLookupError:
            pass
    return reached


def kill(pid):
    """Kills a process and all that descends from it. Whoever is stopped first can start nothing more meanwhile."""
    send(pid, signal.SIGSTOP)
    send(pid, signal.SIGKILL)


def main():
    """The guard itself."""
    guarded = set()
    for line in sys.stdin:
        number = int(line[1:])
        (guarded.add if line[0] == "+" else guarded.discard)(number)
    for number in guarded:
        kill(number)


if __name__ == "__main__":
    main()
