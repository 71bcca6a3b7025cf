"""Sign-in by QR code (MSC4108, MSC4388) with the requests that matrix-rust-sdk makes in Element X.

It is stricter than matrix-js-sdk: what `Channel` and `JsonChannel` assert, it does not go on without.
"""

import json
import re
from datetime import datetime

import httpx
import pytest

from client import send
from world import World

MSC4108 = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous"
MSC4388 = "/_matrix/client/unstable/io.element.msc4388/rendezvous"
AS_SDK = {"User-Agent": "matrix-rust-sdk", "Accept": "*/*", "Accept-Encoding": "gzip"}
DECLARED, UNDECLARED = {"content-length": "0"}, {}
OPAQUE = re.compile(r"[0-9A-Za-z._~-]{1,255}")


@pytest.fixture
def http(world: World, protocol: str) -> httpx.Client:
    return world.http(http2=protocol == "HTTP/2")


def error_of(answer: httpx.Response) -> str:
    """The errcode that the SDK shows; it needs both of these strings to parse an error."""
    error = answer.json()
    assert isinstance(error["error"], str)
    return error["errcode"]


class Channel:
    """One device in a session of MSC4108: it remembers the last entity tag that it was told."""

    def __init__(self, http: httpx.Client, url: str, tag: str):
        self.http, self.url, self.tag = http, url, tag

    @classmethod
    def create(cls, http: httpx.Client, base: str, length: dict[str, str]) -> "Channel":
        headers = AS_SDK | {"content-type": "text/plain"}
        request = http.build_request("POST", base + MSC4108, headers=headers)
        request.headers.pop("content-length", None)  # httpx adds one
        request.headers.update(length)
        answer = http.send(request)
        assert answer.status_code == 201, answer.text
        return cls(http, answer.json()["url"], required(answer))

    @classmethod
    def join(cls, http: httpx.Client, url: str) -> "Channel":
        answer = http.get(url, headers=AS_SDK)
        assert answer.status_code == 200, answer.text
        return cls(http, url, required(answer))

    def poll(self) -> httpx.Response:
        answer = self.http.get(self.url, headers=AS_SDK | {"if-none-match": self.tag})
        if not answer.is_client_error:
            self.tag = required(answer)
        return answer

    def receive(self) -> bytes:
        answer = self.poll()
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain"
        assert answer.content, "an empty message is an error to the SDK"
        return answer.content

    def put(self, message: bytes) -> httpx.Response:
        headers = AS_SDK | {"if-match": self.tag, "content-type": "text/plain"}
        return self.http.put(self.url, content=message, headers=headers)

    def send(self, message: bytes) -> None:
        answer = self.put(message)
        assert answer.is_success, answer.text
        self.tag = answer.headers["etag"]


def required(answer: httpx.Response) -> str:
    """The headers without which the SDK drops an answer, 304 included; returns the entity tag."""
    for name in ("expires", "last-modified"):
        datetime.strptime(answer.headers[name], "%a, %d %b %Y %H:%M:%S GMT")
    assert "content-encoding" not in answer.headers
    return answer.headers["etag"]


@pytest.fixture
def creator(world: World, http: httpx.Client) -> Channel:
    return Channel.create(http, world.gateway.url, DECLARED)


@pytest.mark.parametrize("length", [DECLARED, UNDECLARED], ids=["declared", "undeclared"])
def test_nothing_is_a_body_to_create_a_session_with(world: World, http: httpx.Client, length: dict[str, str]):
    channel = Channel.create(http, world.gateway.url, length)
    assert channel.url.startswith(f"{world.gateway.url}/")


def test_joining_device_reads_the_empty_session(creator: Channel, http: httpx.Client):
    answer = http.get(creator.url, headers=AS_SDK)
    assert (answer.content, answer.headers["content-type"]) == (b"", "text/plain")
    assert required(answer) == creator.tag


def test_poll_without_news_tells_all_that_a_poll_with_news_does(creator: Channel):
    for _ in range(2):
        answer = creator.poll()
        assert (answer.status_code, answer.content) == (304, b"")


def test_messages_go_both_ways(creator: Channel, http: httpx.Client):
    joining = Channel.join(http, creator.url)
    for number in range(3):
        for sender, reader in ((joining, creator), (creator, joining)):
            sender.send(b"message %d" % number)
            assert sender.poll().status_code == 304
            assert reader.receive() == b"message %d" % number
            assert reader.poll().status_code == 304


def test_same_message_again_is_news(creator: Channel, http: httpx.Client):
    joining = Channel.join(http, creator.url)
    for _ in range(2):
        joining.send(b"the same")
        assert creator.receive() == b"the same"


