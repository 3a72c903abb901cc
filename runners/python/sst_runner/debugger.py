"""Debugging: this process connects to a listener that speaks the Debug Adapter Protocol as its client."""

import os
import sys
import threading

from . import DIRECTORY
from .errors import without_own_frames

# The debugger counts its own breakpoints from 0.
OWN_BREAKPOINT = 1 << 30


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


def uncaught(error):
    """Stops where an error was raised that the function has not caught, if a debugger wants to stop there.

    The runner catches it, so that for a debugger it is caught.
    """
    pydevd = sys.modules.get("pydevd")
    session = pydevd and pydevd.get_global_debugger()
    trace = without_own_frames(error.__traceback__)
    if session is None or trace is None:
        return
    information = (type(error), error, trace)
    try:
        if hasattr(session, "trigger_exception_handler"):
            session.trigger_exception_handler(information)
        else:
            _stop(session, information)
    except Exception as failure:
        # The call goes on without a stop.
        sys.stderr.write("sst: the debugger cannot be stopped: {}: {}\n".format(type(failure).__name__, failure))


def stop_at_first_line(run):
    """Has the debugger stop at the first line of a handler, once: by a breakpoint of our own, from which nobody has to step in.

    :return: what takes the breakpoint away
    """
    # Only here: nothing else wants it, and each function would wait for it.
    import inspect

    pydevd = sys.modules.get("pydevd")
    session = pydevd and pydevd.get_global_debugger()
    # What a decorator has wrapped is what the developer has written.
    code = getattr(inspect.unwrap(run), "__code__", None)
    if session is None or code is None:
        return lambda: None
    try:
        from _pydevd_bundle.pydevd_api import PyDevdAPI

        place = (session, code.co_filename, "python-line", OWN_BREAKPOINT)
        # A handler that calls itself stops no second time.
        PyDevdAPI().add_breakpoint(*place, _first_line(code), None, "None", None, "ALL", "@HIT@ == 1", False)
        return lambda: PyDevdAPI().remove_breakpoint(*place)
    except Exception as failure:
        # The call goes on without a stop.
        sys.stderr.write("sst: the debugger cannot be stopped: {}: {}\n".format(type(failure).__name__, failure))
        return lambda: None


def _first_line(code):
    """The first line in a function; where all of it is in one line, that."""
    import dis

    lines = (line for _, line in dis.findlinestarts(code) if line is not None and line != code.co_firstlineno)
    return next(lines, code.co_firstlineno)


def _stop(session, information):
    """What debuggers do in `sys.excepthook`, of which older ones have no name for others."""
    from _pydevd_bundle.pydevd_breakpoints import stop_on_unhandled_exception

    thread = threading.current_thread()
    state = session.set_additional_thread_info(thread)
    state.is_tracing += 1
    try:
        stop_on_unhandled_exception(session, thread, state, information)
    finally:
        state.is_tracing -= 1


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
