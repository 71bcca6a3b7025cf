"""Users who go on asking, whatever becomes of the homeserver, and what they got."""

import asyncio
import itertools
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

from client import Account

CLIENT = "/_matrix/client/v3"
JSON = {"Content-Type": "application/json"}
BLOB = {"Content-Type": "application/octet-stream"}
#: Longer than anything waits: whoever has no answer by then has none.
PATIENCE = 120
#: So many are in flight at most: enough for all that begins during a restart, and no more than this machine bears.
MOST = 600
_numbers = itertools.count()


@dataclass(frozen=True)
class User:
    """Somebody with a room, who is in the rooms of the others too."""

    account: Account
    room: str
    media: str

    def path(self, rest: str) -> str:
        return f"{CLIENT}/rooms/{quote(self.room, safe='')}/{rest}"


@dataclass(frozen=True)
class Kind:
    """A class of requests: how many of them a second, all users together, and what one is: target, fields, body."""

    name: str
    method: str
    rate: float
    make: Callable[[User], tuple[str, dict[str, str], bytes]]

    @property
    def may_be_repeated(self) -> bool:
        return self.method in ("GET", "PUT")


def _json(**body: object) -> tuple[dict[str, str], bytes]:
    return JSON, json.dumps(body).encode()


def _get(target: Callable[[User], str]) -> Callable[[User], tuple[str, dict[str, str], bytes]]:
    return lambda user: (target(user), {}, b"")


def _message(user: User) -> tuple[str, dict[str, str], bytes]:
    number = next(_numbers)
    target = user.path(f"send/m.room.message/load{number}")
    return target, *_json(msgtype="m.text", body=f"load {number}")


KINDS = [
    Kind("joined_rooms", "GET", 5, _get(lambda user: f"{CLIENT}/joined_rooms")),
    Kind("members", "GET", 4, _get(lambda user: user.path("members"))),
    Kind("messages", "GET", 4, _get(lambda user: user.path("messages?dir=b&limit=10"))),
    Kind("state", "GET", 4, _get(lambda user: user.path("state/m.room.create"))),
    Kind("push rules", "GET", 3, _get(lambda user: f"{CLIENT}/pushrules/")),
    Kind("first sync", "GET", 0.5, _get(lambda user: f"{CLIENT}/sync?timeout=0")),
    Kind("download", "GET", 3, _get(lambda user: f"/_matrix/client/v1/media/download/{user.media}")),
    Kind("server key", "GET", 4, _get(lambda user: "/_matrix/key/v2/server")),
    Kind("send", "PUT", 6, _message),
    Kind(
        "account data", "PUT", 3,
        lambda user: (
            f"{CLIENT}/user/{quote(user.account.user_id, safe='')}/account_data/org.example.load",
            *_json(number=next(_numbers)),
        ),
    ),
    Kind(
        "typing", "PUT", 2,
        lambda user: (
            user.path(f"typing/{quote(user.account.user_id, safe='')}"), *_json(typing=True, timeout=2000),
        ),
    ),
    Kind("query keys", "POST", 4, lambda user: (f"{CLIENT}/keys/query", *_json(device_keys={user.account.user_id: []}))),
    Kind("upload", "POST", 2, lambda user: ("/_matrix/media/v3/upload", BLOB, 20_000 * b"x")),
    Kind("new room", "POST", 0.4, lambda user: (f"{CLIENT}/createRoom", *_json())),
]  # fmt: skip
SYNC = Kind("sync", "GET", 0, _get(lambda user: f"{CLIENT}/sync"))


@dataclass
class Asked:
    """One request. `fault` says how it went wrong; `own` whether Synapse itself said so."""

    kind: Kind
    began: float
    ended: float = 0.0
    fault: str | None = None
    own: bool = False
    request_id: str = ""

    @property
    def lost(self) -> bool:
        return self.fault is not None


