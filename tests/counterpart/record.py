"""The record of everything that happens, and those who follow it while it grows. Tests wait for entries of it, never for time."""

import asyncio
import time


class Record:
    """Entries with a number, a time and a kind. Kept until the end: a test is short."""

    def __init__(self):
        self.entries = []
        self.counters = {}
        self._grown = asyncio.Event()

    def add(self, kind, **fields):
        """Adds an entry and wakes whoever follows."""
        entry = {"seq": len(self.entries), "time": round(time.time() * 1000, 3), "kind": kind, **fields}
        self.entries.append(entry)
        self.count(kind)
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
        return entry

    def count(self, name, by=1):
        """Counts something that needs no entry of its own."""
        self.counters[name] = self.counters.get(name, 0) + by

    async def grown_beyond(self, number):
        """Waits until there are more than `number` entries."""
        while len(self.entries) <= number:
            await self._grown.wait()


class Clock:
    """The counterpart's clock. It runs as any other, and a test may move it forward: then what would have happened meanwhile happens."""

    def __init__(self):
        self.moved = 0.0
        # What the wall clock of this AWS shows beside the real one, in seconds. A client whose clock is wrong sees just that.
        self.skew = 0.0
        self._waiting = asyncio.Event()

    def now(self):
        """Seconds on a clock that never goes back."""
        return time.monotonic() + self.moved

    def wall(self):
        """What the wall clock of this AWS shows, in seconds since 1970."""
        return time.time() + self.skew

    def advance(self, seconds):
        """Moves the clock forward."""
        self.moved += seconds
        waiting, self._waiting = self._waiting, asyncio.Event()
        waiting.set()

    async def until(self, moment):
        """Waits until the clock shows `moment`, however it comes to that."""
        while (left := moment - self.now()) > 0:
            try:
                await asyncio.wait_for(self._waiting.wait(), left)
            except asyncio.TimeoutError:
                pass
