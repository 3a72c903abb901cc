"""The function's log: what it prints, what it gives to `logging`, and its errors."""

import io
import json
import logging
import os
import sys
import time
import traceback

_JSON_TIME = "%Y-%m-%dT%H:%M:%SZ"

#: What the record of a message has anyway. Everything else in it comes from the function.
_RECORD_FIELDS = set(
    "name msg args levelname levelno pathname filename module exc_info exc_text stack_info lineno funcName created msecs "
    "relativeCreated thread threadName processName process aws_request_id tenant_id".split()
)


class _Invocation:
    """The invocation to which messages belong."""

    request_id = None
    tenant_id = None


def belong_to(request_id, tenant_id):
    """Says to which invocation all messages belong from now on."""
    _Invocation.request_id = request_id
    _Invocation.tenant_id = tenant_id


def write_at_once():
    """Makes that whatever is printed is out when the call returns, whether the line is complete or not.

    A function may be stopped at a breakpoint, or killed, after any statement.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None:
            encoding, errors = stream.encoding, stream.errors
            stream = _AtOnce(stream.detach(), encoding, errors, line_buffering=True)
            setattr(sys, name, stream)
            setattr(sys, "__{}__".format(name), stream)


class _AtOnce(io.TextIOWrapper):
    def write(self, text):
        count = super().write(text)
        self.flush()
        return count


def set_up():
    """Gives the root logger the handler that functions find on Lambda."""
    as_json = _is_json()
    # Times in logs are in UTC, whatever the time zone of the function.
    logging.Formatter.converter = time.gmtime
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "")
    handler = LambdaLoggerHandlerWithFrameType() if as_json or level else LambdaLoggerHandler()
    text = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
    handler.setFormatter(_JsonFormatter() if as_json else logging.Formatter(text, "%Y-%m-%dT%H:%M:%S"))
    handler.addFilter(_InvocationFilter())
    root = logging.getLogger()
    level = "DEBUG" if level == "TRACE" else level.upper()
    if level in logging._nameToLevel:
        root.setLevel(level)
    root.addHandler(handler)


def error(fault, encoder):
    """Writes an error to the log.

    :param fault: as it is posted to the Runtime API
    """
    if _is_json():
        stamp = time.strftime(_JSON_TIME, time.gmtime())
        _Sink.log(encoder.encode(dict({"timestamp": stamp, "level": "ERROR"}, **fault)) + "\n")
        return
    title = ": ".join(part for part in (fault["errorType"], fault["errorMessage"]) if part)
    # Lambda joins these lines with carriage returns, which its log service shows as line breaks. A terminal would not.
    lines = ["[ERROR] " + title, "Traceback (most recent call last):"]
    for entry in fault["stackTrace"]:
        lines.extend(entry.splitlines() or [""])
    _Sink.log("\n".join(lines) + "\n")


def _is_json():
    return os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"


class _Sink:
    """Where messages go. Functions can find it as `log_sink` of the handler."""

    @staticmethod
    def log(message, frame_type=None):
        # The one of this moment: tests and libraries replace it.
        sys.stdout.write(message)


class LambdaLoggerHandler(logging.Handler):
    """Named as on Lambda, because libraries look for it in order to replace it."""

    def __init__(self):
        super().__init__()
        self.log_sink = _Sink

    def emit(self, record):
        self.log_sink.log(self.format(record))


class LambdaLoggerHandlerWithFrameType(LambdaLoggerHandler):
    """The name of the handler on Lambda when the function has settings for its log."""


class _InvocationFilter(logging.Filter):
    """Not a filter at all: it is the place where `logging` lets a record be completed."""

    def filter(self, record):
        record.aws_request_id = _Invocation.request_id or ""
        record.tenant_id = _Invocation.tenant_id
        return True


class _JsonFormatter(logging.Formatter):
    def __init__(self):
        super().__init__(datefmt=_JSON_TIME)
        # What a function logs need not be JSON; its message is more important than its exact form.
        self._encode = json.JSONEncoder(ensure_ascii=False, default=str).encode

    def format(self, record):
        record.levelno = min(50, max(0, record.levelno)) // 10 * 10
        record.levelname = logging.getLevelName(record.levelno)
        plain = isinstance(record.msg, dict) and not record.args
        fields = {
            "timestamp": self.formatTime(record, self.datefmt),
            "level": record.levelname,
            "message": record.msg if plain else record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info:
            kind, value, trace = record.exc_info
            fields["stackTrace"] = traceback.format_tb(trace)
            fields["errorType"] = kind.__name__ if kind else None
            fields["errorMessage"] = str(value)
        fields["requestId"] = getattr(record, "aws_request_id", None)
        if record.exc_info:
            fields["location"] = "{}:{}:{}".format(record.pathname, record.funcName, record.lineno)
        fields["tenantId"] = getattr(record, "tenant_id", None)
        for name, value in vars(record).items():
            if name not in _RECORD_FIELDS:
                fields.setdefault(name, value)
        return self._encode({name: value for name, value in fields.items() if value is not None}) + "\n"
