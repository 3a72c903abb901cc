"""A small, strict counterpart for AWS: what the relay, the stub, and a deployment need of it, as it is documented.

    server.py '{"directory": "…", "rie": "…"}'

Listens on 127.0.0.1 only. Prints one line of JSON when it is ready, and ends when its standard input does, i.e. with whoever started it.
`README.md` says what there is.
"""

import asyncio
import email.utils
import json
import signal
import sys
import traceback

import control
import guard
from web import Malformed, Response, listen, read_request, write_half, write_parts, write_response
from world import World


async def serve(world, reader, writer):
    """Serves one connection of a client of AWS."""
    try:
        while request := await read_request(reader, writer):
            if request.headers.get("upgrade", "").lower() == "websocket":
                await world.gateway.handshake(request, reader, writer)
                return
            try:
                response = await world.handle(request)
            except Exception:
                # A mistake of the counterpart is no fault that a test has asked for, and must not look like one.
                world.record.add("broken", request=f"{request.method} {request.path}", why=traceback.format_exc())
                response = Response(500)
            if response.cut:
                writer.transport.abort()
                return
            # SDKs learn from it how wrong the clock of their machine is.
            response.headers.setdefault("date", email.utils.formatdate(world.clock.wall(), usegmt=True))
            response.headers.setdefault("x-amzn-requestid", "counterpart")
            if response.stall:
                # As much as one half of it comes, and then nothing, for as long as the client is patient.
                await write_half(writer, response)
                await reader.read()
                return
            if response.parts is not None:
                await write_parts(writer, response)
            else:
                write_response(writer, response, request.method)
            await writer.drain()
            if request.headers.get("connection", "").lower() == "close":
                return
    except (Malformed, asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(options):
    """Serves until standard input ends."""
    loop = asyncio.get_running_loop()
    guard.start()
    world = World(options)
    server = await listen(lambda reader, writer: serve(world, reader, writer))
    port = server.sockets[0].getsockname()[1]
    world.endpoints.add(f"http://127.0.0.1:{port}")
    world.function_endpoint = f"http://127.0.0.1:{port}"
    controlled = control.Control(world, port)
    control_server = await listen(controlled.serve)
    limits = asyncio.ensure_future(world.gateway.watch_limits())
    stop = asyncio.Event()
    limits.add_done_callback(lambda _: stop.set())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    ended = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(ended), sys.stdin)
    reading = asyncio.ensure_future(ended.read())
    reading.add_done_callback(lambda _: stop.set())
    ready = {"endpoint": f"http://127.0.0.1:{port}", "control": f"http://127.0.0.1:{control_server.sockets[0].getsockname()[1]}/control"}
    print(json.dumps(ready | controlled.credentials()), flush=True)
    await stop.wait()
    await world.functions.close()
    await controlled.close()
    if limits.done() and not limits.cancelled() and limits.exception():
        raise limits.exception()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1] if len(sys.argv) > 1 else "{}")))
