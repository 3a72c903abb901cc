"""Handlers that return something."""

import collections
import datetime
import decimal
import enum
import os

Point = collections.namedtuple("Point", "x y")


class Color(enum.IntEnum):
    RED = 1


class Text(str, enum.Enum):
    A = "a"


class AsDict:
    def _asdict(self):
        return {"as": "dict"}


circle = []
circle.append(circle)
circular = {"a": 1}
circular["self"] = circular

VALUES = {
    "nothing": None,
    "truth": [True, False],
    "text": "ü \U0001f600 \u2028 \u2029 \x7f \" \\ </",
    "surrogate": "\ud800",
    "numbers": [0, -1, 10**30, 1.0, 1e22, -0.0],
    "special": [float("nan"), float("inf"), -float("inf")],
    "decimals": [decimal.Decimal(text) for text in ("1.10", "1E+30", "NaN", "-NaN", "sNaN", "Infinity", "-Infinity")],
    "decimal": decimal.Decimal("3.14"),
    "tuple": (1, (2,), ()),
    "named": [Point(1, decimal.Decimal("2.0")), AsDict()],
    "enums": [Color.RED, Text.A, {Color.RED: 1, Text.A: 2}],
    "keys": {1: "int", 1.5: "float", None: "none", False: "bool", b"b": "bytes", "s": "text"},
    "special_keys": {float("inf"): 1, float("nan"): 2},
    "empty": [[], {}, ""],
    "bytes": b"\x00\xff raw",
    "bytes_inside": {"a": b"x"},
    "bad_bytes": [b"\xff"],
    "subclasses": [collections.OrderedDict(a=1), collections.Counter("aa"), collections.defaultdict(int, b=2)],
    "shared": [Point(1, 2)] * 2,
    "date": {"when": datetime.datetime(2020, 1, 1)},
    "set": {1},
    "generator": (number for number in [1]),
    "circle": circle,
    "circular": circular,
    "decimal_key": {decimal.Decimal("1.5"): 1},
    "tuple_key": {(1,): 2},
    "object": object(),
    "type": int,
    "class_with_asdict": AsDict,
    "bytearray": bytearray(b"x"),
}


def named(event, context):
    return VALUES[event["name"]]


def echo(event, context):
    return {"event": event, "type": type(event).__name__}


def generator(event, context):
    yield 1


async def coroutine(event, context):
    return 1


def context_in_full(event, context):
    left = context.get_remaining_time_in_millis()
    context_fields = vars(context)
    return {
        "fields": {name: repr(context_fields[name]) for name in sorted(context_fields) if not name.startswith("_")},
        "custom": context.client_context and context.client_context.custom,
        "client": context.client_context and context.client_context.client and context.client_context.client.app_title,
        "identity": [context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id],
        "left": [type(left).__name__, 0 < left <= 30_000, left == 0],
        "trace": os.environ.get("_X_AMZN_TRACE_ID"),
        "w3c": context.w3c(),
        "shown": repr(context),
        "settable": not setattr(context, "own", 1) and context.own,
    }
