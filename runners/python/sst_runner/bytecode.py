"""Byte code of the function's own files: kept among our own files, and used only for exactly the text that it was made of.

Python puts it beside the source, in folders that are the developer's, and takes it to be of the source when the size and the second
of the last change are the same: of two saves within a second, the second one would not run. Installed packages stay as they are.
"""

import _imp
import marshal
import os
import sys
from importlib._bootstrap_external import MAGIC_NUMBER, SourceFileLoader

from . import DIRECTORY

#: Parts of paths below which nobody edits anything.
_PACKAGES = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)

_LIBRARY = os.path.dirname(os.__file__) + os.sep
#: It changes with what byte code looks like.
_SEED = int.from_bytes(MAGIC_NUMBER, "little")
_KEPT = os.path.join(DIRECTORY, "bytecode", sys.implementation.cache_tag)
#: Directories of ours that packages were installed into.
_installed = []
_usual = SourceFileLoader.get_code


def leave(directory):
    """Leaves the byte code of the packages that were installed into a directory where the installer has put it."""
    _installed.append(os.path.join(directory, ""))


def keep_apart():
    """Makes all imports from now on do so."""
    SourceFileLoader.get_code = _get_code


def _get_code(self, fullname):
    path = os.path.abspath(self.get_filename(fullname))
    if path.startswith((_LIBRARY, DIRECTORY, *_installed)) or any(part in path for part in _PACKAGES):
        return _usual(self, fullname)
    source = self.get_data(path)
    digest = _imp.source_hash(_SEED, source)
    kept = os.path.join(_KEPT, _imp.source_hash(_SEED, os.fsencode(path)).hex())
    code = _read(kept, path, digest)
    if code is None:
        code = self.source_to_code(source, path)
        if not sys.dont_write_bytecode:
            _write(kept, digest, code)
    return code


def _read(kept, path, digest):
    try:
        with open(kept, "rb") as file:
            data = file.read()
        if data[:8] != digest:
            return None
        code = marshal.loads(memoryview(data)[8:])
    except (OSError, EOFError, ValueError, TypeError):
        return None
    # Two paths may share a name.
    return code if code.co_filename == path else None


def _write(kept, digest, code):
    beside = "{}.{}".format(kept, os.getpid())
    try:
        os.makedirs(os.path.dirname(kept), exist_ok=True)
        # In one step: other processes of the function read it.
        with open(beside, "wb") as file:
            file.write(digest + marshal.dumps(code))
        os.replace(beside, kept)
    except OSError:
        # It is only slower next time.
        pass
