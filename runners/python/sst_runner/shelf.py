"""Modules that were imported ahead and are not there before somebody imports them.

`import urllib` must not bring along `urllib.request` only because that was imported ahead. So all that was is put aside, and an
import of it finds it here, with everything that it has imported itself, if it is what the import would have found.
"""

import builtins
import sys
from importlib._bootstrap import ModuleSpec


class Shelf:
    """A finder for `sys.meta_path`, and the loader of what it finds."""

    def __init__(self):
        self._modules = {}
        #: Name of a module → names of those that it has imported.
        self._imports = {}

    def fill(self, run):
        """Puts everything aside that `run` imports, and returns what that returns."""
        needed = set(sys.modules)
        usual = builtins.__import__

        def recording(name, globals=None, locals=None, fromlist=(), level=0):
            module = usual(name, globals, locals, fromlist, level)
            if globals and "__name__" in globals:
                parts = (globals.get("__package__") or "").split(".") if level else []
                full = ".".join(parts[: len(parts) - level + 1] + ([name] if name else []))
                known = self._imports.setdefault(globals["__name__"], set())
                known.update(_with_parents(full))
                for part in fromlist or ():
                    known.update(_with_parents("{}.{}".format(full, part)))
            return module

        builtins.__import__ = recording
        try:
            result = run()
        finally:
            builtins.__import__ = usual
        for name in [name for name in sys.modules if name not in needed]:
            self._modules[name] = sys.modules.pop(name)
        for name, module in self._modules.items():
            parent, _, child = name.rpartition(".")
            holder = self._modules.get(parent) or sys.modules.get(parent)
            if holder is not None and vars(holder).get(child) is module:
                delattr(holder, child)
        return result

    def files(self):
        """The files of what is here."""
        return sorted({file for file in (getattr(module, "__file__", None) for module in self._modules.values()) if file})

    def find_spec(self, name, path=None, target=None):
        """What an import of `name` finds here."""
        if name not in self._modules or target is not None:
            return None
        wanted = self._with_imports(name)
        if not all(self._is_found(one) for one in wanted):
            # The function has a module of that name, on which others depend that are here.
            for one in wanted:
                self._modules.pop(one, None)
            return None
        return ModuleSpec(name, self)

    def create_module(self, spec):
        """Puts a module back, with all that it has imported."""
        wanted = self._with_imports(spec.name)
        modules = {name: self._modules.pop(name) for name in list(self._modules) if name in wanted}
        for name, module in modules.items():
            parent, _, child = name.rpartition(".")
            if name != spec.name:
                sys.modules[name] = module
            holder = modules.get(parent) or sys.modules.get(parent)
            if holder is not None:
                setattr(holder, child, module)
        module = modules[spec.name]
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module):
        """It was executed ahead."""
        module.__spec__ = module.__spec__.loader_state

    def _with_imports(self, name):
        found, new = set(), {name}
        while new:
            found |= new
            new = {one for module in new for one in self._imports.get(module, ()) if one in self._modules} - found
        return found

    def _is_found(self, name):
        """Whether an import would find the very file that was imported ahead."""
        module = self._modules[name]
        parent = name.rpartition(".")[0]
        holder = self._modules.get(parent) or sys.modules.get(parent)
        path = getattr(holder, "__path__", None) if parent else None
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path) if finder is not self else None
            if spec is not None and spec.loader is not None:
                return spec.origin == module.__spec__.origin
        return False


def _with_parents(name):
    parts = name.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
