"""A company's proxy: the only way to the counterpart for whoever knows it by a name that resolves nowhere. It wants a user and a password."""

import asyncio
import base64

from web import Malformed, listen, read_headers

# It and every bucket below it are the counterpart. `.test` is in no name server.
DOMAIN = "counterpart.test"

# What has to be percent-encoded in a URL is in it.
USER, PASSWORD = "de:v@company", "p@ss/w:rd%#"


class Tunnel:
    """An HTTP proxy that does `CONNECT`, and nothing else."""

    def __init__(self, world, target):
        self.world, self.target = world, target
        self.server = self.port = None
        # The status by which it refuses everybody.
        self.status = None
        self.challenge = 'Basic realm="counterpart"'

    async def open(self):
        """Begins to listen."""
        self.server = await listen(self._accept)
        self.port = self.server.sockets[0].getsockname()[1]

    def set(self, status=None, challenge=None):
        """Has it refuse everybody with a status, or nobody; and say which authentication it wants."""
        self.status, self.challenge = status, challenge or self.challenge

    def close(self):
        """Ends it."""
        self.server.close()

    def _verdict(self, method, target, headers):
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        host, _, port = target.rpartition(":")
        if self.status:
            return self.status
        if headers.get("proxy-authorization") != wanted:
            return 407
        if method != "CONNECT":
            return 405
        return 200 if f".{host}".endswith(f".{DOMAIN}") and port == "443" else 403

    async def _accept(self, reader, writer):
        try:
            head = await read_headers(reader)
            if head is None:
                return
            method, target, _ = head[0].split(" ", 2)
            headers = dict(head[1])
            status = self._verdict(method, target, headers)
            self.world.record.add("tunnel", method=method, target=target, status=status, agent=headers.get("user-agent"))
            if status != 200:
                challenge = f"proxy-authenticate: {self.challenge}\r\n" if status == 407 else ""
                writer.write(f"HTTP/1.1 {status} Refused\r\n{challenge}content-length: 0\r\nconnection: close\r\n\r\n".encode())
                await writer.drain()
                return
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            try:
                await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
            finally:
                far_writer.close()
        except (Malformed, ConnectionError, OSError, ValueError):
            pass
        finally:
            writer.close()


async def _pass_on(reader, writer):
    try:
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
    finally:
        # Neither direction is of use without the other.
        writer.close()
