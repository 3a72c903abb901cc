"""Lambda: functions whose code is the stub run as the real stub, under AWS's runtime interface emulator.

One execution environment serves one call at a time, and a further call starts another one. Between calls all processes of an environment
are stopped, as Lambda freezes them. What the stub says to the Runtime API passes through a door of ours, because the emulator does not
tell its caller whether the answer was a result or an error, and holds streamed responses back until their end.
"""

import asyncio
import binascii
import io
import json
import os
import re
import secrets
import signal
import stat
import struct
import subprocess
import urllib.parse
import uuid
import zipfile

import guard
import web
from web import Response, json_response
from tls import free_port, until_listening

# Limits of Lambda.
LONGEST_EVENT = 6 * 1024 * 1024
LONGEST_ASYNCHRONOUS = 1024 * 1024
LONGEST_VARIABLES = 4096

ROUTES = [
    ("POST", r"/2015-03-31/functions/([^/]+)/invocations", "Invoke"),
    ("POST", r"/2021-11-15/functions/([^/]+)/response-streaming-invocations", "InvokeWithResponseStream"),
    ("GET", r"/2015-03-31/functions/([^/]+)/configuration", "GetFunctionConfiguration"),
    ("GET", r"/2015-03-31/functions/([^/]+)", "GetFunction"),
]


def route(request):
    """What a request asks of which function."""
    for method, pattern, name in ROUTES:
        match = re.fullmatch(pattern, request.path.rstrip("/"))
        if match and request.method == method:
            # An ARN does as well as a name.
            return name, urllib.parse.unquote(match.group(1)).split(":")[-1]
    return "Unknown", ""


def operation(request):
    """The name of what a request asks for."""
    return route(request)[0]


class Failed(Exception):
    """An error with a type."""

    def __init__(self, status, kind, message):
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


class Function:
    """A function as it is configured, and its execution environments."""

    def __init__(self, name, configuration, directory):
        self.name, self.configuration, self.directory = name, configuration, directory
        self.environments = []
        self.free = asyncio.Condition()
        self.retries = configuration.get("retries", 2)

    @property
    def timeout(self):
        """Seconds."""
        return int(self.configuration.get("timeout", 3))