def test_message_that_crosses_another_is_an_error_with_a_code(creator: Channel, http: httpx.Client):
    joining = Channel.join(http, creator.url)
    joining.send(b"first")
    late = creator.put(b"second")
    assert (late.status_code, error_of(late)) == (412, "M_UNKNOWN")
    assert late.json()["org.matrix.msc4108.errcode"] == "M_CONCURRENT_WRITE"
    assert creator.receive() == b"first"


def test_session_that_the_other_device_deleted_is_an_error_with_a_code(creator: Channel):
    assert creator.http.delete(creator.url).is_success
    for answer in (creator.poll(), creator.put(b"too late")):
        assert (answer.status_code, error_of(answer)) == (404, "M_NOT_FOUND")


class JsonChannel:
    """One device in a session of MSC4388: it remembers the last sequence token that it was told."""

    def __init__(self, http: httpx.Client, base: str, identifier: str, token: str):
        self.http, self.base, self.id, self.token = http, base, identifier, token

    @classmethod
    def create(cls, http: httpx.Client, base: str) -> "JsonChannel":
        answer = send(http, "POST", base, MSC4388, json={"data": ""}, headers=AS_SDK)
        created = told(answer, "id", "sequence_token")
        assert isinstance(created["expires_in_ms"], int)
        return cls(http, base, created["id"], created["sequence_token"])

    @classmethod
    def join(cls, http: httpx.Client, base: str, identifier: str) -> "JsonChannel":
        channel = cls(http, base, identifier, "")
        assert channel.receive() == ""
        return channel

    def ask(self, method: str, path: str = "", **options) -> httpx.Response:
        return send(self.http, method, self.base, f"{MSC4388}/{self.id}{path}", headers=AS_SDK, **options)

    def receive(self) -> str | None:
        """The message, or `None` when the token says that there is no other than the last."""
        read = told(self.ask("GET"), "sequence_token")
        assert isinstance(read["expires_in_ms"], int)
        if read["sequence_token"] == self.token:
            return None
        self.token = read["sequence_token"]
        return read["data"]

    def put(self, message: str, transaction: str = "") -> httpx.Response:
        return self.ask("PUT", transaction, json={"sequence_token": self.token, "data": message})

    def send(self, message: str, transaction: str = "") -> None:
        self.token = told(self.put(message, transaction), "sequence_token")["sequence_token"]


def told(answer: httpx.Response, *opaque: str) -> dict:
    """An answer of success with these identifiers, which go into QR codes and are hashed into messages."""
    assert answer.status_code == 200, answer.text
    body = json.loads(answer.content)
    assert all(OPAQUE.fullmatch(body[name]) for name in opaque), body
    return body


@pytest.fixture
def json_creator(world: World, http: httpx.Client) -> JsonChannel:
    return JsonChannel.create(http, world.gateway.url)


def test_discovery_says_that_sessions_can_be_created(world: World, http: httpx.Client):
    answer = send(http, "GET", world.gateway.url, MSC4388, headers=AS_SDK)
    assert (answer.status_code, answer.json()) == (200, {"create_available": True})


@pytest.mark.parametrize("transactions", [False, True], ids=["without transactions", "with transactions"])
def test_json_messages_go_both_ways(json_creator: JsonChannel, transactions: bool):
    """Whoever wrote and whoever read hold the same token, or they could not read each other."""
    joining = JsonChannel.join(json_creator.http, json_creator.base, json_creator.id)
    assert joining.token == json_creator.token
    for number in range(3):
        for sender, reader in ((joining, json_creator), (json_creator, joining)):
            sender.send(f"message {number}", f"/{sender is joining}{number}" if transactions else "")
            assert sender.receive() is None
            assert reader.receive() == f"message {number}"
            assert reader.token == sender.token


def test_json_message_that_is_sent_again_counts_once(json_creator: JsonChannel):
    first, again = (json_creator.put("hello", "/transaction") for _ in range(2))
    assert told(first, "sequence_token") == told(again)
    json_creator.token = first.json()["sequence_token"]
    assert json_creator.receive() is None


def test_json_message_that_crosses_another_is_an_error_with_a_code(json_creator: JsonChannel):
    joining = JsonChannel.join(json_creator.http, json_creator.base, json_creator.id)
    joining.send("first")
    late = json_creator.put("second")
    assert (late.status_code, error_of(late)) == (409, "IO_ELEMENT_MSC4388_CONCURRENT_WRITE")
    assert json_creator.receive() == "first"


def test_json_session_that_the_other_device_deleted_is_an_error_with_a_code(json_creator: JsonChannel):
    assert json_creator.ask("DELETE").status_code == 200
    for answer in (json_creator.ask("GET"), json_creator.put("too late")):
        assert (answer.status_code, error_of(answer)) == (404, "M_NOT_FOUND")
