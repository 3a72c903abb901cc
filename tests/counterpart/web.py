"""HTTP/1.1 over asyncio streams: as much of it as clients of AWS use, and nothing that would hide what they really send."""

import asyncio
import json
import urllib.parse

# More than the largest event (6 MB) and the largest asset of a test's app.
LONGEST_BODY = 64 * 1024 * 1024

REASONS = {
    100: "Continue", 101: "Switching Protocols", 200: "OK", 202: "Accepted", 204: "No Content", 206: "Partial Content", 304: "Not Modified",
    400: "Bad Request", 403: "Forbidden", 404: "Not Found", 409: "Conflict", 410: "Gone", 412: "Precondition Failed",
    413: "Payload Too Large", 429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
}


_serving = set()


async def listen(serve, port=0):
    """Serves each connection to a port of 127.0.0.1 by a task of its own. Those are held here: the loop itself holds tasks weakly."""

    def accepted(reader, writer):
        task = asyncio.ensure_future(serve(reader, writer))
        _serving.add(task)
        task.add_done_callback(_serving.discard)

    return await asyncio.start_server(accepted, "127.0.0.1", port, limit=2**20, backlog=1024)


class Malformed(Exception):
    """What came is not HTTP."""


class Request:
    """A request as it was on the wire: `target` is not decoded, and header names are in lower case."""

    def __init__(self, method, target, headers, body):
        self.method, self.target, self.body = method, target, body
        # Several headers of one name stay several, because a signature covers them so.
        self.headers_list = headers
        self.headers = {}
        for name, value in headers:
            self.headers[name] = f"{self.headers[name]},{value}" if name in self.headers else value
        self.path, _, self.query = target.partition("?")

    def parameters(self):
        """The query, decoded."""
        return dict(urllib.parse.parse_qsl(self.query, keep_blank_values=True))

    def json(self):
        """The body as JSON."""
        return json.loads(self.body or b"{}")


class Response:
    """An answer. `cut` is for faults: the connection ends instead of, or in the middle of, what would be said."""

    def __init__(self, status, body=b"", headers=None, content_type=None):
        self.status, self.headers = status, dict(headers or {})
        self.body = body.encode() if isinstance(body, str) else body
        if content_type:
            self.headers.setdefault("content-type", content_type)
        self.cut = self.stall = False
        # An answer whose end is not known yet is a generator of its parts.
        self.parts = None


def json_response(status, value, headers=None, content_type="application/json"):
    """An answer in JSON."""
    return Response(status, json.dumps(value).encode(), headers, content_type)


async def read_headers(reader):
    """The first line and the headers of a message; none when the other side has closed the connection before it said anything."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise Malformed("the connection ended within the headers") from error
    lines = head.decode("latin-1").split("\r\n")
    headers = []
    for line in lines[1:]:
        if line:
            name, _, value = line.partition(":")
            headers.append((name.strip().lower(), value.strip()))
    return lines[0], headers


async def read_chunks(reader):
    """The parts of a chunked body, and its trailers as the last thing."""
    while True:
        size = int((await reader.readline()).split(b";")[0].strip() or b"x", 16)
        if size == 0:
            trailers = {}
            while line := (await reader.readline()).strip():
                name, _, value = line.decode("latin-1").partition(":")
                trailers[name.strip().lower()] = value.strip()
            yield None, trailers
            return
        yield await reader.readexactly(size), None
        await reader.readexactly(2)


async def read_body(reader, headers):
    """The body of a message with `headers`, whatever way its length is told."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = bytearray()
        async for part, _ in read_chunks(reader):
            body += part or b""
        return bytes(body)
    length = int(headers.get("content-length", 0))
    if length > LONGEST_BODY:
        raise Malformed("the body is too long")
    return await reader.readexactly(length)


async def read_request(reader, writer):
    """The next request on a connection; none at its end."""
    head = await read_headers(reader)
    if head is None:
        return None
    line, headers = head
    try:
        method, target, _ = line.split(" ", 2)
    except ValueError as error:
        raise Malformed(f"`{line}` begins no request") from error
    known = dict(headers)
    if known.get("expect", "").lower() == "100-continue":
        # S3 clients wait for this before they send an object.
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return Request(method, target, headers, await read_body(reader, known))


def write_response(writer, response, method="GET"):
    """Writes an answer. That to HEAD has the length of the body and not the body."""
    headers = dict(response.headers)
    headers.setdefault("content-length", str(len(response.body)))
    lines = [f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    writer.write(head if method == "HEAD" or response.status in (204, 304) else head + response.body)


async def write_half(writer, response):
    """Writes the headers of an answer and half of its body, or nothing at all when it has none."""
    if response.body:
        head = f"HTTP/1.1 {response.status} {REASONS[response.status]}\r\ncontent-length: {len(response.body)}\r\n\r\n"
        writer.write(head.encode() + response.body[: len(response.body) // 2])
        await writer.drain()


async def write_parts(writer, response):
    """Writes an answer part by part, as they come."""
    headers = {**response.headers, "transfer-encoding": "chunked"}
    lines = [f"HTTP/1.1 {response.status} {REASONS[response.status]}"] + [f"{name}: {value}" for name, value in headers.items()]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    async for part in response.parts:
        writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\n")


async def request(host, port, method, target, headers, body=b""):
    """Sends one request on a connection of its own and returns status, headers and body of the answer."""
    reader, writer = await asyncio.open_connection(host, port, limit=2**20)
    try:
        all_headers = {"host": f"{host}:{port}", "content-length": str(len(body)), "connection": "close", **headers}
        lines = [f"{method} {target} HTTP/1.1"] + [f"{name}: {value}" for name, value in all_headers.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
        head = await read_headers(reader)
        if head is None:
            raise ConnectionResetError("the connection was closed before anything was answered")
        line, answered = head
        answered = dict(answered)
        if "content-length" in answered or "transfer-encoding" in answered:
            content = await read_body(reader, answered)
        else:
            content = await reader.read()
        return int(line.split(" ")[1]), answered, content
    finally:
        writer.close()
