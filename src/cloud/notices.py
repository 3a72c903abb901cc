"""What the user should know of how this cloud differs from AWS, one line each, in a file that the program reads after a deployment."""

import pathlib
import threading

# Beside this file. Whoever reads it takes it away.
_FILE = pathlib.Path(__file__).parent / "notices"

_lock = threading.Lock()
_told = set()


def tell(text):
    """Has a line shown, once."""
    with _lock:
        if text not in _told:
            _told.add(text)
            with _FILE.open("a", encoding="utf-8") as file:
                file.write(text.replace("\n", " ") + "\n")
