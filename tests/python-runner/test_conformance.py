"""The runner does what AWS's own runtime client does: every row is run with both, and what they do is compared.

What they do differently is in the rows, with the reason.
"""

import json
import os
import queue
import re
import unittest

import support

#: What is replaced in everything that the official client did: regular expression, replacement, reason.
EVERYWHERE = [
    ("\r", "\n", "its log service shows carriage returns as line breaks, but our log is read in a terminal"),
    ("\u00a0", " ", "its log service swallows spaces at the beginning of a line, a terminal does not"),
    (
        r'(\[WARNING\]\tTIME\t\t|{"timestamp": "TIME", "level": "WARNING", "message": ")LAMBDA_WARNING: Unhandled[^\n]*\n\n?',
        "",
        "the advice to look for an update of the managed runtime would be wrong",
    ),
    (r"(post: init/error\n)content-type: None", r"\1content-type: application/json", "JSON is said to be JSON"),
]


class Row:
    """One case.

    :param expect: a regular expression that is found in what happened, so that it is known to be what the row is about
    :param differs: what is replaced in what the official client did before it is compared: regular expression, replacement, reason
    """

    def __init__(self, handler, expect, event=None, headers=None, raw=None, more=None, status=202, differs=()):
        self.handler = handler
        self.expect = expect
        self.event = {} if event is None else event
        self.headers = headers
        self.raw = raw
        self.more = more
        self.status = status
        self.differs = differs


def result(name, expect, **more):
    return Row("results.named", expect, {"name": name}, **more)


