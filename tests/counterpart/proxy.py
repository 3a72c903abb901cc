"""TCP proxies that do to connections what networks do. Each stands in front of a port, and a test says what is wrong with it."""

import asyncio

from web import listen


class Pipe:
    """One connection through a proxy."""

    def __init__(self, proxy, near, far):
        self.proxy, self.near, self.far = proxy, near, far
        # A connection that was told to fall silent stays so, whatever becomes of the proxy.
        self.silent = {"up": False, "down": False}
        self.ended = False

    async def pump(self, direction, reader, writer):
        """Passes on what comes in one direction, as far and as late as it shall be passed on."""
        coming = asyncio.Queue()
        writing = asyncio.ensure_future(self._write(direction, coming, writer))
        try:
            while data := await reader.read(64 * 1024):
                # In silence nothing more is read, so that the sender's buffers fill as they would.
                await self._while_silent(direction)
                coming.put_nowait((asyncio.get_running_loop().time() + self.proxy.delay, data))
            coming.put_nowait((asyncio.get_running_loop().time() + self.proxy.delay, b""))
            await writing
        except (ConnectionError, OSError):
            self.cut()
        finally:
            writing.cancel()

    async def _write(self, direction, coming, writer):
        try:
            while True:
                due, data = await coming.get()
                await asyncio.sleep(due - asyncio.get_running_loop().time())
                # The end of a connection is told in silence no more than anything else.
                await self._while_silent(direction)
                if not data:
                    return writer.write_eof()
                writer.write(data)
                await writer.drain()
                self.proxy.bytes[direction] += len(data)
        except (ConnectionError, OSError, RuntimeError):
            return self.cut()

    async def _while_silent(self, direction):
        while not self.ended and (self.silent[direction] or self.proxy.silent[direction]):
            await self.proxy.changed.wait()

    def cut(self):
        """Ends both sides at once with a reset."""
        self.ended = True
        for writer in (self.near, self.far):
            writer.transport.abort()
        self.proxy.changed.tell()


class Proxy:
    """A proxy in front of a port of this machine."""

    def __init__(self, world, number, target):
        self.world, self.number, self.target = world, number, target
        self.server = self.port = None
        self.pipes = set()
        self.delay = 0.0
        self.silent = {"up": False, "down": False}
        self.refuse = self.blackhole = False
        self.changed = Changes()
        self.cutting = None
        self.count = 0
        self.bytes = {"up": 0, "down": 0}

    async def open(self, port=0):
        """Begins to listen. On the same port again after `refuse`."""
        self.server = await listen(self._accept, port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def set(self, wanted):
        """Changes what is wrong with the network.

        `cut`: all connections now. `cutEveryMs`: all connections, again and again; 0 ends it. `silence`: `up`, `down` or `both`, for the
        connections that there are; new ones work. `silent`: the same for all, until it is `none`. `refuse`: nobody listens. `blackhole`:
        connections are accepted, and nothing comes of them. `delayMs`: how much later everything arrives, in each direction; to make
        a connection takes as long as a question and its answer.
        """
        if wanted.get("cut"):
            self._cut()
        if "cutEveryMs" in wanted:
            if self.cutting:
                self.cutting.cancel()
            every = wanted["cutEveryMs"]
            self.cutting = asyncio.ensure_future(self._cut_every(every / 1000)) if every else None
        if silence := wanted.get("silence"):
            for pipe in self.pipes:
                for direction in directions(silence):
                    pipe.silent[direction] = True
        if "silent" in wanted:
            for direction in ("up", "down"):
                self.silent[direction] = direction in directions(wanted["silent"])
        if "blackhole" in wanted:
            self.blackhole = wanted["blackhole"]
        if "delayMs" in wanted:
            self.delay = wanted["delayMs"] / 1000
        if "refuse" in wanted and wanted["refuse"] != self.refuse:
            self.refuse = wanted["refuse"]
            if self.refuse:
                self.server.close()
            else:
                await self.open(self.port)
        self.world.record.add("proxy", proxy=self.number, **wanted)
        self.changed.tell()

    def shown(self):
        """What the control port tells."""
        return {"id": self.number, "port": self.port, "target": self.target, "connections": len(self.pipes), "accepted": self.count, "bytes": self.bytes}

    def close(self):
        """Ends the proxy."""
        self.server.close()
        if self.cutting:
            self.cutting.cancel()
        self._cut()

    def _cut(self):
        for pipe in list(self.pipes):
            pipe.cut()

    async def _cut_every(self, seconds):
        while True:
            await asyncio.sleep(seconds)
            self._cut()

    async def _accept(self, reader, writer):
        self.count += 1
        self.world.record.add("accepted", proxy=self.number)
        if self.blackhole:
            pipe = Pipe(self, writer, writer)
            self.pipes.add(pipe)
            try:
                # Whatever is sent is never read.
                writer.transport.pause_reading()
                await self.changed.forever()
            finally:
                self.pipes.discard(pipe)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target, limit=2**17)
        except OSError:
            writer.transport.abort()
            return
        pipe = Pipe(self, writer, far_writer)
        self.pipes.add(pipe)
        try:
            # The system has made the connection already, so what is sent on it waits for as long as making it would have taken.
            await asyncio.sleep(2 * self.delay)
            await asyncio.gather(pipe.pump("up", reader, far_writer), pipe.pump("down", far_reader, writer))
        finally:
            self.pipes.discard(pipe)
            writer.close()
            far_writer.close()


class Changes:
    """Wakes those that wait for a change."""

    def __init__(self):
        self._event = asyncio.Event()

    async def wait(self):
        """Waits for the next change."""
        await self._event.wait()

    def tell(self):
        """There was a change."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def forever(self):
        """Waits until it is cancelled."""
        while True:
            await self._event.wait()


def directions(text):
    """`up`, `down`, `both` or `none` as a list."""
    return {"both": ["up", "down"], "none": []}.get(text, [text])
