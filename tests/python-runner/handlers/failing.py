"""Handlers that fail."""

import os
import signal
import sys
import time


class OwnError(Exception):
    pass


class OwnBaseError(BaseException):
    pass


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("not even this")


def inner(text):
    raise OwnError(text)


def raises(event, context):
    inner("in a function ü")


def chained(event, context):
    try:
        inner("first")
    except OwnError as error:
        raise ValueError("second") from error


def empty(event, context):
    raise OwnError


def key(event, context):
    return event["no such key"]


def several_lines(event, context):
    raise OwnError("one\ntwo")


def recursion(event, context):
    return recursion(event, context)


def in_library(event, context):
    import json

    json.loads("{")


def unprintable(event, context):
    raise Unprintable


def base(event, context):
    raise OwnBaseError("base")


def interrupt(event, context):
    raise KeyboardInterrupt


def exits(event, context):
    sys.exit(event["code"])


def exits_now(event, context):
    sys.stdout.write("no end of line")
    os._exit(7)


def killed(event, context):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


def arity(event):
    pass


not_callable = 5
