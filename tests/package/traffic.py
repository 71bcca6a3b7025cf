"""What clients do all the time, also while the gateway is reloaded, restarted or upgraded, and what they lose by it."""

import asyncio
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

HOST = "matrix.example.com"
ADDRESS, PORT = "127.0.0.1", 443
#: How long a request may take before it counts as lost, in seconds.
PATIENCE = 30.0
#: How long the long poll and the upload take that are in flight during a step, in seconds.
IN_FLIGHT = 5.0
UPLOAD = 4 << 20
SESSION = b"a message to the other device"
KINDS = ("new", "kept", "h2", "poll", "upload")


@dataclass
class Count:
    sent: int = 0
    lost: int = 0
    #: Requests that went through on a second connection, since the first was closed under them. HTTP/1.1 cannot rule
    #: that out for a connection that is kept open, and every client does it for what may be repeated.
    again: int = 0
    worst: float = 0.0


@dataclass
class Tally:
    """What came of a step."""

    step: str
    counts: dict[str, Count] = field(default_factory=lambda: {kind: Count() for kind in KINDS})
    errors: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return sum(count.lost for count in self.counts.values())

    def worst(self) -> float:
        """The longest that a request waited that is answered at once."""
        return max(self.counts[kind].worst for kind in ("new", "kept", "h2"))

    def line(self) -> str:
        counts = "  ".join(f"{c.sent:>4} {c.lost:>4} {c.again:>2}" for c in self.counts.values())
        return f"{self.step:<24} {counts}  {self.worst():6.2f} s"


HEAD = f"{'':<24} " + "  ".join(f"{kind:>12}" for kind in KINDS) + "\n" + (
    f"{'step':<24} " + "  ".join(f"{'sent':>4} {'lost':>4} {'2x':>2}" for _ in KINDS) + f"  {'worst':>8}"
)


class Traffic:
    def __init__(self, authority: Path):
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._http1 = ssl.create_default_context(cafile=str(authority))
        self._http1.set_alpn_protocols(["http/1.1"])
        self.tallies: list[Tally] = []

    def open_session(self) -> str:
        """Opens a session for signing in by QR code; its path."""
        answer = self._ask("POST", "/_matrix/client/unstable/org.matrix.msc4108/rendezvous", SESSION)
        answer.raise_for_status()
        return answer.json()["url"].removeprefix(f"https://{HOST}")

    def has_session(self, path: str) -> bool:
        return self._ask("GET", path).content == SESSION

    def _ask(self, method: str, path: str, content: bytes = b"") -> httpx.Response:
        fields = {"Host": HOST, "Content-Type": "text/plain"}
        with httpx.Client(verify=self._tls, timeout=PATIENCE) as client:
            return client.request(
                method, f"https://{ADDRESS}:{PORT}{path}", content=content, headers=fields,
                extensions={"sni_hostname": HOST},
            )  # fmt: skip

    @contextlib.contextmanager
    def during(self, step: str) -> Iterator[Tally]:
        """Sends requests of every kind before, during and after the block; those in flight have begun when it begins."""
        run = _Run(self._http1, self._tls, Tally(step))
        thread = threading.Thread(target=lambda: asyncio.run(run.all()), daemon=True)
        thread.start()
        try:
            if not run.flowing.wait(PATIENCE):
                raise TimeoutError(f"no traffic before {step}: {run.tally.errors[:5]}")
            yield run.tally
            run.landed.wait(PATIENCE + IN_FLIGHT)
            time.sleep(0.5)
        finally:
            run.stopping.set()
            thread.join(2 * PATIENCE)
            self.tallies.append(run.tally)


