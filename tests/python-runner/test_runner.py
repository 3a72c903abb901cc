"""What the runner does that AWS's own client does not: it stands by, and lives no longer than its parent."""

import ast
import json
import os
import tempfile
import unittest

import support


class Pipe(unittest.TestCase):
    def test_ends_with_its_pipe_while_it_waits_for_an_event(self):
        with support.RuntimeApi() as api, support.direct(api, "results.echo") as worker:
            api.poll()
            worker.pipe.close()
            self.assertEqual(worker.exit_code(), -9)

    def test_ends_with_its_pipe_whatever_the_function_does(self):
        with support.RuntimeApi() as api, support.direct(api, "busy.handler") as worker:
            api.deliver({})
            worker.wait_for_output("stdout", "busy")
            worker.pipe.close()
            self.assertEqual(worker.exit_code(), -9)
            self.assertNotIn("exit handler", worker.output()["stdout"])

    def test_children_do_not_keep_the_pipe(self):
        with support.RuntimeApi() as api, support.direct(api, "children.handler") as worker:
            api.deliver({})
            self.assertEqual(json.loads(api.post()["body"]), {"open": [0, 1, 2], "forked": 6})

    def test_lives_without_a_pipe(self):
        with support.RuntimeApi() as api:
            environment = support.function_environment(api, "results.echo")
            with support.Worker([support.RUNNER], environment) as worker:
                api.deliver({"a": 1})
                self.assertEqual(json.loads(api.post()["body"])["event"], {"a": 1})
                self.assertIsNone(worker.process.poll())


class Environment(unittest.TestCase):
    def expected(self, **more):
        expected = {
            "first": support.HANDLERS,
            "runner": "the function",
            "own": [],
            "directory": support.HANDLERS,
            "variables": [],
            "zone": "JST",
            "key": None,
            "token": None,
            "path": ["/no/such/b", "/no/such/a"],
        }
        return dict(expected, **more)

    more = {"TZ": "Asia/Tokyo", "PYTHONPATH": "/no/such/b:/no/such/a"}

    def test_direct(self):
        with support.RuntimeApi() as api, support.direct(api, "sys_path.handler", self.more):
            api.deliver({})
            self.assertEqual(json.loads(api.post()["body"]), self.expected())

    def test_standby(self):
        with support.RuntimeApi() as api, support.standby() as worker:
            worker.send(support.assignment(api, "sys_path.handler", self.more))
            api.deliver({})
            self.assertEqual(json.loads(api.post()["body"]), self.expected())

    def test_credentials(self):
        with support.RuntimeApi() as api, support.direct(
            api, "sys_path.handler", dict(self.more, AWS_SESSION_TOKEN="old")
        ):
            api.deliver({}, {"Sst-Credentials": '{"AWS_ACCESS_KEY_ID":"fresh"}'})
            self.assertEqual(json.loads(api.post()["body"]), self.expected(key="fresh"))
            # They stay until there are others.
            api.deliver({})
            self.assertEqual(json.loads(api.post()["body"]), self.expected(key="fresh"))
            headers = api.poll()
            self.assertEqual(headers.get("Sst-Runner"), "1", "it asks for the credentials")

    def test_the_handler_may_be_elsewhere(self):
        with support.RuntimeApi() as api, support.direct(api, "nowhere.handler", {"_HANDLER": "src/app.handler"}):
            body = json.loads(api.post()["body"])
            expected = "Unable to import module 'src/app': No module named 'nowhere' (the function's code has no `nowhere.py`)"
            self.assertEqual(body["errorMessage"], expected)

    def test_a_task_root_that_is_a_link(self):
        with tempfile.TemporaryDirectory() as directory, support.RuntimeApi() as api:
            link = os.path.join(directory, "link")
            os.symlink(support.HANDLERS, link)
            with support.direct(api, "failing.raises", {"LAMBDA_TASK_ROOT": link}):
                api.deliver({})
                trace = json.loads(api.post()["body"])["stackTrace"]
                self.assertIn('"{}/failing.py"'.format(link), trace[0])

    def test_no_task_root(self):
        with support.RuntimeApi() as api, support.direct(api, "results.echo", {"LAMBDA_TASK_ROOT": "/no/such"}) as worker:
            self.assertEqual(json.loads(api.post()["body"])["errorType"], "FileNotFoundError")
            self.assertEqual(worker.exit_code(), 1)

    def test_no_runtime_api(self):
        with support.RuntimeApi() as api, support.direct(api, "results.echo", {"AWS_LAMBDA_RUNTIME_API": ""}) as worker:
            self.assertEqual(worker.exit_code(), 1)
            self.assertIn("AWS_LAMBDA_RUNTIME_API is not set", worker.output()["stderr"])

    def test_nobody_at_the_runtime_api(self):
        with support.RuntimeApi() as api:
            pass
        with support.direct(api, "results.echo") as worker:
            self.assertEqual(worker.exit_code(), 1)
            self.assertIn("sst: the Runtime API at {} failed".format(api.address), worker.output()["stderr"])
            self.assertNotIn("Traceback", worker.output()["stderr"])


