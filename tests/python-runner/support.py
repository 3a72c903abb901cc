"""A Runtime API as Lambda has it, the workers that are its clients, and a client of the debugger."""

import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HERE = os.path.dirname(os.path.abspath(__file__))
HANDLERS = os.path.join(HERE, "handlers")
RUNNERS = os.path.normpath(os.path.join(HERE, "..", "..", "runners", "python"))
RUNNER = os.path.join(RUNNERS, "runner.py")
PREFIX = "/2018-06-01/runtime/"

#: What is waited for comes within milliseconds, or never. In seconds.
LONGEST = 30


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        # Workers are killed while they wait.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class RuntimeApi:
    """Gives events to one worker and collects what it posts."""

    def __init__(self, status=202):
        self.posts = queue.Queue()
        self.polls = queue.Queue()
        self._deliveries = queue.Queue()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                api.polls.put(dict(self.headers))
                delivery = api._deliveries.get()
                if delivery is not None:
                    self._answer(200, *delivery)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                api.posts.put({"where": self.path.replace(PREFIX, ""), "headers": headers, "body": body})
                self._answer(status, b'{"status":"OK"}', {"Content-Type": "application/json"})

            def _answer(self, code, body, headers):
                head = "".join("{}: {}\r\n".format(*header) for header in headers.items())
                head = "HTTP/1.1 {} Status\r\n{}Content-Length: {}\r\n\r\n".format(code, head, len(body))
                self.wfile.write(head.encode() + body)

            def log_message(self, *_):
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.address = "127.0.0.1:{}".format(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Whoever still asks for an event gets none.
        self._deliveries.put(None)
        self._server.shutdown()
        self._server.server_close()

    def deliver(self, event, headers=None, raw=None):
        """Gives the worker an event, once it asks. The event is JSON unless it is given as bytes."""
        everything = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": "request-1",
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 30_000),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:1:function:f",
        }
        everything.update(headers or {})
        self._deliveries.put((json.dumps(event).encode() if raw is None else raw, everything))

    def post(self):
        """The next thing that the worker posts."""
        return self.posts.get(timeout=LONGEST)

    def poll(self):
        """Waits until the worker asks for an event; returns the headers of its request."""
        return self.polls.get(timeout=LONGEST)


class Worker:
    """A worker process, and what it writes."""

    def __init__(self, arguments, environment, directory=HANDLERS, descriptors=(), pipe=None):
        self.pipe = pipe
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=descriptors,
        )
        self._written = {"stdout": b"", "stderr": b""}
        self._more = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(name,), daemon=True, name=name) for name in self._written
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.output()
        self.process.stdout.close()
        self.process.stderr.close()
        if self.pipe is not None:
            self.pipe.close()

    def send(self, *messages):
        """Writes into the pipe, all at once."""
        self.pipe.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def receive(self):
        """Waits for a line in the pipe."""
        text = b""
        while not text.endswith(b"\n"):
            text += self.pipe.recv(65536)
        return json.loads(text)

    def exit_code(self):
        """Waits for the end."""
        return self.process.wait(timeout=LONGEST)

    def output(self):
        """Everything that was written, after the end."""
        for reader in self._readers:
            reader.join(timeout=LONGEST)
        return {name: written.decode() for name, written in self._written.items()}

    def wait_for_output(self, name, text):
        """Waits until the worker has written something."""
        with self._more:
            if not self._more.wait_for(lambda: text in self._written[name].decode(), timeout=LONGEST):
                raise AssertionError("{!r} is not in {!r}".format(text, self._written))

    def _read(self, name):
        descriptor = getattr(self.process, name).fileno()
        data = os.read(descriptor, 65536)
        while data:
            with self._more:
                self._written[name] += data
                self._more.notify_all()
            data = os.read(descriptor, 65536)


def function_environment(api, handler, more=None):
    """The environment of a function."""
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
        "LAMBDA_TASK_ROOT": HANDLERS,
        "_HANDLER": handler,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment.update(more or {})
    return environment


def official(api, handler, more=None):
    """Starts AWS's own runtime client."""
    return Worker(["-m", "awslambdaric", handler], function_environment(api, handler, more))


def direct(api, handler, more=None, messages=(), options=()):
    """Starts our runner for a function.

    :param messages: that are in its pipe already
    :param options: of Python
    """
    ours, theirs = socket.socketpair()
    ours.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
    own = {"SST_HANDLER": handler, "SST_LIFELINE": str(theirs.fileno())}
    environment = dict(function_environment(api, handler, more), **own)
    # Started elsewhere, because it is the runner that goes to the task root.
    with theirs:
        return Worker([*options, RUNNER], environment, "/", [theirs.fileno()], ours)


def standby(options=()):
    """Starts our runner as a worker without a function."""
    ours, theirs = socket.socketpair()
    environment = {"PATH": os.environ["PATH"], "SST_STANDBY": str(theirs.fileno()), "ONLY_STANDBY": "1"}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    with theirs:
        return Worker([*options, RUNNER], environment, "/", [theirs.fileno()], ours)


def prepared(api, handler, more=None):
    """Starts our runner as a standby of a function, and tells it so."""
    ours, theirs = socket.socketpair()
    environment = dict(function_environment(api, handler, more), SST_STANDBY=str(theirs.fileno()))
    with theirs:
        worker = Worker([RUNNER], environment, environment["LAMBDA_TASK_ROOT"], [theirs.fileno()], ours)
    worker.send({"prepare": {}})
    return worker


