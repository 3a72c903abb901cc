"""What the doors answer themselves, mostly to requests that are not let in."""

import json
from dataclasses import dataclass, field
from xml.sax.saxutils import escape


@dataclass
class Answer:
    """What is said instead of what ministack would say."""

    status: int
    body: bytes
    headers: list = field(default_factory=list)
    # For the log: why a request is refused, unless the client is expected to come again.
    why: str = ""


def refusal(code, message):
    body = json.dumps({"__type": code, "message": message}).encode()
    return Answer(403, body, [(b"content-type", b"application/json")], message)


def page():
    return refusal("AccessDenied", "the local cloud's control plane takes no requests of web pages")


def sign_in():
    """What makes a client of an image registry send its password."""
    return Answer(401, b"", [(b"www-authenticate", b'Basic realm="local cloud"')])


def object_refusal(message):
    """As S3 says it."""
    body = f"<Error><Code>AccessDenied</Code><Message>{escape(message)}</Message></Error>".encode()
    return Answer(403, body, [(b"content-type", b"application/xml")], message)


def of_service(response, why=""):
    """What one of ministack's services answers."""
    status, headers, body = response
    headers = [(name.lower().encode(), str(value).encode()) for name, value in headers.items()]
    return Answer(status, body, [pair for pair in headers if pair[0] != b"content-length"], why)


async def give(answer, kind, receive, send):
    """Sends it. A WebSocket is closed before it is open."""
    if kind == "websocket":
        await receive()
        return await send({"type": "websocket.close", "code": 1008})
    headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


def without_cors(send, instead=None):
    """Sends an answer with nothing about origins in it but what `instead` gives."""

    async def sending(message):
        if message["type"] == "http.response.start":
            kept = [pair for pair in message.get("headers", []) if not pair[0].lower().startswith(b"access-control-")]
            added = [(name.lower().encode(), str(value).encode()) for name, value in (instead() if instead else {}).items()]
            message = {**message, "headers": kept + added}
        await send(message)

    return sending