class _Run:
    def __init__(self, http1: ssl.SSLContext, tls: ssl.SSLContext, tally: Tally):
        self.http1, self.tls, self.tally = http1, tls, tally
        self.flowing, self.landed, self.stopping = threading.Event(), threading.Event(), threading.Event()
        self._begun = 0

    async def all(self) -> None:
        in_flight = [self._counted("poll", self._poll), self._counted("upload", self._upload)]
        tasks = [asyncio.create_task(task) for task in (self._new(), self._kept(), self._h2())]
        await asyncio.gather(*in_flight)
        self.landed.set()
        await asyncio.gather(*tasks)

    async def _counted(self, kind: str, request) -> bool:
        count = self.tally.counts[kind]
        count.sent += 1
        begun = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                await request()
        except (OSError, EOFError, ssl.SSLError, ValueError, TimeoutError, httpx.HTTPError) as error:
            count.lost += 1
            self.tally.errors.append(f"{kind}: {error!r}")
            return False
        finally:
            count.worst = max(count.worst, time.monotonic() - begun)
        return True

    async def _ask(self, reader, writer, target: str, extra: str = "") -> dict:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\n{extra}\r\n".encode())
        await writer.drain()
        return await self._answer(reader)

    async def _answer(self, reader) -> dict:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if not head.startswith("HTTP/1.1 200 "):
            raise ValueError(head.splitlines()[0])
        fields = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
        document = json.loads(await reader.readexactly(int(fields["content-length"])))
        return document | {"closes": fields.get("connection") == "close"}

    async def _connect(self):
        return await asyncio.open_connection(ADDRESS, PORT, ssl=self.http1, server_hostname=HOST)

    async def _once(self) -> None:
        reader, writer = await self._connect()
        try:
            await self._ask(reader, writer, "/_matrix/client/versions", "Connection: close\r\n")
        finally:
            writer.transport.abort()

    async def _new(self) -> None:
        """A new connection every 20 ms, however long the others take."""
        requests = set()
        while not self.stopping.is_set():
            requests.add(asyncio.create_task(self._counted("new", self._once)))
            await asyncio.sleep(0.02)
            if self.tally.counts["new"].sent >= 15 and self._begun == 2:
                self.flowing.set()
        await asyncio.gather(*requests)

    async def _kept(self) -> None:
        """One request after the other on a connection that is kept."""
        kept = None

        async def ask() -> None:
            nonlocal kept
            fresh = kept is None
            try:
                kept = kept or await self._connect()
                if (await self._ask(*kept, "/_matrix/client/versions"))["closes"]:
                    kept[1].transport.abort()
                    kept = None
            except (OSError, EOFError):
                kept = None
                if fresh:
                    raise
                self.tally.counts["kept"].again += 1
                await ask()

        while not self.stopping.is_set():
            await self._counted("kept", ask)
            await asyncio.sleep(0.05)

    async def _h2(self) -> None:
        """The same on HTTP/2."""
        async with httpx.AsyncClient(http1=False, http2=True, verify=self.tls, timeout=PATIENCE) as client:

            async def ask(again: bool = True) -> None:
                try:
                    answer = await client.get(
                        f"https://{ADDRESS}:{PORT}/_matrix/client/versions",
                        headers={"Host": HOST},
                        extensions={"sni_hostname": HOST},
                    )
                except (httpx.ProtocolError, httpx.ReadError, httpx.WriteError):
                    if not again:
                        raise
                    self.tally.counts["h2"].again += 1
                    return await ask(again=False)
                answer.raise_for_status()

            while not self.stopping.is_set():
                await self._counted("h2", ask)
                await asyncio.sleep(0.05)

    async def _poll(self) -> None:
        reader, writer = await self._connect()
        try:
            self._begun += 1
            answer = await self._ask(reader, writer, f"/_matrix/client/v3/sync?timeout={IN_FLIGHT * 1000:.0f}")
            if answer["next_batch"] != "s1":
                raise ValueError(f"not an answer to sync: {answer}")
        finally:
            writer.transport.abort()

    async def _upload(self) -> None:
        reader, writer = await self._connect()
        try:
            head = f"POST /_matrix/media/v3/upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {UPLOAD}\r\n\r\n"
            writer.write(head.encode())
            self._begun += 1
            parts = 64
            for _ in range(parts):
                writer.write(bytes(UPLOAD // parts))
                await writer.drain()
                await asyncio.sleep(IN_FLIGHT / parts)
            answer = await self._answer(reader)
            if answer["content_uri"] != f"mxc://example.com/{UPLOAD}":
                raise ValueError(f"the upload came incomplete: {answer}")
        finally:
            writer.transport.abort()
