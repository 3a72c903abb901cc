"""The control port: how a test sets what goes wrong, looks at everything, and waits for what happens.

`POST /control` with `{"command": …}` answers in JSON. `GET /control` answers with the record, one entry a line, for as long as it is read.
"""

import asyncio
import base64
import json

import updates
from cloudformation import Stack
from proxy import Proxy
from settings import merge
from tls import Authority, Front
from tunnel import DOMAIN, PASSWORD, USER, Tunnel
from web import Malformed, json_response, read_request, write_response
from world import DEVELOPER, TESTS


class Control:
    """The control port of a world."""

    def __init__(self, world, port):
        self.world, self.port = world, port
        self.proxies, self.fronts = {}, []
        self.authority = self.tunnel = None

    def credentials(self):
        """The credentials for the developer's machine and for tests, and where all this is."""
        shown = {}
        for who, access_key, _ in (DEVELOPER, TESTS):
            key = self.world.keys.get(access_key)
            shown[who] = {name: key[name] for name in ("accessKeyId", "secretAccessKey", "sessionToken")}
        return {"region": self.world.region, "account": self.world.account, "credentials": shown, "port": self.port}

    async def serve(self, reader, writer):
        """Serves one connection."""
        try:
            while request := await read_request(reader, writer):
                if request.method == "GET":
                    return await self._follow(writer)
                write_response(writer, await self._answer(request))
                await writer.drain()
        except (Malformed, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _follow(self, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n")
        told = 0
        while True:
            entries = self.world.record.entries
            new, told = entries[told:], len(entries)
            writer.write(b"".join(json.dumps(entry).encode() + b"\n" for entry in new))
            await writer.drain()
            await self.world.record.grown_beyond(told)

    async def _answer(self, request):
        try:
            asked = request.json()
            command = getattr(self, f"_{asked.pop('command')}")
            result = command(**asked)
            if asyncio.iscoroutine(result):
                result = await result
            return json_response(200, result if result is not None else {})
        except Exception as error:
            # Whatever a test has asked for wrongly, it shall read why.
            return json_response(400, {"error": f"{type(error).__name__}: {error}"})

    # ---- What there is ----

    def _state(self):
        world = self.world
        return {
            "connections": [connection.shown() for connection in world.gateway.connections.values()],
            "apis": {name: sorted(api.stages) for name, api in world.gateway.apis.items()},
            "tables": {name: list(table["items"].values()) for name, table in world.dynamodb.tables.items()},
            "objects": {name: {key: len(found["body"]) for key, found in bucket.items()} for name, bucket in world.s3.buckets.items()},
            "functions": {
                name: {**function.configuration, "environments": [one.shown() for one in function.environments]}
                for name, function in world.functions.functions.items()
            },
            "stacks": world.cloudformation.shown(), "rules": world.services["events"].rules,
            "proxies": [proxy.shown() for proxy in self.proxies.values()],
            "faults": world.faults.shown(),
            "counters": world.record.counters,
            "settings": world.settings,
            "movedMs": world.clock.moved * 1000,
        }

    def _entries(self):
        return {"entries": len(self.world.record.entries)}

    def _requests(self, start):
        """What the developer has asked for, from a request on, and how many there have been."""
        return {"requests": self.world.asked[start:], "count": len(self.world.asked)}

    def _stopAfter(self, count):
        """Does nothing that the developer asks for after so many requests."""
        self.world.stop_after, self.world.stopped = count, asyncio.Event()

    async def _stopped(self):
        """Waits until it has stopped, or goes on."""
        await self.world.stopped.wait()

    def _goOn(self):
        self.world.stop_after = None
        self.world.stopped.set()

    def _recorded(self, kind):
        """All entries of one kind, for a test that does not follow the record."""
        return {"entries": [entry for entry in self.world.record.entries if entry["kind"] == kind]}

    def _object(self, bucket, key):
        return {"base64": base64.b64encode(self.world.s3.get(bucket, key)).decode()}

    def _putObject(self, bucket, key, text):
        self.world.s3.buckets[bucket][key] = {"body": text.encode(), "etag": '"0"', "time": self.world.clock.wall(), "headers": {}, "checksums": {}}

    def _removeObjects(self, bucket, prefix):
        objects = self.world.s3.buckets[bucket]
        for key in [key for key in objects if key.startswith(prefix)]:
            del objects[key]

    def _putItem(self, table, item):
        self.world.dynamodb.tables[table]["items"][item[self.world.dynamodb.tables[table]["key"]]["S"]] = item

    def _expireLeases(self, table):
        """Has all leases of attached functions be over."""
        for item in self.world.dynamodb.tables[table]["items"].values():
            if "until" in item:
                item["until"] = {"N": "1"}

    def _deleteItem(self, table, key):
        self.world.dynamodb.tables[table]["items"].pop(key, None)

    # ---- What goes wrong ----

    def _settings(self, **changes):
        merge(self.world.settings, changes)
        # The luck of messages begins anew.
        self.world.gateway.chances.clear()

    def _fault(self, **rule):
        return {"id": self.world.faults.add(rule)}

    def _clearFaults(self, id=None):
        self.world.faults.remove(id)

    def _advance(self, ms):
        self.world.clock.advance(ms / 1000)

    def _skew(self, ms):
        self.world.clock.skew = ms / 1000

    def _closeConnection(self, id, code=1001, reason="Going away"):
        self.world.gateway.connections[id].close(code, reason)

    def _abortConnection(self, id):
        self.world.gateway.connections[id].abort()

    def _say(self, id, text):
        self.world.gateway.connections[id].deliver(text.encode())

    def _expireCredentials(self, who=None):
        self.world.keys.expire(who)

    def _renewCredentials(self, who):
        """New credentials for the developer or the tests, beside those that there are."""
        key = self.world.keys.mint(who, f"arn:aws:sts::{self.world.account}:assumed-role/Developer/{who}")
        return {name: key[name] for name in ("accessKeyId", "secretAccessKey", "sessionToken")}

    def _stack(self, name, status, reason=None, parameters=None):
        """Has a stack be in some state, e.g. one that another deployment has left behind, with parameters of its own."""
        stacks = self.world.cloudformation.stacks
        if name not in stacks:
            stacks[name] = Stack(self.world, name)
        stacks[name].parameters = {**stacks[name].parameters, **(parameters or {})}
        stacks[name].becomes(status, reason)

    # ---- What there shall be ----

    async def _debugStack(self, replace=(), **parameters):
        return await self.world.create_debug_stack(parameters, replace)

    def _function(self, name, bootstrap=None, text=None, **configuration):
        code = None if text is None else updates.archive_of(text)
        self.world.functions.put(name, configuration, code=code, bootstrap=bootstrap)

    def _role(self, name, attached=(), service="lambda.amazonaws.com"):
        self.world.roles[name] = {"trusted": False, "attached": set(attached), "inline": {}, "service": service}

    def _describe(self, name):
        """A function, with its tags, as Lambda would tell of it; nobody has looked."""
        function = self.world.functions.functions[name]
        described = {**self.world.functions.updates.described(function), "Tags": function.about.tags}
        role = self.world.roles.get(described["Role"].split("/")[-1], {})
        return {**described, "Policies": sorted(role.get("attached", ()))}

    def _deployByOthers(self, name, settings=None, text=None, tags=None):
        """Changes a function as a deployment by somebody else does: settings, code, or both."""
        function = self.world.functions.functions[name]
        about = function.about
        about.settings = {**about.settings, **(settings or {})}
        about.tags = {**about.tags, **(tags or {})}
        if text is not None:
            about.archive = updates.archive_of(text)
        about.status, about.reason = "Successful", None
        about.revise()
        self.world.functions.changed(function)

    def _layer(self, arn, location, sha256, size):
        self.world.functions.layers[arn] = {"Location": location, "CodeSha256": sha256, "CodeSize": size}

    def _deleteFunction(self, name):
        self.world.functions.delete(name)

    def _recycle(self, name):
        self.world.functions.recycle(name)

    async def _proxy(self, target=None):
        number = f"proxy-{len(self.proxies) + 1}"
        proxy = Proxy(self.world, number, target or self.port)
        await proxy.open()
        self.proxies[number] = proxy
        for scheme in ("http", "https"):
            self.world.endpoints.add(f"{scheme}://127.0.0.1:{proxy.port}")
        return proxy.shown()

    async def _network(self, id, **wanted):
        await self.proxies[id].set(wanted)
        return self.proxies[id].shown()

    async def _tls(self, protocols="h2", target=None):
        self.authority = self.authority or Authority(self.world.directory)
        front = Front(self.authority, target or self.port, protocols)
        await front.open()
        self.fronts.append(front)
        self.world.endpoints.add(f"https://127.0.0.1:{front.port}")
        return {"port": front.port, "endpoint": f"https://127.0.0.1:{front.port}", "bundle": self.authority.bundle}

    async def _tunnel(self, target):
        """A proxy as companies have them, and the name that only it knows this server by."""
        self.tunnel = Tunnel(self.world, target)
        await self.tunnel.open()
        endpoint = f"https://{DOMAIN}"
        self.world.endpoints.add(endpoint)
        return {"port": self.tunnel.port, "endpoint": endpoint, "user": USER, "password": PASSWORD}

    def _company(self, **wanted):
        self.tunnel.set(**wanted)

    def _functionEndpoint(self, endpoint):
        self.world.function_endpoint = endpoint.rstrip("/")

    async def close(self):
        """Ends what was started from here."""
        for proxy in self.proxies.values():
            proxy.close()
        if self.tunnel:
            self.tunnel.close()
        for front in self.fronts:
            await front.close()