class Functions:
    """All functions of the account."""

    def __init__(self, world):
        self.world = world
        self.functions = {}
        self.number = 0
        # Asynchronous events on their way. The loop itself would not hold these tasks.
        self.queued = set()

    # ---- Functions ----

    def put(self, name, configuration, code=None, bootstrap=None):
        """Creates or changes a function. Its environments of before end when they are not busy any more."""
        variables = json.dumps(configuration.get("variables", {}), separators=(",", ":"), ensure_ascii=False)
        if len(variables.encode()) > LONGEST_VARIABLES:
            message = "Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit."
            raise Failed(400, "InvalidParameterValueException", f"{message} String measured: {variables}")
        if not 1 <= int(configuration.get("timeout", 3)) <= 900:
            raise Failed(400, "InvalidParameterValueException", "1 validation error detected: Value at 'timeout' failed to satisfy constraint")
        old = self.functions.get(name)
        directory = self._unpacked(name, code, bootstrap) if code or bootstrap else old and old.directory
        self.functions[name] = Function(name, configuration, directory)
        self.world.record.add("function", name=name, runtime=configuration.get("runtime"), timeout=configuration.get("timeout", 3))
        if old:
            self._retire(old)

    def delete(self, name):
        """Removes a function."""
        if old := self.functions.pop(name, None):
            self._retire(old)

    def _retire(self, function):
        for environment in list(function.environments):
            environment.retired = True
            if environment.state == "idle":
                environment.end("retired")

    def recycle(self, name):
        """Ends the environments of a function that are idle, so that its next call has a new one, with new credentials."""
        self._retire(self._found(name))

    def _unpacked(self, name, code, bootstrap):
        self.number += 1
        directory = os.path.join(self.world.directory, "functions", f"{name}-{self.number}")
        os.makedirs(directory, mode=0o700)
        if bootstrap:
            os.symlink(bootstrap, os.path.join(directory, "bootstrap"))
            return directory
        with zipfile.ZipFile(io.BytesIO(code)) as archive:
            for entry in archive.infolist():
                path = archive.extract(entry, directory)
                if mode := entry.external_attr >> 16:
                    os.chmod(path, stat.S_IMODE(mode) | stat.S_IRUSR)
        return directory

    def _found(self, name):
        function = self.functions.get(name)
        if function is None:
            arn = f"arn:aws:lambda:{self.world.region}:{self.world.account}:function:{name}"
            raise Failed(404, "ResourceNotFoundException", f"Function not found: {arn}")
        return function

    def arn(self, name):
        """The ARN of a function."""
        return f"arn:aws:lambda:{self.world.region}:{self.world.account}:function:{name}"

    # ---- Requests ----

    async def handle(self, request, key):
        """Answers a request."""
        asked, name = route(request)
        try:
            function = self._found(name)
            if asked == "Invoke":
                return await self._invoke(request, function, key)
            if asked == "InvokeWithResponseStream":
                return await self._invoke_streamed(request, function, key)
            if asked == "GetFunctionConfiguration":
                return json_response(200, self._described(function))
            if asked == "GetFunction":
                code = {"RepositoryType": "S3", "Location": "https://invalid.invalid/"}
                return json_response(200, {"Configuration": self._described(function), "Code": code})
            raise Failed(404, "UnknownOperationException", f"the counterpart knows no {request.method} {request.path}")
        except Failed as failed:
            self.world.record.add("lambda", operation=asked, who=key["who"], function=name, error=failed.kind)
            body = {"Type": "User", "message": failed.message, "Message": failed.message}
            return json_response(failed.status, body, {"x-amzn-errortype": failed.kind})

    def _described(self, function):
        known = function.configuration
        return {
            "FunctionName": function.name, "FunctionArn": self.arn(function.name), "Runtime": known.get("runtime", "provided.al2023"),
            "Role": known.get("role", f"arn:aws:iam::{self.world.account}:role/{function.name}"), "Handler": known.get("handler", "bootstrap"),
            "Timeout": function.timeout, "MemorySize": int(known.get("memory", 128)), "Version": "$LATEST", "State": "Active",
            "LastUpdateStatus": "Successful", "PackageType": "Zip", "Architectures": ["x86_64"],
            "Environment": {"Variables": known.get("variables", {})},
        }

    @staticmethod
    def _event(request, limit):
        if len(request.body) > limit:
            raise Failed(413, "RequestTooLargeException", f"Request must be smaller than {limit} bytes for the InvokeFunction operation")
        try:
            json.loads(request.body or b"{}")
        except ValueError as error:
            raise Failed(400, "InvalidRequestContentException", f"Could not parse request body into json: {error}") from error
        return request.body or b"{}"

    async def _invoke(self, request, function, key):
        kind = request.headers.get("x-amz-invocation-type", "RequestResponse")
        number = str(uuid.uuid4())
        event = self._event(request, LONGEST_ASYNCHRONOUS if kind == "Event" else LONGEST_EVENT)
        context = request.headers.get("x-amz-client-context", "")
        self.world.record.add("invoke", function=function.name, who=key["who"], request=number, type=kind, length=len(event))
        if kind == "Event":
            task = asyncio.ensure_future(self._asynchronously(function, event, context, number))
            self.queued.add(task)
            task.add_done_callback(self.queued.discard)
            return Response(202, headers={"x-amzn-requestid": number})
        environment = self._environment_now(function)
        outcome = await environment.call(event, context, number)
        headers = {"x-amzn-requestid": number, "x-amz-executed-version": "$LATEST"}
        if outcome["error"]:
            headers["x-amz-function-error"] = "Unhandled"
        return Response(200, outcome["body"], headers, "application/json")

    async def _invoke_streamed(self, request, function, key):
        number = str(uuid.uuid4())
        event = self._event(request, LONGEST_EVENT)
        self.world.record.add("invoke", function=function.name, who=key["who"], request=number, type="Streamed", length=len(event))
        environment = self._environment_now(function)
        response = Response(200, headers={"x-amzn-requestid": number, "x-amz-executed-version": "$LATEST"}, content_type="application/vnd.amazon.eventstream")
        response.parts = self._streamed(environment, event, request.headers.get("x-amz-client-context", ""), number)
        return response

    @staticmethod
    async def _streamed(environment, event, context, number):
        """The messages of a streamed answer, each as soon as the function has said it."""
        parts = environment.streams[number] = asyncio.Queue()
        calling = asyncio.ensure_future(environment.call(event, context, number))
        # The end of the call is the end of the parts.
        calling.add_done_callback(lambda _: parts.put_nowait(None))
        while (part := await parts.get()) is not None:
            yield message("PayloadChunk", part, "application/octet-stream")
        outcome = calling.result()
        if not outcome["error"] and "parts" not in outcome:
            # One that answers at once has one part.
            yield message("PayloadChunk", outcome["body"], "application/octet-stream")
        complete = {}
        if outcome["error"]:
            shown = json.loads(outcome["body"])
            complete = {"ErrorCode": shown.get("errorType", ""), "ErrorDetails": outcome["body"].decode()}
        yield message("InvokeComplete", json.dumps(complete).encode(), "application/json")

    async def _asynchronously(self, function, event, context, number):
        """Delivers an event that nobody waits for: with retries, and in its turn when all environments are busy."""
        delays = self.world.settings["functions"]["retryMs"]
        for attempt in range(function.retries + 1):
            async with function.free:
                while (environment := self._environment(function)) is None:
                    await function.free.wait()
            outcome = await environment.call(event, context, number)
            body = outcome["body"].decode(errors="replace")[: self.world.settings["recordedText"]]
            self.world.record.add("asynchronous", function=function.name, request=number, attempt=attempt + 1, error=outcome["error"], body=body)
            if not outcome["error"]:
                return
            if attempt < function.retries:
                clock = self.world.clock
                await clock.until(clock.now() + delays[min(attempt, len(delays) - 1)] / 1000)

    # ---- Execution environments ----

    def _environment_now(self, function):
        environment = self._environment(function)
        if environment is None:
            self.world.record.add("concurrency", function=function.name)
            raise Failed(429, "TooManyRequestsException", "Rate Exceeded.")
        return environment

    def _environment(self, function):
        """An environment for a call: the one that was used last, or a new one, if there may be one more."""
        if function.directory is None or not os.path.lexists(os.path.join(function.directory, "bootstrap")):
            raise Failed(502, "InvalidRuntimeException", "the counterpart runs functions only whose code has a `bootstrap`")
        idle = [environment for environment in function.environments if environment.state == "idle" and not environment.retired]
        if idle:
            environment = max(idle, key=lambda one: one.used)
        elif len(function.environments) < self.world.settings["functions"]["concurrency"]:
            self.number += 1
            environment = Environment(self.world, function, self.number)
            function.environments.append(environment)
        else:
            return None
        # From here on it is taken, whatever it does first.
        environment.state = "busy"
        return environment

    async def close(self):
        """Ends everything."""
        for task in self.queued:
            task.cancel()
        for function in self.functions.values():
            for environment in list(function.environments):
                environment.end("the counterpart ends")


