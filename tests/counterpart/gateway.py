"""API Gateway's WebSocket APIs: the signed `$connect`, the other routes, `@connections`, and the documented limits of all of them.

What a route comes to is what was deployed (`routes.py`). Only what the debug stack's control function does is done here, and counted.
"""

import asyncio
import base64
import email.utils
import hashlib
import json
import random
import re
import secrets
import struct
import time
import urllib.parse

import routes
from settings import Bucket
from signatures import Refused
from web import Response, json_response, write_response

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

# What fragments a message from API Gateway comes in.
FRAGMENT = 32 * 1024

# How long a message that shall be overtaken waits for the one that overtakes it.
HELD_BACK = 0.2


class Connection:
    """One WebSocket connection."""

    def __init__(self, gateway, reader, writer, api, stage, key, headers):
        self.gateway, self.reader, self.writer, self.api, self.stage, self.key = gateway, reader, writer, api, stage, key
        self.id = unusual(base64.b64encode(secrets.token_bytes(11)).decode())
        self.who = key["who"]
        self.user_agent = headers.get("user-agent", "")
        self.opened = self.active = gateway.clock.now()
        self.connected_at = self.active_at = gateway.clock.wall()
        self.held = []
        self.open = True

    @property
    def direction(self):
        """Which settings apply to messages for this connection. Stubs have the credentials of a function."""
        return "toStub" if self.who.startswith("function/") else "toClient"

    def shown(self):
        """What the control port tells."""
        now = self.gateway.clock.now()
        return {
            "id": self.id, "api": self.api, "stage": self.stage, "who": self.who, "direction": self.direction, "userAgent": self.user_agent,
            "accessKeyId": self.key["accessKeyId"], "ageMs": (now - self.opened) * 1000, "idleMs": (now - self.active) * 1000,
            "unsent": self.writer.transport.get_write_buffer_size(),
        }

    def touch(self):
        """Notes that there was a message."""
        self.active, self.active_at = self.gateway.clock.now(), self.gateway.clock.wall()

    def write_frame(self, opcode, payload, final=True):
        """Writes one frame. Nobody waits until the other side reads: API Gateway answers a post before that too."""
        length = len(payload)
        head = bytes([(0x80 if final else 0) | opcode])
        if length < 126:
            head += bytes([length])
        elif length < 65536:
            head += bytes([126]) + struct.pack(">H", length)
        else:
            head += bytes([127]) + struct.pack(">Q", length)
        if not self.writer.is_closing():
            self.writer.write(head + payload)

    def deliver(self, text):
        """Writes a message, in as many frames as it takes."""
        if not self.open:
            return
        parts = [text[at : at + FRAGMENT] for at in range(0, len(text), FRAGMENT)] or [b""]
        for index, part in enumerate(parts):
            self.write_frame(TEXT if index == 0 else 0, part, index == len(parts) - 1)
        self.gateway.note("delivered", self, text)

    def say(self, value):
        """Writes a message of API Gateway's own or of a route's answer."""
        self.touch()
        self.deliver(json.dumps(value).encode())

    def close(self, code, reason=""):
        """Closes the connection as API Gateway does: a frame that says why, and then TCP."""
        if self.open:
            self.write_frame(CLOSE, struct.pack(">H", code) + reason.encode())
            self.gateway.forget(self, code, reason)
            self.writer.close()

    def abort(self):
        """Ends the connection without a word."""
        self.gateway.forget(self, 1006, "aborted")
        self.writer.transport.abort()