class Missing(unittest.TestCase):
    """What is said of what is not there, after the words that Lambda has for it."""

    files = {
        "app.py": "import json\nfrom os.path import join\n\ndef handler(*_):\n    pass\n\ndef other(*_):\n    pass\n\nVALUE = 1\n",
        "empty.py": "import json\n",
        "lacking.py": "import no_such_package.part\n",
        "failing.py": "from json import no_such_name\n",
        "src/deep.py": "",
    }
    rows = {
        "app.hanlder": r"^Handler 'hanlder' missing on module 'app' \(`app.py` has: `handler`, `other`; did you mean `handler`\?\)$",
        "app.nothing": r"^Handler 'nothing' missing on module 'app' \(`app.py` has: `handler`, `other`\)$",
        "src/deep.handler": r"^Handler 'handler' missing on module 'src/deep' \(`src/deep.py` has no functions\)$",
        "empty.handler": r"^Handler 'handler' missing on module 'empty' \(`empty.py` has no functions\)$",
        "ap.handler": r"^Unable to import module 'ap': No module named 'ap' \(the function's code has no `ap.py`; did you mean `app`\?\)$",
        "src/dep.handler": r"named 'src.dep' \(the function's code has no `src/dep.py`; did you mean `deep`\?\)$",
        "lacking.handler": r"named 'no_such_package' \(`(/\S+)` does not have it: install it there, e.g. by `\1 -m pip install no_such_package`\)$",
        "failing.handler": r"^Unable to import module 'failing': cannot import name 'no_such_name' from 'json' \([^()]*\)$",
    }

    def test_says_what_there_is(self):
        with tempfile.TemporaryDirectory() as directory:
            support.write_files(directory, self.files)
            for handler, expected in self.rows.items():
                with self.subTest(handler), support.RuntimeApi() as api:
                    with support.direct(api, handler, {"LAMBDA_TASK_ROOT": directory}):
                        self.assertRegex(json.loads(api.post()["body"])["errorMessage"], expected)


#: What a function may import of that which was imported ahead; some of it has a part that the function has as well.
IMPORTS = ["os", "urllib", "urllib.request", "concurrent", "importlib", "tempfile, random", "csv", "xml.dom.minidom", "zipfile, ssl"]
SHADOWING = {"random.py": "OWN = True\ndef Random(*_):\n    pass\n", "csv/nothing.txt": ""}

