"""A TCP proxy that can cut, refuse, stall and delay what goes through it: the network between workers and servers."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

_LOOK_EVERY_S = 0.02
_PART = 65_536


@dataclass(kw_only=True)
class Proxy:
    """One address, and how the way to its target is now."""

    target: int
    """Port of the server on 127.0.0.1."""
    port: int = 0
    refusing: bool = False
    """Connections are cut, and new ones refused."""
    stalled: bool = False
    """Nothing goes through, and nothing is told."""
    delay_s: float = 0.0
    """For each part, in each direction."""
    cut_after: int | None = None
    """A connection is cut before its part of this number goes to the server."""
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, ready: threading.Event, ending: threading.Event) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            while not ending.is_set():
                await asyncio.sleep(_LOOK_EVERY_S)
                if self.refusing:
                    self._cut()
            self._cut()

    def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.refusing:
                return
            there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        finally:
            if self.refusing:
                writer.transport.abort()
        self._writers.add(there[1])
        tasks = [
            asyncio.ensure_future(self._pump(reader, there[1], counted=True)),
            asyncio.ensure_future(self._pump(there[0], writer, counted=False)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for one in (writer, there[1]):
                one.transport.abort()
                self._writers.discard(one)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        parts = 0
        with contextlib.suppress(OSError):
            while part := await reader.read(_PART):
                while self.stalled:  # noqa: ASYNC110 — set by another thread, which has no loop
                    await asyncio.sleep(_LOOK_EVERY_S)
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                parts += 1
                if counted and self.cut_after is not None and parts >= self.cut_after:
                    return
                writer.write(part)
                await writer.drain()


@contextlib.contextmanager
def proxied(target: int) -> Iterator[Proxy]:
    """Run a proxy on a free port of 127.0.0.1."""
    proxy, ready, ending = Proxy(target=target), threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(proxy.serve(ready, ending)), name="proxy", daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield proxy
    finally:
        ending.set()
        thread.join(10)
