"""Lambda: its functions, and what is asked of them. Functions whose code is the stub run, in the environments of `environments.py`.

One execution environment serves one call at a time, and a further call starts another one.
"""

import asyncio
import binascii
import io
import json
import os
import re
import stat
import struct
import urllib.parse
import uuid
import zipfile

import inline
import updates
from environments import Environment
from web import Response, json_response

# Limits of Lambda.
LONGEST_EVENT = 6 * 1024 * 1024
LONGEST_ASYNCHRONOUS = 1024 * 1024
LONGEST_VARIABLES = 4096

LAYER_VERSION = r"arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+"

ROUTES = [
    ("POST", r"/2015-03-31/functions/([^/]+)/invocations", "Invoke"),
    ("POST", r"/2021-11-15/functions/([^/]+)/response-streaming-invocations", "InvokeWithResponseStream"),
    ("GET", r"/2015-03-31/functions/([^/]+)/configuration", "GetFunctionConfiguration"),
    ("GET", r"/2015-03-31/functions/([^/]+)", "GetFunction"),
    ("GET", r"/2018-10-31/layers()", "GetLayerVersionByArn"),
    *updates.ROUTES,
]


def route(request):
    """What a request asks of which function."""
    for method, pattern, name in ROUTES:
        match = re.fullmatch(pattern, request.path.rstrip("/"))
        if match and request.method == method:
            # An ARN does as well as a name.
            return name, urllib.parse.unquote(match.group(1)).split("function:")[-1].split(":")[0]
    return "Unknown", ""


def operation(request):
    """The name of what a request asks for."""
    return route(request)[0]


Failed = updates.Failed


class Function:
    """A function as it is configured, and its execution environments."""

    def __init__(self, name, configuration, directory, archive=None):
        self.name, self.configuration, self.directory = name, configuration, directory
        self.about = updates.About(self, archive)
        self.environments = []
        self.free = asyncio.Condition()
        self.retries = configuration.get("retries", 2)

    @property
    def timeout(self):
        """Seconds."""
        return int(self.configuration.get("timeout", 3))

    @property
    def architecture(self):
        """What its environments are: `x86_64` or `arm64`."""
        return self.configuration.get("architecture", "x86_64")


class Functions:
    """All functions of the account."""

    def __init__(self, world):
        self.world = world
        self.functions = {}
        self.updates = updates.Updates(self)
        # ARN → what is told of that version of a layer. Functions do not run with it.
        self.layers = {}
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
        if configuration.get("architecture", "x86_64") not in ("x86_64", "arm64"):
            raise Failed(400, "InvalidParameterValueException", "1 validation error detected: Value at 'architectures' failed to satisfy constraint")
        old = self.functions.get(name)
        directory = self._unpacked(name, code, bootstrap) if code or bootstrap else old and old.directory
        archive = code or (old and old.about.archive)
        self.functions[name] = Function(name, configuration, directory, archive)
        if old:
            self.functions[name].about.tags = {**old.about.tags, **configuration.get("tags", {})}
        told = {"runtime": configuration.get("runtime"), "timeout": configuration.get("timeout", 3)}
        self.world.record.add("function", name=name, architecture=self.functions[name].architecture, **told)
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

    def changed(self, function):
        """Runs a function by what it has been set to from now on."""
        about = function.about
        function.configuration = {
            **function.configuration, "runtime": about.settings["Runtime"], "handler": about.settings["Handler"], "timeout": about.settings["Timeout"],
            "role": about.settings["Role"], "variables": about.settings["Environment"].get("Variables", {}), "architecture": about.architecture,
        }
        function.directory = self._unpacked(function.name, about.archive, None)
        self._retire(function)

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
            if asked == "GetLayerVersionByArn":
                return self._layer(request, key)
            function = self._found(name)
            if asked == "Invoke":
                return await self._invoke(request, function, key)
            if asked == "InvokeWithResponseStream":
                return await self._invoke_streamed(request, function, key)
            if told := self.updates.answer(asked, request, function, key):
                return told
            raise Failed(404, "UnknownOperationException", f"the counterpart knows no {request.method} {request.path}")
        except Failed as failed:
            self.world.record.add("lambda", operation=asked, who=key["who"], function=name, error=failed.kind)
            body = {"Type": "User", "message": failed.message, "Message": failed.message}
            return json_response(failed.status, body, {"x-amzn-errortype": failed.kind})

    def _layer(self, request, key):
        query = request.parameters()
        arn = query.get("Arn", "")
        if query.get("find") != "LayerVersion" or not re.fullmatch(LAYER_VERSION, arn):
            message = f"1 validation error detected: Value '{arn}' at 'arn' failed to satisfy constraint: Member must satisfy regular expression pattern"
            raise Failed(400, "ValidationException", message)
        if arn.split(":")[3] != self.world.region or arn not in self.layers:
            raise Failed(404, "ResourceNotFoundException", "The resource you requested does not exist.")
        self.world.record.add("layer", arn=arn, who=key["who"])
        described = {"LayerArn": arn.rpartition(":")[0], "LayerVersionArn": arn, "Version": int(arn.rpartition(":")[2])}
        return json_response(200, {**described, "Content": self.layers[arn]})

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
        if function.configuration.get("inline") and function.configuration["runtime"].startswith("python"):
            if not self.world.settings["functions"]["inline"]:
                return json_response(200, None)
            return await inline.invoke(self.world, function, event)
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


def message(kind, payload, content_type):
    """A message of an event stream."""
    headers = b""
    for name, value in ((":message-type", "event"), (":event-type", kind), (":content-type", content_type)):
        headers += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    prelude += struct.pack(">I", binascii.crc32(prelude))
    whole = prelude + headers + payload
    return whole + struct.pack(">I", binascii.crc32(whole))