class Environment:
    """An execution environment: the emulator, the stub as its child, and the door between them."""

    def __init__(self, world, function, number):
        self.world, self.function, self.number = world, function, number
        self.state, self.retired, self.used = "new", False, 0
        self.process = self.server = None
        self.rie_port = self.runtime_port = None
        self.key = None
        self.outcomes = {}
        # Where the parts of streamed answers go while they come, by request.
        self.streams = {}
        self.calls = 0
        self.frozen = False

    def shown(self):
        """What the control port tells."""
        return {
            "number": self.number, "state": self.state, "frozen": self.frozen, "calls": self.calls,
            "pid": self.process and self.process.pid, "accessKeyId": self.key and self.key["accessKeyId"],
        }

    def _variables(self, door):
        """The variables that Lambda gives an environment of `provided.al2023`."""
        world, function = self.world, self.function
        role = function.configuration.get("role", function.name).split("/")[-1]
        arn = f"arn:aws:sts::{world.account}:assumed-role/{role}/{function.name}"
        self.key = world.keys.mint(f"function/{function.name}", arn)
        variables = dict(function.configuration.get("variables", {}))
        for name, value in variables.items():
            variables[name] = world.as_functions_see(value)
        variables["AWS_ENDPOINT_URL"] = world.function_endpoint
        if world.function_endpoint.startswith("https"):
            variables["AWS_CA_BUNDLE"] = os.path.join(world.directory, "tls", "ca.pem")
        variables.update(world.settings["functions"]["environment"])
        return variables | {
            "AWS_ACCESS_KEY_ID": self.key["accessKeyId"], "AWS_SECRET_ACCESS_KEY": self.key["secretAccessKey"],
            "AWS_SESSION_TOKEN": self.key["sessionToken"], "AWS_REGION": world.region, "AWS_DEFAULT_REGION": world.region,
            "AWS_LAMBDA_FUNCTION_NAME": function.name, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.configuration.get("memory", 128)),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout), "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}", "AWS_LAMBDA_LOG_STREAM_NAME": f"2026/01/01/[$LATEST]{self.number:032x}",
            "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR", "LAMBDA_TASK_ROOT": function.directory, "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "LANG": "en_US.UTF-8", "TZ": ":UTC", "_HANDLER": function.configuration.get("handler", "bootstrap"),
            "PATH": "/usr/local/bin:/usr/bin:/bin", "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{door}",
        }

    async def _start(self):
        self.server = await web.listen(self._door)
        door = self.server.sockets[0].getsockname()[1]
        variables = self._variables(door)
        logs = os.path.join(self.world.directory, "logs")
        os.makedirs(logs, exist_ok=True)
        with open(os.path.join(logs, f"{self.function.name}-{self.number}.log"), "wb") as log:
            for attempt in range(5):
                try:
                    await self._start_emulator(variables, log)
                    break
                except RuntimeError:
                    # Somebody else was quicker to take one of the ports.
                    guard.remove(self.process.pid)
                    if attempt == 4:
                        raise
        self.world.record.add("environment", function=self.function.name, number=self.number, pid=self.process.pid, accessKeyId=self.key["accessKeyId"])

    async def _start_emulator(self, variables, log):
        self.rie_port, self.runtime_port = free_port(), free_port()
        # The emulator takes the last argument for the handler and gives its own address to the runtime; `env` puts both right.
        settings = [f"{name}={variables[name]}" for name in ("AWS_LAMBDA_RUNTIME_API", "_HANDLER", "TZ")]
        command = [
            self.world.rie, "--runtime-interface-emulator-address", f"127.0.0.1:{self.rie_port}",
            "--runtime-api-address", f"127.0.0.1:{self.runtime_port}", "--log-level", "warn",
            "/usr/bin/env", *settings, os.path.join(self.function.directory, "bootstrap"),
        ]
        self.process = await asyncio.create_subprocess_exec(
            *command, cwd=self.function.directory, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        guard.add(self.process.pid)
        await until_listening(self.rie_port, self.process)

    async def call(self, event, client_context, number):
        """Serves one call, for which this environment has been taken."""
        try:
            if self.process is None:
                await self._start()
            self._thaw()
            self.calls += 1
            self.world.record.add("called", function=self.function.name, environment=self.number, request=number)
            headers = {
                "content-type": "application/json", "x-amzn-requestid": number, "x-amz-client-context": client_context,
                "x-amzn-trace-id": f"Root=1-{secrets.token_hex(4)}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0",
            }
            try:
                _, _, body = await web.request("127.0.0.1", self.rie_port, "POST", "/2015-03-31/functions/function/invocations", headers, event)
            except (OSError, TypeError, asyncio.IncompleteReadError) as error:
                body = json.dumps({"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: {number} Error: {error}"}).encode()
            # The emulator tells the size as well, as Lambda did once.
            body = re.sub(rb"(Response payload size) \(\d+ bytes\) (exceeded)", rb"\1 \2", body) if len(body) < 1000 else body
            outcome = self.outcomes.pop(number, None) or self._platform_error(body, number)
            self.streams.pop(number, None)
        except BaseException:
            self.end("a call was given up")
            raise
        kind = outcome.get("kind", "platform")
        self.world.record.add(
            "answered", function=self.function.name, environment=self.number, request=number, error=outcome["error"], by=kind, length=len(outcome["body"]),
        )
        if kind == "platform":
            # Lambda resets an environment whose call has timed out or whose runtime has gone.
            self.end("reset")
        else:
            await self._release()
        return outcome

    @staticmethod
    def _platform_error(body, number):
        """What Lambda says itself of a call that the runtime has not answered."""
        text = body.decode(errors="replace")
        if match := re.fullmatch(r"Task timed out after (\d+\.\d\d) seconds", text):
            shown = {"errorType": "Sandbox.Timedout", "errorMessage": f"RequestId: {number} Error: Task timed out after {match.group(1)} seconds"}
            return {"error": True, "body": json.dumps(shown, separators=(",", ":")).encode()}
        try:
            known = isinstance(json.loads(text), dict)
        except ValueError:
            known = False
        shown = {"errorType": "Runtime.Unknown", "errorMessage": f"RequestId: {number} Error: {text}"}
        return {"error": True, "body": body if known else json.dumps(shown, separators=(",", ":")).encode()}

    def _thaw(self):
        if self.frozen:
            guard.send(self.process.pid, signal.SIGCONT)
            self.frozen = False

    async def _release(self):
        self.used = self.world.clock.now()
        if self.retired:
            self.end("retired")
            return
        if self.world.settings["functions"]["freeze"]:
            guard.send(self.process.pid, signal.SIGSTOP)
            self.frozen = True
            self.world.record.add("frozen", function=self.function.name, environment=self.number)
        self.state = "idle"
        await self._tell()

    async def _tell(self):
        async with self.function.free:
            self.function.free.notify()

    def end(self, why):
        """Ends the environment."""
        if self.state == "ended":
            return
        self.state = "ended"
        if self in self.function.environments:
            self.function.environments.remove(self)
        if self.server:
            self.server.close()
        if self.process:
            guard.kill(self.process.pid)
            asyncio.ensure_future(self._reap())
        self.world.record.add("environmentEnded", function=self.function.name, number=self.number, why=why)

    async def _reap(self):
        await self.process.wait()
        guard.remove(self.process.pid)
        await self._tell()

    # ---- The door ----

    async def _door(self, reader, writer):
        """Passes requests of the stub to the emulator's Runtime API, and takes note of what it answers calls with."""
        try:
            while (head := await web.read_headers(reader)) is not None:
                line, listed = head
                method, target, _ = line.split(" ", 2)
                await self._pass(reader, writer, method, target, dict(listed))
                await writer.drain()
        except (web.Malformed, ConnectionError, asyncio.IncompleteReadError, OSError, TypeError):
            pass
        finally:
            writer.close()

    async def _pass(self, reader, writer, method, target, headers):
        match = re.fullmatch(r"/2018-06-01/runtime/invocation/([^/]+)/(response|error)", target)
        parts, trailers = [], {}
        streamed = headers.get("lambda-runtime-function-response-mode", "").lower() == "streaming"
        if "chunked" in headers.get("transfer-encoding", "").lower():
            async for part, last in web.read_chunks(reader):
                if part:
                    parts.append(part)
                    if streamed:
                        number = match and match.group(1)
                        self.world.record.add("part", function=self.function.name, request=number, length=len(part))
                        if number in self.streams:
                            self.streams[number].put_nowait(part)
                trailers = last or trailers
            body = b"".join(parts)
        else:
            body = await web.read_body(reader, headers)
        passed = {name: value for name, value in headers.items() if name not in ("host", "connection", "transfer-encoding", "content-length", "trailer")}
        if streamed:
            # The emulator takes no more than a buffered response may have, and holds it back; it only has to know that there was one.
            passed.pop("lambda-runtime-function-response-mode", None)
        sent = b"{}" if streamed and match else body
        status, answered, content = await web.request("127.0.0.1", self.runtime_port, method, target, passed, sent)
        if match and 200 <= status < 300:
            number, kind = match.groups()
            self.outcomes[number] = self._outcome(kind, body, parts, streamed, headers, trailers)
            self.world.record.add(
                "runtimeApi", function=self.function.name, request=number, what=kind, streamed=streamed, length=len(body), errorType=headers.get("lambda-runtime-function-error-type"),
            )
        kept = {name: value for name, value in answered.items() if name not in ("connection", "transfer-encoding", "content-length")}
        if "lambda-runtime-invoked-function-arn" in kept:
            # The emulator names an account and a region of its own.
            kept["lambda-runtime-invoked-function-arn"] = self.world.functions.arn(self.function.name)
        web.write_response(writer, Response(status, content, kept))

    @staticmethod
    def _outcome(kind, body, parts, streamed, headers, trailers):
        if not streamed:
            return {"kind": kind, "error": kind == "error", "body": body}
        if "lambda-runtime-function-error-type" not in trailers:
            return {"kind": kind, "error": False, "body": body, "parts": parts, "contentType": headers.get("content-type")}
        try:
            told = binascii.a2b_base64(trailers.get("lambda-runtime-function-error-body", ""))
        except binascii.Error:
            told = b"{}"
        return {"kind": kind, "error": True, "body": told or b"{}", "parts": parts}


def message(kind, payload, content_type):
    """A message of an event stream."""
    headers = b""
    for name, value in ((":message-type", "event"), (":event-type", kind), (":content-type", content_type)):
        headers += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    prelude += struct.pack(">I", binascii.crc32(prelude))
    whole = prelude + headers + payload
    return whole + struct.pack(">I", binascii.crc32(whole))
