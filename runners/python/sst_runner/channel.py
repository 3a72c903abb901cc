"""The pipe to the process that started this one: its messages, and its end.

The parent writes lines of JSON:

    {"debug": {"host": "127.0.0.1", "port": 5678, "path": "/directory/with/debugpy"}}
        at any time: a debugger listens there. The path is optional.
    {"prepare": {…}}
        to a standby that was started with exactly the environment of its function. It answers {"read": ["/path", …]} with the
        files of what it has imported ahead.
    {"assign": {"environment": {…}, "taskRoot": "…", "handler": "…", "runtimeApi": "127.0.0.1:1234", "provided": "…"}}
        once, to a standby only, which is an ordinary worker from then on. The environment is missing where it is there. The last
        member is optional, too.

The end of the pipe ends the process: nobody needs it any more.
"""

import json
import os
from _signal import SIGKILL
from _thread import start_new_thread

from . import debugger


class Channel:
    """Our end. It is read by one thread at a time."""

    def __init__(self, descriptor):
        # What the function starts must not keep the pipe open.
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        self._rest = b""

    def read(self):
        """Waits for the parent.

        Returns the messages that came, perhaps none; None at the end of the pipe.
        """
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:
            raise
        except OSError:
            # A broken pipe has ended as well.
            data = b""
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines if line.strip()]

    def say(self, message):
        """Writes a line of JSON."""
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]

    def take_what_is_there(self):
        """Obeys the messages that have come already, at once and without waiting for more."""
        os.set_blocking(self._descriptor, False)
        try:
            while True:
                messages = self.read()
                if messages is None:
                    end_now()
                for message in messages:
                    if "debug" in message:
                        debugger.connect(**message["debug"])
        except BlockingIOError:
            pass
        finally:
            os.set_blocking(self._descriptor, True)

    def watch(self, messages=()):
        """Obeys messages from now on, and ends the process at the end of the pipe. Never returns.

        :param messages: some that were read already
        """
        while messages is not None:
            for message in messages:
                if "debug" in message:
                    # In a thread of its own, because the end of the pipe must be seen whatever a debugger does.
                    debugger.connect_in_background(**message["debug"])
            messages = self.read()
        end_now()


def start_thread(run):
    """Runs something in a thread that never keeps the process alive.

    `threading` does not know of it: a function that counts its threads, or waits for all of them, must not find one that it did
    not start.
    """
    start_new_thread(run, ())


def end_now():
    """Ends the process as nothing the function does can prevent: no exit handlers, no waiting for its threads."""
    os.kill(os.getpid(), SIGKILL)
