"""A debugger stops at what a handler does not catch itself, and the call ends as it does without one."""

import json
import os
import unittest

import support

FILE = os.path.join(support.HANDLERS, "uncaught.py")


def calls(handler, filters=None):
    """What two calls are answered with, and where a debugger stopped; there is none unless filters are given."""
    with support.RuntimeApi() as api, support.DebugClient() as client:
        messages = () if filters is None else [client.message()]
        with support.direct(api, handler, messages=messages, options=["-Xfrozen_modules=off"]) as worker:
            posts, stops = [], []
            if filters is not None:
                client.accept()
                client.attach(FILE, [], exceptions=filters)
                stopping = client.go_on_at_each_stop(stops)
            for _ in range(2):
                api.deliver({})
                # What is posted is posted after the worker was let go on.
                post = api.post()
                posts.append((post["where"], json.loads(post["body"])))
            worker.pipe.close()
            worker.exit_code()
            if filters is not None:
                stopping.join()
            return posts, stops


class Uncaught(unittest.TestCase):
    handlers = {
        "uncaught.at_once": "at_once",
        "uncaught.deep": "inner",
        # Only where its own code is meant, it is the line that calls the library.
        "uncaught.in_library": "in_library",
        "uncaught.coroutine": "inner",
        "uncaught.caught": None,
        "uncaught.not_json": None,
    }

    def check(self, filters, handlers):
        for handler, function in handlers.items():
            with self.subTest(handler):
                posts, stops = calls(handler, filters)
                expected = [] if function is None else [("exception", function, "uncaught.py")] * 2
                self.assertEqual(stops, expected)
                self.assertEqual(posts, calls(handler)[0])

    def test_uncaught(self):
        self.check(["uncaught"], self.handlers)

    def test_user_unhandled(self):
        # What goes through a library on its way leaves the function's own code twice: once in the coroutine.
        self.check(["userUnhandled"], {name: at for name, at in self.handlers.items() if name != "uncaught.coroutine"})

    def test_nothing_is_wanted(self):
        self.check([], {"uncaught.deep": None})


if __name__ == "__main__":
    unittest.main()
