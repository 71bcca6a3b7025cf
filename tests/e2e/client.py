"""A Matrix client that sends exactly the request targets it is told to, over HTTP/1.1 or HTTP/2."""

import itertools
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import httpx

from harness.waiting import wait_for

_transaction = itertools.count()


def http_client(ca: Path, *, http2: bool = True, source: str | None = None) -> httpx.Client:
    """An HTTP client that trusts only `ca` and, with `source`, connects from that address."""
    transport = httpx.HTTPTransport(
        verify=ssl.create_default_context(cafile=str(ca)), http2=http2, local_address=source
    )
    return httpx.Client(transport=transport, timeout=60, follow_redirects=False)


def send(http: httpx.Client, method: str, base: str, target: str, **kwargs) -> httpx.Response:
    """One request whose target reaches the wire byte for byte, unlike a URL that httpx parses."""
    return http.request(method, f"{base}/", extensions={"target": target.encode()}, **kwargs)


class Account:
    """A logged-in user at `base`, which is the gateway or Synapse's own port."""

    def __init__(self, http: httpx.Client, base: str, login: dict):
        self.http, self.base = http, base
        self.user_id: str = login["user_id"]
        self.device_id: str = login["device_id"]
        self.token: str = login["access_token"]

    def send(self, method: str, target: str, **kwargs) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | kwargs.pop("headers", {})
        return send(self.http, method, self.base, target, headers=headers, **kwargs)

    def ok(self, method: str, target: str, **kwargs) -> dict:
        answer = self.send(method, target, **kwargs)
        assert answer.status_code == 200, f"{method} {target}: {answer.status_code} {answer.text}"
        return answer.json()

    def create_room(self, **body) -> str:
        return self.ok("POST", "/_matrix/client/v3/createRoom", json=body)["room_id"]

    def say(self, room: str, text: str) -> str:
        target = f"/_matrix/client/v3/rooms/{quote(room, safe='')}/send/m.room.message/t{next(_transaction)}"
        return self.ok("PUT", target, json={"msgtype": "m.text", "body": text})["event_id"]

    def join(self, room_or_alias: str) -> str:
        return self.ok("POST", f"/_matrix/client/v3/join/{quote(room_or_alias, safe='')}", json={})["room_id"]

    def sync(self, since: str | None = None, timeout_ms: int = 0) -> dict:
        query = f"?timeout={timeout_ms}" + (f"&since={quote(since, safe='')}" if since else "")
        return self.ok("GET", f"/_matrix/client/v3/sync{query}")

    def sync_until(self, what: str, seen: Callable[[dict], bool], since: str | None = None) -> str:
        """Syncs on with long polls until `seen` is true of an answer; returns where that one ended."""

        def next_answer() -> bool:
            nonlocal since
            answer = self.sync(since, timeout_ms=1000)
            since = answer["next_batch"]
            return seen(answer)

        wait_for(what, next_answer, 60)
        return since

    def upload(self, content: bytes, name: str = "blob.bin") -> str:
        # In pieces: over HTTP/2 httpx copies all that is left of one for every frame it sends.
        pieces = (content[start : start + 65536] for start in range(0, len(content), 65536))
        return self.ok(
            "POST",
            f"/_matrix/media/v3/upload?filename={quote(name, safe='')}",
            content=pieces,
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(len(content))},
        )["content_uri"]


def log_in(http: httpx.Client, base: str, localpart: str, password: str) -> Account:
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": localpart},
        "password": password,
    }
    answer = send(http, "POST", base, "/_matrix/client/v3/login", json=body)
    assert answer.status_code == 200, answer.text
    return Account(http, base, answer.json())


def texts(sync: dict, room: str) -> list[str]:
    """The message bodies that a sync answer holds for this room."""
    events = sync.get("rooms", {}).get("join", {}).get(room, {}).get("timeline", {}).get("events", [])
    return [event["content"]["body"] for event in events if event["type"] == "m.room.message"]
