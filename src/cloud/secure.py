"""Serves the same with TLS at a port of its own, because functions post to their clients with `https://` in front of what an event names.

AWS documents `https://{domainName}/{stage}` as the endpoint of `@connections`, and so it stands in every chat. What an event names here
is this port: see `proxy_events`. Workers trust its certificate, which is made anew for each start.
"""

import datetime
import json
import pathlib
import re
import socket
from collections import OrderedDict

# What is replaced or used here, by module.
USES = {
    "hypercorn.asyncio": ["serve"],
    "ministack.app": ["_parse_execute_api_url"],
    "ministack.services.apigateway": ["_ws_connections", "handle_connections_api"],
}

# Beside this file, written before the server is started.
_CERTIFICATE = pathlib.Path(__file__).parent / "certificate.pem"
_KEY = pathlib.Path(__file__).parent / "key.pem"

_CONNECTIONS = re.compile(r"/(?P<stage>[^/]+)/@connections/(?P<id>[^/]+)")

# The APIs of connections by their ids. Of those that have gone, the last ones.
_apis = OrderedDict()
_MOST = 10_000

_listener = None


def authority():
    """The host and the port with TLS."""
    return "127.0.0.1:{}".format(_listener.getsockname()[1])


def remember(connection, api):
    """Keeps in mind which API a connection is to. Its id is all that tells it from others in a request to this port."""
    _apis[connection] = api
    _apis.move_to_end(connection)
    while len(_apis) > _MOST:
        _apis.popitem(last=False)


def apply():
    """Has the server listen at both ports, and take requests about connections that name no API."""
    global _listener
    import hypercorn.asyncio
    from ministack import app as cloud
    from ministack.services import apigateway

    _listener = socket.create_server(("127.0.0.1", 0))
    serve = hypercorn.asyncio.serve

    def at_both(app, config, **named):
        config.insecure_bind, config.bind = config.bind, [f"fd://{_listener.fileno()}"]
        config.certfile, config.keyfile = str(_CERTIFICATE), str(_KEY)
        config.alpn_protocols = ["http/1.1"]
        # Of many requests at once, each has a stub connect several times, while there is one thread that accepts connections. Who finds the
        # queue full tries again a second later.
        config.backlog = 1024
        # A function gets headers with the names that they were sent with: see `proxy_events`.
        config.h11_pass_raw_headers = True
        return serve(app, config, **named)

    hypercorn.asyncio.serve = at_both
    parse = cloud._parse_execute_api_url

    def parse_execute_api_url(host, path):
        found = _CONNECTIONS.fullmatch(path)
        # Without an API it is about a connection that has gone, or never was.
        return (_apis.get(found["id"], "unknown"), found["stage"], "/@connections/" + found["id"]) if found else parse(host, path)

    cloud._parse_execute_api_url = parse_execute_api_url
    manage = apigateway.handle_connections_api

    async def handle_connections_api(method, api, stage, connection, body, headers):
        record = apigateway._ws_connections.get(connection)
        if method != "GET" or not record or record.get("apiId") != api:
            return await manage(method, api, stage, connection, body, headers)
        return _described(record)

    apigateway.handle_connections_api = handle_connections_api


def _described(record):
    """What AWS says of a connection. The names begin in lower case, which ministack does not do, so that SDKs find nothing in it."""
    def time(seconds):
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    answer = {
        "connectedAt": time(record["connectedAt"]),
        "identity": record.get("identity", {}),
        "lastActiveAt": time(record["lastActiveAt"]),
    }
    return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()
