"""Runs a command in a terminal of its own: presses Ctrl-C when it is ready, lets it end, and prints what it wrote."""

import os
import pty
import signal
import sys

child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])

seen = b""


def wait_for(text: bytes) -> None:
    global seen
    while text not in seen:
        seen += os.read(terminal, 4096)


wait_for(b"ready")
os.write(terminal, b"\x03")
wait_for(b"got SIGINT 1")
# What the launcher might have sent because of the Ctrl-C arrives before this.
os.kill(child, signal.SIGTERM)
wait_for(b"got SIGTERM")
os.write(terminal, b"end\n")
try:
    while data := os.read(terminal, 4096):
        seen += data
except OSError:
    pass  # the terminal is gone: the command has ended
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
