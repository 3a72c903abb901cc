"""Runs a program in a pseudo-terminal: what is read here is typed into it, and what it shows is written here.

terminal.py COLUMNS ROWS PROGRAM [ARGUMENT …]
"""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios


def main() -> int:
    columns, rows, *command = sys.argv[1:]
    pid, terminal = pty.fork()
    if pid == 0:
        # Before the program can ask how large it is.
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))
        os.execvp(command[0], command)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, _frame: os.kill(pid, number))
    sources = [terminal, sys.stdin.fileno()]
    while True:
        ready, _, _ = select.select(sources, [], [])
        for source in ready:
            try:
                data = os.read(source, 65536)
            except OSError:
                data = b""
            if source == terminal:
                if not data:
                    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                os.write(sys.stdout.fileno(), data)
            elif data:
                os.write(terminal, data)
            else:
                sources.remove(source)


if __name__ == "__main__":
    status = main()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)