UNICODE = {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.12"}
JSON_LOG = {"AWS_LAMBDA_LOG_FORMAT": "JSON"}
#: Where the runner's own frame is all that there is, even that is left out: it tells a developer nothing.
OWN_FRAME = [
    (r'{"label": "handle_event_request", "path": "[^"]*", "line": \d+}', "", "in the cause for X-Ray"),
    (r'"paths": \["[^"]*/bootstrap.py"\]', '"paths": []', "in the cause for X-Ray"),
    (r'"  File [^,]*/bootstrap.py[^,]*, line \d+, in handle_event_request.*?\\n"', "", "in the stack trace"),
    (r'  File "[^"]*/bootstrap.py", line \d+, in handle_event_request\n.*\n', "", "in the log"),
]

#: Python shows these frames when an exception ends the process.
ALL_OWN_FRAMES = [
    (r'  File "(<frozen runpy>|[^"]*/awslambdaric/\w+\.py)".*\n(    .*\n)*', "", "the developer's frames are enough"),
]

ROWS = {
    # Results.
    "nothing": result("nothing", r"null"),
    "truth": result("truth", r"\[true, false\]"),
    "text": result("text", r"u00fc"),
    "text, unicode": result("text", r"ü", more=UNICODE),
    "surrogate": result("surrogate", r"ud800"),
    "surrogate, unicode": result(
        "surrogate",
        r"Runtime.MarshalError",
        more=UNICODE,
        differs=[(r"(?s).*", None, "the official client ends with an exception of its own instead of answering")],
    ),
    "numbers": result("numbers", r"1e\+22"),
    "special": result("special", r"\[NaN, Infinity, -Infinity\]"),
    "decimals": result("decimals", r"\[1.10, 1E\+30, NaN, NaN, NaN, Infinity, -Infinity\]"),
    "decimal": result("decimal", r"3\.14"),
    "tuple": result("tuple", r"\[1, \[2\], \[\]\]"),
    "named": result("named", r'\[{"x": 1, "y": 2.0}, {"as": "dict"}\]'),
    "enums": result("enums", r'{"1": 1, "a": 2}'),
    "keys": result("keys", r'"null": "none"'),
    "special keys": result("special_keys", r'"NaN": 2'),
    "empty": result("empty", r'\[\[\], {}, ""\]'),
    "bytes": result("bytes", r"application/unknown"),
    "bytes inside": result("bytes_inside", r'{"a": "x"}'),
    "bad bytes": result("bad_bytes", r"Runtime.MarshalError"),
    "subclasses": result("subclasses", r'{"b": 2}'),
    "shared": result("shared", r'\[{"x": 1, "y": 2}, {"x": 1, "y": 2}\]'),
    "date": result("date", r"Runtime.MarshalError.*Object of type datetime is not JSON serializable"),
    "set": result("set", r"Object of type set is not JSON serializable"),
    "generator object": result("generator", r"Object of type generator is not JSON"),
    "circle": result("circle", r"Circular reference detected"),
    "circular": result("circular", r"Circular reference detected"),
    "decimal key": result("decimal_key", r"keys must be str"),
    "tuple key": result("tuple_key", r"keys must be str"),
    "object": result("object", r"Object of type object is not"),
    "bytearray": result("bytearray", r"Object of type bytearray is not"),
    "type": result("type", r"Object of type type is not"),
    "generator": Row("results.generator", r"Object of type generator is not JSON serializable"),
    "coroutine": Row(
        "results.coroutine",
        r"Object of type coroutine is not JSON serializable",
        differs=[(r"/\S*: (RuntimeWarning: coroutine .*\n).*\n", r"\1", "where Python notices it: the result is dropped elsewhere")],
    ),
    "refused": result(
        "truth",
        r"\[true, false\]",
        status=413,
        differs=[(r"(?s)(exit: )1(.*)", None, "the caller is told by the Runtime API; there is no reason to end")],
    ),
    # Events and the context.
    "echo": Row("results.echo", r"u00fc", {"a": [1, 1.5, "ü", None]}),
    "a text": Row("results.echo", r'"type": "str"', "text"),
    "not json": Row("results.echo", r'"event": "<a/>", "type": "bytes"', raw=b"<a/>", headers={"Content-Type": "text/xml"}),
    "bad json": Row(
        "results.echo", r"Runtime.UnmarshalError", raw=b"{", differs=[(r" or '}'", "", "Python's own module says less")]
    ),
    "bad text": Row("results.echo", r"Runtime.UnmarshalError.*invalid start byte", raw=b'"\xff"'),
    "context": Row(
        "results.context_in_full",
        r'"w3c": {"traceparent": "00-1"}.*',
        headers={
            "Lambda-Runtime-Trace-Id": "Root=1-2-3",
            "Lambda-Runtime-Client-Context": json.dumps(
                {"custom": {"a": 1}, "env": {"b": 2}, "client": {"app_title": "t"}, "w3c": {"traceparent": "00-1", "x": 1}}
            ),
            "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId":"i","cognitoIdentityPoolId":"p"}',
            "Lambda-Runtime-Aws-Tenant-Id": "tenant",
        },
    ),
    "a context without anything": Row(
        "results.context_in_full", r'"left": \["int", false, true\]', headers={"Lambda-Runtime-Deadline-Ms": "1000"}
    ),
    "an old trace": Row("results.context_in_full", r'"trace": null', more={"_X_AMZN_TRACE_ID": "old"}),
    "bad client context": Row(
        "results.echo", r"Runtime.LambdaContextUnmarshalError", headers={"Lambda-Runtime-Client-Context": "{"}
    ),
    "bad identity": Row(
        "results.echo", r"Runtime.LambdaContextUnmarshalError", headers={"Lambda-Runtime-Cognito-Identity": "x"}
    ),
    # Errors.
    "raises": Row("failing.raises", r"in inner"),
    "raises, unicode": Row("failing.raises", r'"in a function ü"', more=UNICODE),
    "raises, json log": Row("failing.raises", r'"level": "ERROR"', more=JSON_LOG),
    "chained": Row("failing.chained", r'"errorMessage": "second"'),
    "empty error": Row("failing.empty", r'"errorMessage": ""'),
    "key error": Row("failing.key", r"KeyError"),
    "several lines": Row("failing.several_lines", r"one\\ntwo"),
    "recursion": Row("failing.recursion", r"RecursionError", differs=[(r"(?s).*", None, "the depth is Python's")]),
    "in a library": Row("failing.in_library", r"json/decoder.py"),
    "unprintable": Row(
        "failing.unprintable",
        r"Unprintable that cannot be shown",
        differs=[(r"(?s).*", None, "the official client ends with an exception of its own instead of answering")],
    ),
    "arity": Row("failing.arity", r"TypeError.*positional argument", differs=OWN_FRAME),
    "not callable": Row("failing.not_callable", r"'int' object is not callable", differs=OWN_FRAME),
    "base exception": Row("failing.base", r"OwnBaseError: base\n(.|\n)*exit: 1", differs=ALL_OWN_FRAMES),
    "interrupt": Row(
        "failing.interrupt",
        r"KeyboardInterrupt\n(.|\n)*exit: 1",
        differs=[
            *ALL_OWN_FRAMES,
            (r"exit: -2", "exit: 1", "nobody but the function itself interrupts it, so that it is an error like others"),
        ],
    ),
    "exits with 4": Row("failing.exits", r"exit: 4", {"code": 4}),
    "exits with 0": Row("failing.exits", r"exit: 0", {"code": 0}),
    "exits with a text": Row("failing.exits", r"the reason\n(.|\n)*exit: 1", {"code": "the reason"}),
    "exits at once": Row("failing.exits_now", r"no end of line(.|\n)*exit: 7"),
    "killed": Row("failing.killed", r"exit: -15"),
    # Loading.
    "no module": Row("nowhere.handler", r"Unable to import module 'nowhere'"),
    "missing import": Row("missing_import.handler", r"No module named 'no_such_module'"),
    "bad syntax": Row("bad_syntax.handler", r"Runtime.UserCodeSyntaxError(.|\n)*exit: 1"),
    "raising": Row("raising.handler", r"at load(.|\n)*exit: 1"),
    "raising, json log": Row("raising.handler", r'"level": "ERROR"', more=JSON_LOG),
    "exiting": Row("exiting.handler", r"exit: 5"),
    "no handler": Row("results.nowhere", r"Handler 'nowhere' missing on module 'results'"),
    "no dot": Row("results", r"Bad handler 'results': not enough values"),
    "nothing before the dot": Row(".handler", r"errorType"),
    "nothing after the dot": Row("results.", r"Runtime.HandlerNotFound"),
    "built in": Row("time.handler", r"Cannot use built-in module time"),
    "dots": Row("package.inner.deep.handler", r'\["package.inner.deep", "package"\]'),
    "folders": Row("package/inner/deep.handler", r'\["package.inner.deep", "package"\]'),
    "a folder that is not there": Row("package/nowhere/deep.handler", r"Unable to import module 'package/nowhere/deep'"),
    "printing": Row("printing.handler", r"\[WARNING\]\tTIME\t\tat load"),
    # The log.
    "prints": Row("logging_.prints", r"part a\nb\nbytes\nas it is{'a': 1}"),
    "logs": Row("logging_.logs", r"\[INFO\]\tTIME\trequest-1\tinfo\n"),
    "logs, json": Row("logging_.logs", r'"message": "caught"', more=JSON_LOG, headers={"Lambda-Runtime-Aws-Tenant-Id": "t"}),
    "threads": Row("logging_.threads", r'\[\["MainThread"\], 1\]'),
}
for level in ("INFO", "error", "TRACE", "trace", "FATAL", "nonsense", ""):
    level_row = {"AWS_LAMBDA_LOG_LEVEL": level}
    ROWS["level {!r}".format(level)] = Row("logging_.level", r"\[CRITICAL\]\tTIME\trequest-1\tcritical", more=level_row)
    ROWS["level {!r}, json".format(level)] = Row(
        "logging_.level", r'"message": "critical"', more=dict(level_row, **JSON_LOG)
    )