#: Everything that a function can see of its process.
DUMP = """
import os, sys
def attributes(module):
    return sorted(name for name, value in vars(module).items() if type(value) is type(sys))
def spec(module):
    found = getattr(module, "__spec__", None)
    return found and [found.name, found.origin, found.cached, str(found.loader).split(" object at")[0], str(module.__loader__).split(" object at")[0]]
def handler(*_):
    import locale, time
    variables = dict(os.environ)
    variables.pop("AWS_LAMBDA_RUNTIME_API")
    modules = {name: attributes(module) for name, module in sorted(sys.modules.items())}
    return {
        "modules": modules,
        "specs": {name: spec(module) for name, module in sorted(sys.modules.items())},
        "variables": variables, "directory": os.getcwd(), "path": sys.path, "arguments": sys.argv, "flags": str(sys.flags),
        "finders": [str(type(finder)) for finder in sys.meta_path], "hooks": len(sys.path_hooks),
        "zone": time.tzname, "locale": locale.setlocale(locale.LC_ALL), "encoding": sys.stdout.encoding,
        "hash": hash("text") if "PYTHONHASHSEED" in os.environ else None, "frames": sys.getrecursionlimit(),
    }
"""


class ByteCode(unittest.TestCase):
    def run_once(self, root, more=None):
        more = dict({"LAMBDA_TASK_ROOT": root, "PYTHONDONTWRITEBYTECODE": ""}, **(more or {}))
        with support.RuntimeApi() as api, support.direct(api, "app.handler", more):
            api.deliver({})
            return json.loads(api.post()["body"])

    def test_of_two_saves_within_a_second_the_second_one_runs(self):
        with tempfile.TemporaryDirectory() as root:
            for number in range(6):
                text = "def handler(*_):\n    return {}\n".format(number)
                support.write_files(root, {"app.py": "from package.part import handler\n", "package/part.py": text})
                # The same second, the same size.
                for file in ("app.py", "package/part.py"):
                    os.utime(os.path.join(root, file), (1_700_000_000, 1_700_000_000))
                self.assertEqual(self.run_once(root), number)
            self.assertEqual(sorted(os.listdir(root)), ["app.py", "package"])
            self.assertEqual(os.listdir(os.path.join(root, "package")), ["part.py"])

    def test_installed_packages_keep_theirs(self):
        with tempfile.TemporaryDirectory() as root:
            installed = os.path.join(root, "lib", "site-packages")
            support.write_files(installed, {"given.py": "VALUE = 1\n"})
            support.write_files(root, {"app.py": "import given\ndef handler(*_):\n    return given.__cached__\n"})
            cached = self.run_once(root, {"PYTHONPATH": installed})
            self.assertTrue(os.path.isfile(cached), cached)


class Standby(unittest.TestCase):
    def test_becomes_the_function_it_is_told_to_be(self):
        with support.RuntimeApi() as api, support.standby() as worker:
            worker.send(support.assignment(api, "results.echo"))
            api.deliver({"b": 1})
            self.assertEqual(json.loads(api.post()["body"]), {"event": {"b": 1}, "type": "dict"})
            worker.pipe.close()
            self.assertEqual(worker.exit_code(), -9)

    def test_has_no_more_threads_than_other_workers(self):
        with support.RuntimeApi() as api, support.standby() as worker:
            worker.send(support.assignment(api, "logging_.threads"))
            api.deliver({})
            self.assertEqual(json.loads(api.post()["body"]), [["MainThread"], 1])

    def test_modules_of_the_function_win(self):
        with support.RuntimeApi() as api, support.standby() as worker:
            root = os.path.join(support.HANDLERS, "shadowing")
            worker.send(support.assignment(api, "calendar.handler", task_root=root))
            api.deliver({})
            self.assertEqual(json.loads(api.post()["body"]), "own calendar")

    def test_shows_what_a_fresh_process_shows(self):
        for imports in IMPORTS:
            with tempfile.TemporaryDirectory() as root:
                support.write_files(root, dict({"app.py": "import {}\n{}".format(imports, DUMP)}, **SHADOWING))
                for more in ({}, {"TZ": "Asia/Tokyo", "LANG": "C", "PYTHONPATH": "/nowhere", "PYTHONHASHSEED": "7"}):
                    more = dict(more, LAMBDA_TASK_ROOT=root)
                    with support.RuntimeApi() as api, support.direct(api, "app.handler", more):
                        api.deliver({})
                        fresh = json.loads(api.post()["body"])
                    with support.RuntimeApi() as api, support.prepared(api, "app.handler", more) as worker:
                        self.assertIn(json.__file__.replace("json/__init__", "zipfile"), worker.receive()["read"])
                        worker.send(support.assignment(api, "app.handler", task_root=root, environment=None))
                        api.deliver({})
                        ahead = json.loads(api.post()["body"])
                    self.assertEqual(ahead, fresh, (imports, more))

    def test_ends_with_its_pipe(self):
        with support.standby() as worker:
            worker.pipe.close()
            self.assertEqual(worker.exit_code(), 0)
            self.assertEqual(worker.output(), {"stdout": "", "stderr": ""})

    def test_a_function_that_cannot_be_loaded(self):
        with support.RuntimeApi() as api, support.standby() as worker:
            worker.send(support.assignment(api, "bad_syntax.handler"))
            post = api.post()
            self.assertEqual(post["where"], "init/error")
            self.assertEqual(post["headers"]["lambda-runtime-function-error-type"], "Runtime.UserCodeSyntaxError")
            self.assertEqual(worker.exit_code(), 1)


