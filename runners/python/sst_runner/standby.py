"""A worker that is started before anyone knows which function it will serve, so that a function is ready within milliseconds.

`channel` says what the parent tells it.
"""

import importlib
import os
import sys
import time
from queue import SimpleQueue

from . import debugger
from .channel import start_thread

#: Nearly every function needs these, or a library that does.
USUAL_MODULES = (
    "base64 calendar copy csv datetime decimal functools hashlib hmac inspect json logging pathlib random re ssl string tempfile "
    "typing uuid dataclasses fnmatch http.client urllib.parse urllib.request concurrent.futures collections.abc importlib.util "
    "zipfile"
).split()


def wait(channel, shelf):
    """Waits for the assignment.

    :param shelf: with what was imported ahead
    :returns: the assignment, whose environment is in force
    """
    path = list(sys.path)
    messages = SimpleQueue()
    start_thread(lambda: _read(channel, messages))

    while True:
        message = messages.get()
        if "prepare" in message:
            channel.say({"read": shelf.files()})
        if "debug" in message:
            debugger.connect(**message["debug"])
        if "assign" in message:
            assignment = message["assign"]
            if assignment.get("environment") is not None:
                replace_environment(assignment["environment"])
                # Python does this when it starts, which was before the variable was known.
                sys.path[:] = python_path() + path
            return assignment


def import_usual_modules():
    """Imports what the function most likely needs."""
    for name in USUAL_MODULES:
        try:
            importlib.import_module(name)
        except ImportError:
            # Some distributions leave parts of Python out.
            pass


def replace_environment(environment):
    """Makes `os.environ` equal to `environment`, in place, because code may hold on to the object."""
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    for name, value in environment.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    # Python asks the C library, which has read the time zone already.
    time.tzset()


def python_path():
    """The entries of PYTHONPATH."""
    return [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]


def _read(channel, queue):
    """Hands messages on up to the assignment. The end of the pipe is seen at any time, also during an import."""
    while True:
        messages = channel.read()
        if messages is None:
            # Nothing has begun, so that nothing is cut short.
            os._exit(0)
        for index, message in enumerate(messages):
            queue.put(message)
            if "assign" in message:
                channel.watch(messages[index + 1 :])
