"""Errors in the shapes that Lambda hands to callers."""

import os
import traceback

from . import DIRECTORY


class RuntimeFault(Exception):
    """An error of the runtime itself, such as `Runtime.HandlerNotFound`."""

    def __init__(self, kind, message, stack=None):
        """
        :param kind: what follows `Runtime.` in the error type
        :param stack: lines that show the developer where to look
        """
        super().__init__(message)
        self.kind = "Runtime." + kind
        self.message = message
        self.stack = stack or []


class Report:
    """What is told about an error."""

    def __init__(self, error):
        self._frames = []
        self._xray_type = "LambdaValidationError"
        if isinstance(error, RuntimeFault):
            self.error_type = error.kind
            self._message = error.message
            self._stack = error.stack
        else:
            self.error_type = self._xray_type = type(error).__name__
            self._message = describe(error)
            # Without what newer versions of Python know about columns: Lambda leaves that out.
            self._frames = [
                (frame.filename, frame.lineno, frame.name, frame.line)
                for frame in traceback.extract_tb(without_own_frames(error.__traceback__))
            ]
            self._stack = traceback.format_list(self._frames)

    def body(self, request_id=""):
        """The body of `/invocation/{id}/error` and `/init/error`."""
        return {
            "errorMessage": self._message,
            "errorType": self.error_type,
            "requestId": request_id,
            "stackTrace": self._stack,
        }

    def xray_cause(self):
        """The value of the header `Lambda-Runtime-Function-XRay-Error-Cause`."""
        stack = [{"label": name, "path": path, "line": line} for path, line, name, _ in self._frames]
        return {
            "working_directory": os.getcwd(),
            "exceptions": [{"message": self._message, "type": self._xray_type, "stack": stack}],
            "paths": sorted({frame["path"] for frame in stack}),
        }


def end_for_want_of_memory(error):
    """Ends as a process does on Lambda that wants more memory than its function declares, if it is kept to that here."""
    if not isinstance(error, MemoryError):
        return
    # No function finds more modules loaded than on Lambda.
    import resource
    import signal

    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if limit != resource.RLIM_INFINITY:
        os.kill(os.getpid(), signal.SIGKILL)


def without_own_frames(trace):
    """A traceback from where the runner called something else."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(DIRECTORY):
        trace = trace.tb_next
    return trace


def describe(error):
    """What an error says about itself, whatever it is."""
    try:
        return str(error)
    except Exception as failure:
        return "<{} that cannot be shown: {}>".format(type(error).__name__, type(failure).__name__)