class Provided(unittest.TestCase):
    """Packages that Lambda's runtime would bring along."""

    files = {
        "provided/given/__init__.py": "VALUE = 'provided'",
        "provided/own/__init__.py": "VALUE = 'provided'",
        "provided/listed.py": "VALUE = 'provided'",
        # A package of the environment in which Python runs, as one that a project has installed.
        "provided/debugpy/__init__.py": "VALUE = 'provided'",
        "path/listed.py": "VALUE = 'in PYTHONPATH'",
        "project/own.py": "VALUE = 'own'",
        "project/optional.py": "try:\n    from given import VALUE\nexcept ImportError:\n    VALUE = 'without'\n",
        "project/lacking.py": "import nowhere\n",
        "project/late.py": "def handler(event, context):\n    import nowhere\n",
        "project/app.py": """
import importlib.util, os, subprocess, sys
import own, optional, listed

def handler(event, context):
    child = subprocess.run([sys.executable, "-c", "import given"], stderr=subprocess.DEVNULL)
    return {
        "values": [own.VALUE, optional.VALUE, listed.VALUE],
        "debugpy": importlib.util.find_spec("debugpy").origin,
        "last": sys.path[-1],
        "count": sys.path.count(sys.path[-1]),
        "PYTHONPATH": os.environ["PYTHONPATH"],
        "variables": [name for name in os.environ if name.startswith("SST_")],
        "child": child.returncode,
    }
""",
    }

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        support.write_files(directory.name, self.files)
        self.root, self.provided, path = (os.path.join(directory.name, name) for name in ("project", "provided", "path"))
        self.more = {"LAMBDA_TASK_ROOT": self.root, "PYTHONPATH": path}

    def check(self, body):
        values = json.loads(body)
        self.assertFalse(values.pop("debugpy").startswith(self.provided))
        expected = {
            "values": ["own", "provided", "in PYTHONPATH"],
            "last": self.provided,
            "count": 1,
            "PYTHONPATH": self.more["PYTHONPATH"],
            "variables": [],
            "child": 1,
        }
        self.assertEqual(values, expected)

    def test_direct(self):
        more = dict(self.more, SST_PROVIDED=self.provided)
        with support.RuntimeApi() as api, support.direct(api, "app.handler", more):
            api.deliver({})
            self.check(api.post()["body"])

    def test_standby(self):
        with support.RuntimeApi() as api, support.standby() as worker:
            worker.send(support.assignment(api, "app.handler", self.more, self.root, provided=self.provided))
            api.deliver({})
            self.check(api.post()["body"])

    def test_what_is_nowhere_fails_as_usual(self):
        def post(start, handler):
            with support.RuntimeApi() as api, start(api, handler):
                api.deliver({})
                return json.loads(api.post()["body"])

        def direct(api, handler):
            return support.direct(api, handler, self.more)

        def direct_provided(api, handler):
            return support.direct(api, handler, dict(self.more, SST_PROVIDED=self.provided))

        def standby(api, handler):
            worker = support.standby()
            worker.send(support.assignment(api, handler, self.more, self.root, provided=self.provided))
            return worker

        for handler in ("lacking.handler", "late.handler", "missing.handler"):
            usual = post(direct, handler)
            self.assertIn("No module named", usual["errorMessage"])
            self.assertEqual(post(direct_provided, handler), usual)
            self.assertEqual(post(standby, handler), usual)

    def test_nothing_without_a_directory(self):
        code = "import sys, optional\ndef handler(*_):\n    return [optional.VALUE, sys.path]\n"
        support.write_files(self.root, {"bare.py": code})
        for parts in ({}, {"provided": None}):
            with support.RuntimeApi() as api, support.standby() as worker:
                worker.send(support.assignment(api, "bare.handler", self.more, self.root, **parts))
                api.deliver({})
                value, path = json.loads(api.post()["body"])
                self.assertEqual(value, "without")
                self.assertNotIn(None, path)


