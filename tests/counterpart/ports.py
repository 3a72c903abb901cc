"""Ports for programs that must be told theirs, and cannot be asked which one they got."""

import asyncio
import contextlib
import socket
import sys


@contextlib.contextmanager
def held(count=1):
    """Ports that nobody else is given until the end of the block, in which a program begins to listen on them.

    Linux lets a program listen where a socket is bound that does not listen, if both allow that addresses are used again, and gives such
    a port to nobody who asks for any port. Elsewhere a moment is left in which somebody might.
    """
    with contextlib.ExitStack() as sockets:
        numbers = []
        for _ in range(count):
            one = sockets.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            # Not before: a bound port that allows it might be given to two who ask for any.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            numbers.append(one.getsockname()[1])
        if sys.platform != "linux":
            sockets.close()
        yield numbers


async def until_listening(port, process):
    """Waits until a program that was just started accepts connections. It tells nobody, so it is tried."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError as error:
            if process.returncode is not None:
                raise RuntimeError(f"it ended with {process.returncode} before it listened") from error
            await asyncio.sleep(0.01)
