"""Answers the calls of stubs when they are answered.

After each call of a program that is its own runtime, ministack waits 50 ms for what it may still log, and a stub logs nothing but failures. And it
writes the head and the body of each event apart, so that the second waits until the first is acknowledged, which takes 40 ms more.
"""

import socketserver

# What is replaced or used here, by module.
USES = {"ministack.core.lambda_runtime": ["ProvidedWorker"]}

# What is written before an answer is in the pipe with it, and has to be read by a thread only. What comes later is read after the next call.
_FIRST_LINE = 0.002


def apply():
    """Waits for lines that have been written only, and sends what is written at once."""
    from ministack.core import lambda_runtime

    drain = lambda_runtime.ProvidedWorker._drain_stderr_bounded

    def drain_stderr_bounded(self, first_line_wait=_FIRST_LINE, **named):
        return drain(self, first_line_wait, **named)

    lambda_runtime.ProvidedWorker._drain_stderr_bounded = drain_stderr_bounded
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True