class Connection(unittest.TestCase):
    def test_one_connection_for_everything(self):
        with support.RawApi() as api, support.direct(api, "results.echo"):
            first = api.accept()
            for _ in range(3):
                self.assertIn("/next ", api.read(first))
                first.sendall(api.event(b'{"a":1}'))
                self.assertIn('/request-1/response HTTP/1.1\r\nHost: ', api.read(first))
                first.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}")
            self.assertIn("/next ", api.read(first))

    def test_an_answer_in_pieces(self):
        with support.RawApi() as api, support.direct(api, "results.echo"):
            first = api.accept()
            api.read(first)
            body = json.dumps("x" * 300_000).encode()
            half = len(body) // 2
            head = api.event(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
            chunks = b"%x;extension\r\n%s\r\n%x\r\n%s\r\n0\r\nTrailer: 1\r\n\r\n"
            first.sendall(head + chunks % (half, body[:half], len(body) - half, body[half:]))
            self.assertIn("x" * 300_000, api.read(first))

    def test_a_connection_that_is_closed_between_two_requests(self):
        with support.RawApi() as api, support.direct(api, "results.echo"):
            first = api.accept()
            api.read(first)
            first.sendall(api.event(b"1"))
            self.assertIn("/response", api.read(first))
            first.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            first.close()
            self.assertIn("/next ", api.read(api.accept()))

    def test_an_answer_that_ends_with_the_connection(self):
        with support.RawApi() as api, support.direct(api, "results.echo"):
            first = api.accept()
            api.read(first)
            first.sendall(api.event(b"").replace(b"Content-Length: 0\r\n", b"") + b"[1]")
            first.close()
            self.assertIn('{"event": [1]', api.read(api.accept()))

    def test_no_next_event(self):
        with support.RawApi() as api, support.direct(api, "results.echo") as worker:
            first = api.accept()
            api.read(first)
            first.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}")
            self.assertEqual(worker.exit_code(), 1)
            self.assertIn("was answered with status 403", worker.output()["stderr"])


class Sources(unittest.TestCase):
    def test_oldest_python(self):
        for directory, _, names in os.walk(support.RUNNERS):
            for name in names:
                if name.endswith(".py"):
                    with open(os.path.join(directory, name)) as file:
                        ast.parse(file.read(), name, feature_version=(3, 8))

    def test_loads_nothing_that_the_official_client_does_not(self):
        def loaded(start):
            with support.RuntimeApi() as api, start(api, "modules.handler"):
                api.deliver({})
                return set(json.loads(api.post()["body"]))

        more = {name for name in loaded(support.direct) - loaded(support.official) if not name.startswith("_")}
        self.assertEqual({name for name in more if not name.startswith("sst_runner")}, set())


if __name__ == "__main__":
    unittest.main()
