"""The two ways in which a worker is started.

direct    The environment is that of the function. SST_HANDLER names the handler to load, relative to LAMBDA_TASK_ROOT
          (without it, _HANDLER). SST_LIFELINE, when set, is the descriptor of the pipe to the parent. SST_PROVIDED, when
          set, is a directory with the packages that Lambda's runtime would bring along.
standby   SST_STANDBY is the descriptor of that pipe, on which the function arrives later; see `standby`.

`channel` says what goes over the pipe.
"""

import os
import sys

from . import bytecode, logs, serve
from .channel import Channel, start_thread
from .shelf import Shelf

OWN_VARIABLES = ("SST_HANDLER", "SST_STANDBY", "SST_LIFELINE", "SST_PROVIDED")


def _import_ahead():
    from . import standby

    standby.import_usual_modules()
    return standby


def main():
    """Serves a function; returns never, other than by an exit."""
    settings = {name: os.environ.pop(name, None) for name in OWN_VARIABLES}
    logs.write_at_once()
    bytecode.keep_apart()
    # Also where it stays empty, so that no worker differs from another.
    shelf = Shelf()
    sys.meta_path.insert(0, shelf)

    if settings["SST_STANDBY"] is not None:
        standby = shelf.fill(_import_ahead)
        assignment = standby.wait(Channel(int(settings["SST_STANDBY"])), shelf)
    else:
        if settings["SST_LIFELINE"] is not None:
            channel = Channel(int(settings["SST_LIFELINE"]))
            # A debugger that is waiting already is there before the function is loaded.
            channel.take_what_is_there()
            start_thread(channel.watch)
        assignment = {
            "runtimeApi": os.environ.get("AWS_LAMBDA_RUNTIME_API"),
            "taskRoot": os.environ.get("LAMBDA_TASK_ROOT") or os.getcwd(),
            "handler": settings["SST_HANDLER"] or os.environ.get("_HANDLER"),
            "provided": settings["SST_PROVIDED"],
        }

    provided = assignment.get("provided")
    serve.serve(assignment["runtimeApi"], assignment["taskRoot"], assignment["handler"], provided)
