"""Loads a function's handler and serves the Lambda Runtime API until the process ends.

Only Python's own modules are used, from version 3.8 on, and no more of them than Lambda's own runtime client uses: what is
loaded already is loaded for the function too, and would win over a module of that name in its code.
"""

import os

#: Where the runner's own files are. Nobody but its developers wants to see them in a stack trace.
DIRECTORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
