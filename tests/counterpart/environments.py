"""Execution environments of functions: the real stub under AWS's runtime interface emulator.

Between calls all processes of an environment are stopped, as Lambda freezes them. What the stub says to the Runtime API passes through a
door of ours, because the emulator does not tell its caller whether the answer was a result or an error, and holds streamed responses
back until their end.
"""

import asyncio
import binascii
import json
import os
import re
import secrets
import signal
import subprocess

import guard
import ports
import web
from web import Response


# What runs the programs of each architecture. A program of the other one is refused, as it is by Lambda's machines.
MACHINES = {"x86_64": [], "arm64": ["qemu-aarch64"]}


class Environment:
    """An execution environment: the emulator, the stub as its child, and the door between them."""

    def __init__(self, world, function, number):
        self.world, self.function, self.number = world, function, number
        self.state, self.retired, self.used = "new", False, 0
        self.process = self.server = None
        self.rie_port = self.runtime_port = None
        self.key = self.trace = None
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
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout), "AWS_LAMBDA_INITIALIZATION_TYPE": world.settings["functions"]["initialization"],
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
            with ports.held(2) as (self.rie_port, self.runtime_port):
                await self._start_emulator(variables, log)
        self.world.record.add("environment", function=self.function.name, number=self.number, pid=self.process.pid, architecture=self.function.architecture, accessKeyId=self.key["accessKeyId"])

    async def _start_emulator(self, variables, log):
        # The emulator takes the last argument for the handler and gives its own address to the runtime; `env` puts both right.
        settings = [f"{name}={variables[name]}" for name in ("AWS_LAMBDA_RUNTIME_API", "_HANDLER", "TZ")]
        command = [
            self.world.rie, "--runtime-interface-emulator-address", f"127.0.0.1:{self.rie_port}",
            "--runtime-api-address", f"127.0.0.1:{self.runtime_port}", "--log-level", "warn",
            "/usr/bin/env", *settings, *MACHINES[self.function.architecture], os.path.join(self.function.directory, "bootstrap"),
        ]
        self.process = await asyncio.create_subprocess_exec(
            *command, cwd=self.function.directory, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        guard.add(self.process.pid)
        for port in (self.rie_port, self.runtime_port):
            await ports.until_listening(port, self.process)

    async def call(self, event, client_context, number):
        """Serves one call, for which this environment has been taken."""
        try:
            if self.process is None:
                await self._start()
            self._thaw()
            self.calls += 1
            self.trace = f"Root=1-{secrets.token_hex(4)}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"
            self.world.record.add("called", function=self.function.name, environment=self.number, request=number, trace=self.trace)
            headers = {
                "content-type": "application/json", "x-amzn-requestid": number, "x-amz-client-context": client_context,
            }
            try:
                _, _, body = await web.request("127.0.0.1", self.rie_port, "POST", "/2015-03-31/functions/function/invocations", headers, event)
            except (OSError, asyncio.IncompleteReadError) as error:
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
        except (web.Malformed, ConnectionError, asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def _pass(self, reader, writer, method, target, headers):
        match = re.fullmatch(r"/2018-06-01/runtime/invocation/([^/]+)/(response|error)", target)
        asks = target.endswith("/invocation/next")
        if asks:
            self.world.record.add("asks", function=self.function.name, environment=self.number)
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
        if asks:
            await self._kept_waiting()
            self.world.record.add("given", function=self.function.name, environment=self.number)
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
            # And it has no trace.
            kept["lambda-runtime-trace-id"] = self.trace
        web.write_response(writer, Response(status, content, kept))

    async def _kept_waiting(self):
        """The emulator initialises an environment when there is a call for it, Lambda also long before: frozen until then."""
        if self.calls > 1 or not self.world.settings["functions"]["initializedAhead"]:
            return
        guard.send(self.process.pid, signal.SIGSTOP)
        self.world.record.add("frozen", function=self.function.name, environment=self.number)
        while self.world.settings["functions"]["initializedAhead"]:
            await asyncio.sleep(0.02)
        guard.send(self.process.pid, signal.SIGCONT)

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
