"""Finds and loads the function's handler, as Lambda's own runtime does."""

import importlib
import os
import sys

from .errors import RuntimeFault

#: How many functions are listed in place of one that is missing.
_MOST_NAMES = 12


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
        message = "Unable to import module '{}': {}".format(shown, error)
        raise RuntimeFault("ImportModuleError", message + _what_to_do(error, module_name.replace("/", ".")))
    except SyntaxError as error:
        place = '  File "{}" Line {}\n    {}'.format(error.filename, error.lineno, error.text)
        raise RuntimeFault("UserCodeSyntaxError", "Syntax error in module '{}': {}".format(shown, error), [place])
    try:
        return getattr(module, function)
    except AttributeError:
        message = "Handler '{}' missing on module '{}'".format(function, shown)
        raise RuntimeFault("HandlerNotFound", message + _what_there_is(module, function))


def _what_to_do(error, module_name):
    """What Lambda does not say of a module that is not there, in brackets."""
    missing = getattr(error, "name", None)
    if not isinstance(error, ModuleNotFoundError) or not missing:
        return ""
    if module_name == missing or module_name.startswith(missing + "."):
        place, _, name = module_name.rpartition(".")
        known = _modules_in(os.path.join(os.getcwd(), *place.split(".")))
        return " (the function's code has no `{}.py`{})".format(module_name.replace(".", "/"), _meant(name, known))
    python = sys.executable
    return " (`{0}` does not have it: install it there, e.g. by `{0} -m pip install {1}`)".format(
        python, missing.partition(".")[0]
    )


def _what_there_is(module, wanted):
    """What a module has instead of a function, in brackets."""
    file = os.path.relpath(getattr(module, "__file__", None) or module.__name__)
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    values = ((name, getattr(module, name)) for name in own if not name.startswith("_"))
    functions = [name for name, value in values if callable(value) and not isinstance(value, type)]
    if not functions:
        return " (`{}` has no functions)".format(file)
    names = ["`{}`".format(name) for name in functions[:_MOST_NAMES]]
    more = ["…"] if len(functions) > len(names) else []
    return " (`{}` has: {}{})".format(file, ", ".join(names + more), _meant(wanted, functions))


def _modules_in(directory):
    try:
        return [name[:-3] for name in os.listdir(directory) if name.endswith(".py")]
    except OSError:
        return []


def _meant(wanted, known):
    # Only loaded here, where nothing of the function will run any more.
    import difflib

    near = difflib.get_close_matches(wanted, known, 1)
    return "; did you mean `{}`?".format(near[0]) if near else ""