class Load:
    """A thread in which all users ask, each over a connection of its own, until `stop`.

    Requests begin at their rate, and do not wait for the answers to others.
    """

    def __init__(self, users: list[User], ca: Path):
        self._users, self._ca = users, ca
        self.asked: list[Asked] = []
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        """Nothing new begins, and what has begun is waited for."""
        self._stopping.set()
        self._thread.join(PATIENCE + 30)
        assert not self._thread.is_alive(), "the load does not end"
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._ask_all())
        except BaseException as failure:
            self._failure = failure

    async def _ask_all(self) -> None:
        self._places = asyncio.Semaphore(MOST)
        trust = ssl.create_default_context(cafile=str(self._ca))
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
        # Every other one speaks HTTP/1.1.
        self._clients = {
            id(user): httpx.AsyncClient(verify=trust, http2=number % 2 == 0, timeout=PATIENCE, limits=limits)
            for number, user in enumerate(self._users)
        }
        try:
            async with asyncio.TaskGroup() as group:
                for user in self._users:
                    group.create_task(self._sync_on(user))
                for kind in KINDS:
                    group.create_task(self._ask_on(kind, group))
        finally:
            for client in self._clients.values():
                await client.aclose()

    async def _ask_on(self, kind: Kind, group: asyncio.TaskGroup) -> None:
        due = time.monotonic()
        for user in itertools.cycle(self._users):
            # What could not begin in time is left out.
            due = max(due + 1 / kind.rate, time.monotonic())
            while not self._stopping.is_set() and time.monotonic() < due:
                await asyncio.sleep(min(0.2, max(0.0, due - time.monotonic())))
            await self._places.acquire()
            if self._stopping.is_set():
                return
            task = group.create_task(self._ask(kind, user, *kind.make(user)))
            task.add_done_callback(lambda _: self._places.release())

    async def _sync_on(self, user: User) -> None:
        """Long polls, one after the other, as a client does."""
        since = ""
        while not self._stopping.is_set():
            target = f"{CLIENT}/sync?timeout=3000" + (f"&since={quote(since, safe='')}" if since else "")
            answer = await self._ask(SYNC, user, target, {}, b"")
            if answer is None:
                await asyncio.sleep(0.5)
            else:
                since = answer.json()["next_batch"]

    async def _ask(
        self, kind: Kind, user: User, target: str, fields: dict[str, str], body: bytes
    ) -> httpx.Response | None:
        asked = Asked(kind, time.monotonic())
        self.asked.append(asked)
        try:
            answer = await self._clients[id(user)].request(
                kind.method,
                f"{user.account.base}/",
                headers={"Authorization": f"Bearer {user.account.token}"} | fields,
                content=body,
                extensions={"target": target.encode()},
            )
        except httpx.HTTPError as error:
            asked.fault = type(error).__name__
            return None
        finally:
            asked.ended = time.monotonic()
        asked.request_id = answer.headers.get("x-request-id", "")
        if answer.status_code == 200:
            return answer
        cause = answer.json().get("org.matrix.gateway.cause") if "json" in answer.headers["content-type"] else None
        asked.own = cause is None
        asked.fault = f"{answer.status_code} {cause or answer.text[:100]}"
        return None


@dataclass
class Phase:
    """A fault: when it was done, when the process was gone, and when it was back."""

    name: str
    begun: float
    gone: float = 0.0
    back: float = 0.0


def table(asked: list[Asked], phases: list[Phase]) -> str:
    """All of it in Markdown: by method and class, and by fault."""
    lines = ["| method | class | sent | answered | lost | refused by Synapse | slowest |", "|---|---|---|---|---|---|---|"]
    for kind in [SYNC, *KINDS]:
        those = [one for one in asked if one.kind is kind]
        slowest = max((one.ended - one.began for one in those), default=0)
        lines.append(f"| {kind.method} | {kind.name} | {_counts(those)} | {slowest:.1f} s |")
    for method in ("GET", "PUT", "POST"):
        those = [one for one in asked if one.kind.method == method]
        lines.append(f"| **{method}** | all | {_counts(those)} | |")
    lines += ["", "| fault | gone for | ended meanwhile | answered | lost | refused by Synapse | lost or refused: what |"]
    lines.append("|---|---|---|---|---|---|---|")
    ends = [*(phase.begun for phase in phases[1:]), float("inf")]
    for phase, end in zip(phases, ends, strict=False):
        # What had begun before counts where it was answered, or lost.
        those = [one for one in asked if phase.begun <= one.ended < end]
        what = Counter(f"{one.kind.method} {one.kind.name}: {one.fault}" for one in those if one.lost)
        told = "; ".join(f"{number} × {text}" for text, number in what.items())
        lines.append(f"| {phase.name} | {phase.back - phase.gone:.1f} s | {_counts(those)} | {told} |")
    return "\n".join(lines) + "\n"


def _counts(asked: list[Asked]) -> str:
    lost = sum(one.lost and not one.own for one in asked)
    refused = sum(one.lost and one.own for one in asked)
    return f"{len(asked)} | {len(asked) - lost - refused} | {lost} | {refused}"
