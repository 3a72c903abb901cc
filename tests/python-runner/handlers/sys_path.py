"""A handler that says what it finds around it."""

import os
import sys
import time

import runner


def handler(event, context):
    return {
        "first": sys.path[0],
        "runner": runner.WHOSE,
        "own": [entry for entry in sys.path if entry.rstrip("/").endswith("runners/python")],
        "directory": os.getcwd(),
        "variables": sorted(name for name in os.environ if name.startswith(("SST_", "ONLY_"))),
        "zone": time.strftime("%Z", time.localtime(0)),
        "key": os.environ.get("AWS_ACCESS_KEY_ID"),
        "token": os.environ.get("AWS_SESSION_TOKEN"),
        "path": [entry for entry in sys.path if entry.startswith("/no/such")],
    }
