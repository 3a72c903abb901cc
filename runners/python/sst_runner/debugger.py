"""Debugging: this process connects to a listener that speaks the Debug Adapter Protocol as its client."""

import os
import sys
import threading

from . import DIRECTORY


def connect(host, port, path=None):
    """Connects. Failures are said and forgotten, because a function runs without a debugger, too.

    :param path: a directory with the package `debugpy`, for when the function's own environment has none
    """
    try:
        debugpy = _load(path)
        # Makes the copy of pydevd importable that debugpy brings along.
        import debugpy.server
        import pydevd
        from _pydevd_bundle.pydevd_api import PyDevdAPI

        if pydevd.get_global_debugger() is not None:
            # An earlier debugger has gone. The new one gets a new connection.
            pydevd.stoptrace()
        # Processes that the function starts would connect to the same listener, which expects one connection.
        debugpy.configure(subProcess=False)
        debugpy.connect((host, int(port)))
        # The runner is no more visible than the debugger itself.
        own = (os.path.dirname(debugpy.__file__), DIRECTORY)
        PyDevdAPI().set_dont_trace_start_end_patterns(pydevd.get_global_debugger(), own, ("debugpy_launcher.py",))
    except BaseException as error:
        # Also SystemExit: the debugger's modules end the process in places.
        sys.stderr.write("sst: the debugger cannot be connected: {}: {}\n".format(type(error).__name__, error))


def connect_in_background(host, port, path=None):
    """Connects while everything goes on."""
    thread = threading.Thread(target=connect, args=(host, port, path), name="sst-debugger", daemon=True)
    # It is not to be debugged, nor stopped while a breakpoint has stopped everything else.
    thread.pydev_do_not_trace = thread.is_pydev_daemon_thread = True
    thread.start()


def _load(path):
    if path is not None:
        # Last, so that nothing else that lies there is found by the function.
        sys.path.append(path)
    try:
        import debugpy

        return debugpy
    finally:
        if path in sys.path:
            # The last occurrence is ours.
            del sys.path[len(sys.path) - 1 - sys.path[::-1].index(path)]
