"""Finds and loads the function's handler, as Lambda's own runtime does."""

import importlib
import os
import sys

from .errors import RuntimeFault


def load_handler(name):
    """Loads a handler.

    :param name: `directory/module.function`, relative to what is first in `sys.path`; dots may stand for the slashes
    :raises RuntimeFault: with what Lambda reports; whatever else the module raises comes through
    """
    # What callers are told is the declared name, even where the build put the code elsewhere.
    declared = os.environ.get("_HANDLER") or name or ""
    module_name, dot, function = (name or declared).rpartition(".")
    if not dot:
        # The second half is Python's own way to say that there is no dot.
        reason = "not enough values to unpack (expected 2, got 1)"
        raise RuntimeFault("MalformedHandlerName", "Bad handler '{}': {}".format(declared, reason))
    shown = declared.rpartition(".")[0]

    if module_name.split(".")[0] in sys.builtin_module_names:
        message = "Cannot use built-in module {} as a handler module".format(shown)
        raise RuntimeFault("BuiltInModuleConflict", message)
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise RuntimeFault("ImportModuleError", "Unable to import module '{}': {}".format(shown, error))
    except SyntaxError as error:
        place = '  File "{}" Line {}\n    {}'.format(error.filename, error.lineno, error.text)
        raise RuntimeFault("UserCodeSyntaxError", "Syntax error in module '{}': {}".format(shown, error), [place])
    try:
        return getattr(module, function)
    except AttributeError:
        raise RuntimeFault("HandlerNotFound", "Handler '{}' missing on module '{}'".format(function, shown))
