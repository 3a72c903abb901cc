"""Events and results as JSON, with everything that Lambda's own runtime makes of Python's values.

It differs from the module `json` in that it writes numbers of the type Decimal, named tuples as objects, and bytes as text.
"""

import decimal
import json
import json.encoder
import os

from .errors import RuntimeFault

#: Runtimes that write characters outside of ASCII as they are.
_UNICODE_RUNTIMES = {"AWS_Lambda_python3.{}".format(minor) for minor in range(12, 16)}

_write_int = int.__repr__
_write_float = float.__repr__


def parse_event(body, content_type):
    """
    :param body: the bytes of the event
    :returns: the value of what is JSON, and anything else as it is
    :raises RuntimeFault: when it says that it is JSON, and is not
    """
    if content_type != "application/json":
        return body
    try:
        return json.loads(str(body, "utf-8"))
    except ValueError as error:
        raise RuntimeFault("UnmarshalError", "Unable to unmarshal input: {}".format(error))


class Encoder:
    """Makes JSON by the rules of the function's runtime, which its environment names."""

    def __init__(self):
        unicode = os.environ.get("AWS_EXECUTION_ENV") in _UNICODE_RUNTIMES
        self._text = json.encoder.encode_basestring if unicode else _ascii_text

    def result(self, value):
        """
        :param value: what a handler returned
        :returns: the body, and its content type
        :raises RuntimeFault: when there is no JSON for it
        """
        if isinstance(value, bytes):
            return value, "application/unknown"
        try:
            return self.encode(value).encode("utf-8"), "application/json"
        except Exception as error:
            raise RuntimeFault("MarshalError", "Unable to marshal response: {}".format(error))

    def encode(self, value):
        """
        :raises TypeError: for what JSON does not have
        :raises ValueError: for what contains itself
        """
        parts = []
        self._add(value, parts.append, set())
        return "".join(parts)

    def _add(self, value, add, containers):
        if isinstance(value, str):
            add(self._text(value))
        elif value is None:
            add("null")
        elif value is True:
            add("true")
        elif value is False:
            add("false")
        elif isinstance(value, int):
            add(_write_int(value))
        elif isinstance(value, float):
            add(_float(value))
        elif isinstance(value, bytes):
            add(self._text(str(value, "utf-8")))
        elif isinstance(value, decimal.Decimal):
            add("NaN" if value.is_nan() else str(value))
        else:
            self._add_container(value, add, containers)

    def _add_container(self, value, add, containers):
        marker = id(value)
        if marker in containers:
            raise ValueError("Circular reference detected")
        containers.add(marker)
        as_dict = getattr(value, "_asdict", None)
        if callable(as_dict) and not isinstance(value, type):
            value = as_dict()

        if isinstance(value, dict):
            separator = "{"
            for key, item in value.items():
                add(separator)
                add(self._key(key))
                add(": ")
                self._add(item, add, containers)
                separator = ", "
            add("}" if value else "{}")
        elif isinstance(value, (list, tuple)):
            separator = "["
            for item in value:
                add(separator)
                self._add(item, add, containers)
                separator = ", "
            add("]" if value else "[]")
        else:
            raise TypeError("Object of type {} is not JSON serializable".format(type(value).__name__))
        containers.discard(marker)

    def _key(self, key):
        if isinstance(key, str):
            return self._text(key)
        if isinstance(key, bytes):
            return self._text(str(key, "utf-8"))
        if key is None or isinstance(key, (int, float)):
            parts = []
            self._add(key, parts.append, set())
            return '"{}"'.format(parts[0])
        message = "keys must be str, int, float, bool or None, not {}"
        raise TypeError(message.format(type(key).__name__))


def _float(value):
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return _write_float(value)


def _ascii_text(text):
    return json.encoder.encode_basestring_ascii(text).replace("\x7f", "\\u007f")