def assignment(api, handler, more=None, task_root=HANDLERS, **parts):
    """The message that makes a standby a function.

    :param parts: more of the message
    """
    parts.setdefault("environment", function_environment(api, handler, more))
    parts.update({"taskRoot": task_root, "handler": handler, "runtimeApi": api.address})
    return {"assign": parts}


def write_files(directory, files):
    """Writes files; their names are relative to a directory."""
    for name, content in files.items():
        file = os.path.join(directory, name)
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "w") as stream:
            stream.write(content)


class DebugClient:
    """What an editor is to the debugger: it listens, and speaks the Debug Adapter Protocol to what connects."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LONGEST)
        self._socket = None
        self._number = 0
        self._messages = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()
        self._listener.close()

    def message(self, path=None):
        """What tells a worker to connect."""
        host, port = self._listener.getsockname()
        return {"debug": {"host": host, "port": port, "path": path}}

    def accept(self):
        """Waits for the worker, and begins the session."""
        self.drop()
        self._socket, _ = self._listener.accept()
        self._socket.settimeout(LONGEST)
        self._stream = self._socket.makefile("rb")
        self._messages = []
        self.request("initialize", {"adapterID": "test", "clientID": "test"})

    def attach(self, file, lines, just_my_code=True, exceptions=()):
        """Attaches, with breakpoints in one file, and filters of exceptions to stop at."""
        number = self.send("attach", {"justMyCode": just_my_code})
        self.event("initialized")
        self.set_breakpoints(file, lines)
        self.request("setExceptionBreakpoints", {"filters": list(exceptions)})
        self.request("configurationDone")
        self._await(lambda message: message.get("request_seq") == number)

    def set_breakpoints(self, file, lines):
        """Replaces the breakpoints of a file."""
        places = [{"line": line} for line in lines]
        answer = self.request("setBreakpoints", {"source": {"path": file}, "breakpoints": places})
        assert all(place["verified"] for place in answer["breakpoints"]), answer

    def stopped_frames(self):
        """Waits until the worker stops; returns the thread and its frames."""
        thread = self.event("stopped")["threadId"]
        return thread, self.request("stackTrace", {"threadId": thread})["stackFrames"]

    def variables(self, frame):
        """The local variables of a frame."""
        scopes = self.request("scopes", {"frameId": frame["id"]})["scopes"]
        reference = scopes[0]["variablesReference"]
        found = self.request("variables", {"variablesReference": reference})["variables"]
        return {variable["name"]: variable["value"] for variable in found}

    def request(self, command, arguments=None):
        """Sends a request and returns what the answer says."""
        number = self.send(command, arguments)
        answer = self._await(lambda message: message.get("request_seq") == number)
        assert answer["success"], answer
        return answer.get("body")

    def event(self, name):
        """Waits for an event."""
        return self._await(lambda message: message.get("event") == name).get("body")

    def send(self, command, arguments=None):
        """Sends a request without waiting; returns its number."""
        self._number += 1
        message = {"seq": self._number, "type": "request", "command": command, "arguments": arguments or {}}
        body = json.dumps(message).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return self._number

    def go_on_at_each_stop(self, stops):
        """Lets the worker go on wherever it stops until it ends; `stops` gets the reason, the function and the file of each."""

        def run():
            try:
                while True:
                    event = self.event("stopped")
                    frame = self.request("stackTrace", {"threadId": event["threadId"]})["stackFrames"][0]
                    name = frame["name"].replace(" (Current frame)", "")
                    stops.append((event["reason"], name, os.path.basename(frame["source"]["path"])))
                    self.request("continue", {"threadId": event["threadId"]})
            except (AssertionError, OSError):
                # The worker has ended.
                pass

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def drop(self):
        """Goes away without a word."""
        if self._socket is not None:
            self._stream.close()
            self._socket.close()
            self._socket = None

    def _await(self, wanted):
        for index, message in enumerate(self._messages):
            if wanted(message):
                return self._messages.pop(index)
        while True:
            message = self._read()
            if wanted(message):
                return message
            self._messages.append(message)

    def _read(self):
        length = None
        line = self._stream.readline()
        while line.strip():
            name, _, value = line.decode().partition(":")
            if name.lower() == "content-length":
                length = int(value)
            line = self._stream.readline()
        if length is None:
            raise AssertionError("the debugger has gone")
        return json.loads(self._stream.read(length))


class RawApi:
    """A Runtime API of which every byte is written by the test."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LONGEST)
        self.address = "127.0.0.1:{}".format(self._listener.getsockname()[1])
        self._connections = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in [self._listener, *self._connections]:
            connection.close()

    def accept(self):
        """Waits for a connection."""
        connection, _ = self._listener.accept()
        connection.settimeout(LONGEST)
        self._connections.append(connection)
        return connection

    def read(self, connection):
        """Waits for one request."""
        text = b""
        while b"\r\n\r\n" not in text:
            text += self._more(connection)
        head, _, body = text.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")]
        while lengths and len(body) < int(lengths[0]):
            body += self._more(connection)
        return (head + b"\r\n\r\n" + body).decode()

    @staticmethod
    def event(body):
        """An answer with an event."""
        head = "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: request-1\r\nContent-Type: application/json\r\n"
        return head.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)

    @staticmethod
    def _more(connection):
        data = connection.recv(65536)
        if not data:
            raise AssertionError("the worker has closed the connection")
        return data
