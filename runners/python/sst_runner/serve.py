"""Serves one function until the process ends."""

import os
import sys

from . import bytecode, debugger, errors, logs
from .context import apply_to_environment, lambda_context
from .handler import load_handler
from .results import Encoder, parse_event
from .runtime_api import RuntimeApi


def serve(address, task_root, name, provided=None):
    """Loads the handler and runs it for every invocation.

    :param address: `host:port` of the Runtime API
    :param task_root: the directory with the function's code
    :param name: of the handler, relative to that directory
    :param provided: a directory with the packages that Lambda's runtime would bring along
    """
    if not address:
        _end_with("AWS_LAMBDA_RUNTIME_API is not set; it is the `host:port` of the Lambda Runtime API")
    api = RuntimeApi(address)
    encoder = Encoder()
    try:
        logs.set_up()
        run = _load(api, encoder, task_root, name, provided)
        while True:
            _serve_invocation(api, encoder, run)
    except SystemExit:
        # As Python does with it: the exit code is kept, and nothing is posted.
        raise
    except BaseException as error:
        # What not even a handler's errors are, such as KeyboardInterrupt. Python would show it with our own frames.
        error = error.with_traceback(errors.without_own_frames(error.__traceback__))
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)


def _load(api, encoder, task_root, name, provided):
    try:
        # The path as it was given, without a look at links: debuggers compare it with the path of the file they show.
        task_root = os.path.abspath(task_root)
        os.chdir(task_root)
        sys.path.insert(0, task_root)
        if provided:
            bytecode.leave(provided)
            # Last, because the function's own packages win.
            sys.path.append(provided)
        return load_handler(name)
    except Exception as error:
        errors.end_for_want_of_memory(error)
        debugger.uncaught(error)
        report = errors.Report(error)
        logs.error(report.body(), encoder)
        _talk(api, lambda: api.fail_init(report.error_type, encoder.encode(report.body())))
        sys.exit(1)


def _serve_invocation(api, encoder, run):
    headers, body = _talk(api, api.next)
    request_id = headers.get("lambda-runtime-aws-request-id")
    logs.belong_to(request_id, headers.get("lambda-runtime-aws-tenant-id"))
    apply_to_environment(headers)
    try:
        context = lambda_context(headers)
        event = parse_event(body, headers.get("content-type"))
        take_back = debugger.stop_at_first_line(run) if headers.get("sst-stops") else None
        try:
            result, content_type = encoder.result(run(event, context))
        finally:
            if take_back:
                take_back()
    except Exception as error:
        errors.end_for_want_of_memory(error)
        debugger.uncaught(error)
        report = errors.Report(error)
        fault = report.body(request_id)
        logs.error(fault, encoder)
        _talk(api, lambda: api.fail(request_id, encoder.encode(fault), encoder.encode(report.xray_cause())))
    else:
        _talk(api, lambda: api.respond(request_id, result, content_type))


def _talk(api, exchange):
    """Asks the Runtime API for something. A process that cannot do so is of no use."""
    try:
        return exchange()
    except (OSError, ValueError) as error:
        _end_with("the Runtime API at {} failed: {}".format(api.address, error))


def _end_with(message):
    sys.stderr.write("sst: {}\n".format(message))
    sys.exit(1)