class Gateway:
    """All WebSocket APIs of the account."""

    def __init__(self, world):
        self.world, self.clock, self.record = world, world.clock, world.record
        self.apis = {}
        self.connections = {}
        self.gone = {}
        limits = lambda: (self.settings["rate"], self.settings["burst"], self.settings["others"])
        self.requests = Bucket(self.clock, limits)
        self.connects = Bucket(self.clock, lambda: (self.settings["connectRate"], self.settings["connectBurst"]))
        self.chances = {}

    @property
    def settings(self):
        """The settings as they are now."""
        return self.world.settings["gateway"]

    def create_api(self):
        """A new API; its stages come with the stack's resources."""
        api = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(10))
        self.apis[api] = routes.Api()
        return api

    def close_all(self, api):
        """Ends the connections of an API that is deleted."""
        for connection in [one for one in self.connections.values() if one.api == api]:
            connection.close(1001, "Going away")

    def forget(self, connection, code, reason):
        """A connection has ended."""
        if self.connections.pop(connection.id, None):
            connection.open = False
            self.gone[connection.id] = connection
            self.record.add("disconnected", connection=connection.id, who=connection.who, direction=connection.direction, code=code, reason=reason)

    def note(self, kind, connection, text, **more):
        """Records a message."""
        limit = self.world.settings["recordedText"]
        shown = text[:limit].decode(errors="replace")
        self.record.add(kind, connection=connection.id, who=connection.who, length=len(text), text=shown, **more)

    async def watch_limits(self):
        """Closes connections that have been idle or open for too long, whoever moves the clock."""
        while True:
            now = self.clock.now()
            soonest = now + 3600
            for connection in list(self.connections.values()):
                idle, age = connection.active + self.settings["idleMs"] / 1000, connection.opened + self.settings["ageMs"] / 1000
                if min(idle, age) <= now:
                    # Both are the same to the client: "Going away".
                    connection.close(1001, "Going away")
                else:
                    soonest = min(soonest, idle, age)
            await self.clock.until(min(soonest, now + 1))
            # What a move of the clock has done to others comes first.
            await asyncio.sleep(0)

    # ---- The handshake ----

    async def handshake(self, request, reader, writer):
        """Answers a WebSocket handshake and serves the connection until its end."""
        refused, key, api, stage = self._admitted(request)
        if refused is None:
            facts = {"service": "websocket", "operation": "Connect", "who": key["who"], "method": "GET"}
            rule = self.world.faults.take(facts)
            refused = await self.world.fault_before(rule, facts) if rule else None
        if refused is not None:
            if refused.cut:
                writer.transport.abort()
                return
            refused.headers |= {"connection": "close", "date": email.utils.formatdate(self.clock.wall(), usegmt=True)}
            write_response(writer, refused)
            await writer.drain()
            return
        connection = Connection(self, reader, writer, api, stage, key, request.headers)
        status, _ = self._answered(connection, "$connect", "CONNECT", None)
        if not 200 <= status < 300:
            message = {"message": "Internal server error" if status == 500 else "Forbidden"}
            write_response(writer, json_response(status, message, {"connection": "close"}))
            await writer.drain()
            return
        accept = base64.b64encode(hashlib.sha1((request.headers["sec-websocket-key"] + GUID).encode()).digest()).decode()
        answer = Response(101, headers={"upgrade": "websocket", "connection": "upgrade", "sec-websocket-accept": accept})
        lines = ["HTTP/1.1 101 Switching Protocols"] + [f"{name}: {value}" for name, value in answer.headers.items()]
        # Posts to the id are good from here on: `$connect` has succeeded.
        self.connections[connection.id] = connection
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.record.add(
            "connected", connection=connection.id, who=connection.who, api=api, stage=stage,
            userAgent=connection.user_agent, accessKeyId=key["accessKeyId"], direction=connection.direction,
        )
        try:
            await self._serve(connection)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.forget(connection, 1006, "the connection was lost")
        finally:
            self.forget(connection, 1006, "the connection was lost")
            if not writer.is_closing():
                writer.close()

    def _admitted(self, request):
        forbidden = lambda message, kind: json_response(403, {"message": message}, {"x-amzn-errortype": kind})
        api, stage = self._place(request.path)
        if stage is None:
            return forbidden("Forbidden", "ForbiddenException"), None, None, None
        if len(f"wss://{request.headers.get('host', '')}{request.target}") > self.settings["urlLimit"]:
            self.record.add("limit", what="urlLimit", length=len(request.target))
            return json_response(414, {"message": "Request-URI Too Long"}), None, api, stage
        try:
            key = self.world.checker.check(request, "execute-api")
        except Refused as refused:
            return self.refusal(refused), None, api, stage
        if not self.connects.take():
            return json_response(429, {"message": "Too Many Requests"}, {"x-amzn-errortype": "LimitExceededException"}), None, api, stage
        return None, key, api, stage

    def _place(self, path):
        """API and stage of a path `/_aws/execute-api/{api}/{stage}…`, if there are such."""
        parts = path.split("/")
        if len(parts) >= 5 and parts[1:3] == ["_aws", "execute-api"] and parts[4] in getattr(self.apis.get(parts[3]), "stages", ()):
            return parts[3], parts[4]
        return None, None

    @staticmethod
    def refusal(refused):
        """What API Gateway answers to a bad signature."""
        kinds = {
            "unauthenticated": "MissingAuthenticationTokenException", "incomplete": "IncompleteSignatureException",
            "unknown": "UnrecognizedClientException", "expired": "ExpiredTokenException",
        }
        return json_response(403, {"message": refused.message}, {"x-amzn-errortype": kinds.get(refused.fault, "InvalidSignatureException")})

    # ---- Messages from the client ----

    async def _serve(self, connection):
        message = bytearray()
        begun = False
        while True:
            first, second = await connection.reader.readexactly(2)
            final, opcode, masked, length = first & 0x80, first & 15, second & 0x80, second & 127
            if length == 126:
                length = struct.unpack(">H", await connection.reader.readexactly(2))[0]
            elif length == 127:
                length = struct.unpack(">Q", await connection.reader.readexactly(8))[0]
            if length > self.settings["frameLimit"]:
                self.record.add("limit", what="frameLimit", connection=connection.id, who=connection.who, length=length)
                return connection.close(1009, f"Max frame length of {self.settings['frameLimit']} has been exceeded.")
            if not masked:
                return connection.close(1002, "A client's frames have to be masked.")
            mask = await connection.reader.readexactly(4)
            payload = unmask(await connection.reader.readexactly(length), mask)
            if not connection.open:
                return None
            if opcode == CLOSE:
                code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else 1005
                connection.write_frame(CLOSE, payload[:2])
                return self.forget(connection, code, payload[2:].decode(errors="replace"))
            if opcode == PING:
                self.record.count("pings")
                if self.settings["pingIsActivity"]:
                    connection.touch()
                if self.settings["pong"]:
                    connection.write_frame(PONG, payload)
                continue
            if opcode == PONG:
                continue
            if opcode == BINARY:
                self.record.add("limit", what="binary", connection=connection.id, who=connection.who, length=length)
                return connection.close(1003, "Binary frames are not supported.")
            if (opcode == TEXT) == begun:
                return connection.close(1002, "A frame that does not continue what was begun.")
            message += payload
            begun = not final
            if len(message) > self.settings["messageLimit"]:
                self.record.add("limit", what="messageLimit", connection=connection.id, who=connection.who, length=len(message))
                return connection.close(1009, "Max message length has been exceeded.")
            if final:
                connection.touch()
                self.note("frame", connection, bytes(message))
                await self._route(connection, bytes(message))
                message.clear()

    async def _route(self, connection, message):
        try:
            value = json.loads(message)
            action = value.get("action") if isinstance(value, dict) else None
        except ValueError:
            value = action = None
        trouble = {"connectionId": connection.id, "requestId": base64.b64encode(secrets.token_bytes(9)).decode()}
        api = self.apis.get(connection.api)
        number, _ = api.route(action) if api and not str(action).startswith("$") else (None, None)
        if number is None:
            # There is no `$default` route, so nobody is there for it.
            return connection.say({"message": "Forbidden", **trouble})
        if action == "hello":
            if self.settings["helloMs"]:
                await self.clock.until(self.clock.now() + self.settings["helloMs"] / 1000)
            if self.settings["hello"] == "fail":
                return connection.say({"message": "Internal server error", **trouble})
            if self.settings["hello"] == "ignore":
                return None
        status, text = self._answered(connection, action, "MESSAGE", value)
        if text is None and status == 500:
            return connection.say({"message": "Internal server error", **trouble})
        if text is not None:
            connection.touch()
            connection.deliver(text.encode())
        return None

    def _answered(self, connection, key, event, body):
        """What comes of a route: a status, and a text where one is to be said. A mistake is a status of 500, and recorded."""
        try:
            return self._integrated(connection, key, event, body)
        except routes.Misconfigured as mistake:
            self.record.add("misconfigured", route=key, who=connection.who, why=str(mistake))
            return 500, None

    def _integrated(self, connection, key, event, body):
        api = self.apis[connection.api]
        number, route = api.route(key)
        if route is None:
            raise routes.Misconfigured(f"there is no route {key}, so anybody would be let in")
        target, integration = api.integration(route)
        if integration["IntegrationType"] == "MOCK":
            if not self.settings["mock"][key]:
                raise routes.Misconfigured("mocks are not supported here, as the test wants it")
            status, text = routes.mock(api, target, integration, self._context(connection, key, event), body)
        elif integration["IntegrationType"] == "AWS_PROXY":
            status, text = self._invoked(connection, key, integration)
        else:
            raise routes.Misconfigured(f"the counterpart has no integrations of type {integration['IntegrationType']}")
        return status, text if event == "MESSAGE" and api.answers(number) else None

    def _context(self, connection, key, event):
        """The variables of a request, by the names that templates have for them."""
        now = self.clock.wall()
        number = base64.b64encode(secrets.token_bytes(9)).decode()
        context = {
            "apiId": connection.api, "connectedAt": int(connection.connected_at * 1000), "connectionId": connection.id,
            "domainName": f"{connection.api}.execute-api.{self.world.region}.amazonaws.com", "eventType": event, "extendedRequestId": number,
            "requestId": number, "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)), "requestTimeEpoch": int(now * 1000),
            "routeKey": key, "stage": connection.stage,
        }
        return {**context, "messageId": number} if event == "MESSAGE" else context

    def _invoked(self, connection, key, integration):
        """What the control function answers."""
        match = re.fullmatch(r"arn:aws:apigateway:[^:]+:lambda:path/2015-03-31/functions/arn:aws:lambda:[^:]+:\d+:function:([^:/]+)/invocations", integration.get("IntegrationUri", ""))
        function = match and self.world.functions.functions.get(match.group(1))
        if not function or routes.CONTROL not in function.configuration.get("inline", ""):
            raise routes.Misconfigured(f"there is no control function at {integration.get('IntegrationUri')}")
        self.record.add("control", function=match.group(1), route=key, who=connection.who, connection=connection.id)
        return 200, json.dumps({"connectionId": connection.id, "now": int(self.clock.wall() * 1000)})

    # ---- @connections ----

    def manage(self, request, key):
        """Answers a request to `@connections`."""
        api, stage = self._place(request.path)
        if stage is None or "/@connections/" not in request.path:
            return json_response(403, {"message": "Forbidden"}, {"x-amzn-errortype": "ForbiddenException"})
        if not self.requests.take():
            self.record.add("throttled", who=key["who"], connection=urllib.parse.unquote(request.path.rpartition("/")[2]))
            headers = {"x-amzn-errortype": "LimitExceededException", "retry-after": str(self.settings["retryAfterSeconds"])}
            return json_response(429, {"message": "Too Many Requests"}, headers)
        number = urllib.parse.unquote(request.path.split("/@connections/", 1)[1])
        if request.method == "POST" and len(request.body) > self.settings["messageLimit"]:
            # The length is looked at first, whoever is to get it.
            self.record.add("limit", what="postLimit", who=key["who"], length=len(request.body))
            return json_response(413, {"message": "Payload Too Large"}, {"x-amzn-errortype": "PayloadTooLargeException"})
        connection = self.connections.get(number)
        if connection is None or (connection.api, connection.stage) != (api, stage):
            self.record.add("post" if request.method == "POST" else "manage", connection=number, who=key["who"], status=410, length=len(request.body))
            return Response(410, headers={"x-amzn-errortype": "GoneException"})
        if request.method == "DELETE":
            connection.close(1000, "Connection Closed Normally")
            return Response(204)
        if request.method == "GET":
            at = lambda moment: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
            identity = {"sourceIp": "127.0.0.1", "userAgent": connection.user_agent}
            return json_response(200, {"connectedAt": at(connection.connected_at), "lastActiveAt": at(connection.active_at), "identity": identity})
        if request.method != "POST":
            return json_response(403, {"message": "Missing Authentication Token"}, {"x-amzn-errortype": "MissingAuthenticationTokenException"})
        room = self.settings["socketBuffer"]
        if room is not None and connection.writer.transport.get_write_buffer_size() > room:
            self.record.add("throttled", who=key["who"], connection=number, full=True)
            headers = {"x-amzn-errortype": "LimitExceededException", "retry-after": str(self.settings["retryAfterSeconds"])}
            return json_response(429, {"message": "Too Many Requests"}, headers)
        self.note("post", connection, request.body, status=200, sender=key["who"])
        connection.touch()
        self._pass_on(connection, request.body)
        return Response(200)

    def _pass_on(self, connection, text):
        """Delivers a message that was answered with 200, or does to it what the test wants done to some."""
        faults = self.settings[connection.direction]
        if not faults:
            connection.deliver(text)
            return self._release(connection)
        chances = self.chances.setdefault((connection.direction, faults.get("seed", 1)), random.Random(faults.get("seed", 1)))
        happens = lambda what: chances.random() < faults.get(what, 0)
        # Each is drawn in every case, so that one fault does not change the luck of the others.
        lost, doubled, overtaken, late = happens("loss"), happens("duplicate"), happens("reorder"), happens("delay")
        low, high = faults.get("delayMs", [50, 500])
        delay = chances.uniform(low, high) / 1000
        if lost:
            self.note("lost", connection, text)
            return None
        if overtaken and not connection.held:
            connection.held.append(text)
            self.note("heldBack", connection, text)
            asyncio.get_running_loop().call_later(HELD_BACK, self._release, connection)
            return None
        for _ in range(2 if doubled else 1):
            if late:
                asyncio.get_running_loop().call_later(delay, connection.deliver, text)
            else:
                connection.deliver(text)
        if doubled:
            self.note("doubled", connection, text)
        self._release(connection)
        return None

    @staticmethod
    def _release(connection):
        """Delivers what was held back, now that another message has overtaken it, or that none has come."""
        held, connection.held = connection.held, []
        for text in held:
            connection.deliver(text)


def unusual(text):
    """An id with every character that has to be encoded in a path. By chance alone most would have none but the last."""
    return f"{text[:3]}+{text[4:7]}/{text[8:]}"


def unmask(payload, mask):
    """Takes the mask off. One large number is much quicker than many small ones."""
    length = len(payload)
    whole = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(length, "big") if length else b""