def run(start, row):
    """Runs a row with one of the two, and describes what happened, in a text that can be compared."""
    with support.RuntimeApi(row.status) as api, start(api, row.handler, row.more) as worker:
        api.deliver(row.event, row.headers, row.raw)
        posts = []
        exit_code = None
        while exit_code is None:
            # It either posts something and asks for more, or ends.
            try:
                posts.append(api.posts.get(timeout=0.01))
            except queue.Empty:
                pass
            exit_code = worker.process.poll()
            if exit_code is None and len(posts) == 1 and api.polls.qsize() == 2:
                exit_code = "serves on"
        while not api.posts.empty():
            posts.append(api.posts.get())
        worker.process.kill()
        worker.process.wait()
        lines = [describe(post) for post in posts]
        lines += ["{}: {}".format(*stream) for stream in worker.output().items()]
        return masked("\n".join([*lines, "exit: {}".format(exit_code)]))


def describe(post):
    names = ["content-type", "lambda-runtime-function-error-type", "lambda-runtime-function-xray-error-cause"]
    headers = {name: post["headers"].get(name) for name in names}
    if headers[names[2]]:
        cause = json.loads(headers[names[2]])
        headers[names[2]] = json.dumps(dict(cause, paths=sorted(cause["paths"])))
    lines = ["post: " + post["where"], *("{}: {}".format(*header) for header in headers.items())]
    return "\n".join([*lines, post["body"].decode("utf-8", "backslashreplace")])


def masked(text):
    """Without what is different every time."""
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", "TIME", text)
    return re.sub(r"0x[0-9a-f]{8,}", "ADDRESS", text)


class Conformance(unittest.TestCase):
    maxDiff = None


def check(row):
    def test(self):
        ours = run(support.direct, row)
        self.assertRegex(ours, row.expect)
        # The place where Python notices something in the runner is not the developer's.
        ours = re.sub(r"{}\S*: (RuntimeWarning: .*\n).*\n".format(re.escape(support.RUNNERS)), r"\1", ours)
        self.assertNotIn(support.RUNNERS, ours)
        # What is said besides, of what is not there.
        ours = re.sub(r" \((the function's code|`[^`\n]*` (has|does):?) [^()\n]*\)", "", ours)
        theirs = run(support.official, row)
        for pattern, replacement, _ in EVERYWHERE:
            theirs = re.sub(pattern, replacement, theirs)
        for pattern, replacement, reason in row.differs:
            if replacement is None:
                self.assertNotEqual(theirs, ours, "no longer different: {}".format(reason))
                return
            changed = re.sub(pattern, replacement, theirs)
            self.assertNotEqual(changed, theirs, "no longer different: {}".format(reason))
            theirs = changed
        self.assertEqual(ours, theirs)

    return test


for row_name, one_row in ROWS.items():
    setattr(Conformance, "test " + row_name, check(one_row))

if __name__ == "__main__":
    unittest.main()
