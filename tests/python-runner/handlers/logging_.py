"""Handlers that write to the log."""

import json
import logging
import sys
import threading


def prints(event, context):
    print("to stdout", "ü", 1)
    print("to stderr", file=sys.stderr)
    sys.stdout.write("part ")
    sys.stdout.writelines(["a\n", "b\n"])
    sys.stdout.buffer.write(b"bytes\n")
    sys.stdout.flush()
    context.log("as it is")
    context.log({"a": 1})


def logs(event, context):
    root = logging.getLogger()
    logging.basicConfig(level=logging.DEBUG)
    root.debug("hidden, because there is a handler already")
    root.warning("warned %s", "of it")
    root.setLevel("DEBUG")
    logging.getLogger("library").info("info")
    logging.getLogger("library").log(35, "between", extra={"order": 5, "thing": object})
    root.error({"structured": "message", "n": 1})
    try:
        json.loads("{")
    except ValueError:
        root.exception("caught")
    return [type(handler).__name__ for handler in root.handlers], logging.getLevelName(root.level)


def level(event, context):
    for name in ("debug", "info", "warning", "error", "critical"):
        getattr(logging.getLogger(), name)(name)
    return logging.getLogger().level


def threads(event, context):
    return [thread.name for thread in threading.enumerate()], threading.active_count()
