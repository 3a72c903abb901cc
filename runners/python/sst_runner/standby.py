"""A worker that is started before anyone knows which function it will serve, so that a function is ready within milliseconds.

`channel` says what the parent tells it.
"""

import importlib
import os
import sys
import time
from importlib.machinery import PathFinder
from queue import SimpleQueue

from . import debugger
from .channel import start_thread

#: Nearly every function needs these, or a library that does.
USUAL_MODULES = (
    ("base64", "calendar", "copy", "csv", "datetime", "decimal", "functools", "hashlib", "hmac", "inspect", "json"),
    ("logging", "pathlib", "random", "re", "ssl", "string", "tempfile", "typing", "uuid", "dataclasses", "fnmatch"),
    ("http.client", "urllib.parse", "urllib.request", "concurrent.futures", "collections.abc", "importlib.util", "zipfile"),
)


def wait(channel, needed):
    """Imports ahead, and waits for the assignment.

    :param needed: names of the modules that every worker has loaded
    :returns: the assignment, whose environment is in force already
    """
    path = list(sys.path)
    messages = SimpleQueue()
    start_thread(lambda: _read(channel, messages))
    for group in USUAL_MODULES:
        preload(group)

    while True:
        message = messages.get()
        environment = message.get("assign", message).get("environment")
        if environment is not None:
            replace_environment(environment)
            # Python does this when it starts, which was before the variable was known.
            sys.path[:] = python_path() + path
        if message.get("provided") and message["provided"] not in sys.path:
            sys.path.append(message["provided"])
        if "preload" in message:
            preload(message["preload"])
        if "debug" in message:
            debugger.connect(**message["debug"])
        if "assign" in message:
            assignment = message["assign"]
            forget_shadowed(set(sys.modules) - needed, [assignment["taskRoot"], *python_path()])
            return assignment


def preload(names):
    """Imports modules. Failures are the function's business, should it import the same."""
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException:
            # Modules may do anything while they are loaded, also end the process.
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


def forget_shadowed(names, path):
    """Forgets modules that were imported ahead where the function has modules of the same names.

    On Lambda the function's would be found first.

    :param names: those of the modules imported ahead
    :param path: the directories of the function's modules
    """
    own = {top for top in {name.partition(".")[0] for name in names} if _is_shadowed(top, path)}
    for name in names:
        if name.partition(".")[0] in own:
            sys.modules.pop(name, None)


def _is_shadowed(top, path):
    spec = PathFinder.find_spec(top, path)
    # A directory without `__init__.py` has no loader, and comes after everything else.
    if spec is None or spec.loader is None:
        return False
    return getattr(sys.modules.get(top), "__file__", None) != spec.origin


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
