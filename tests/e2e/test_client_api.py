"""What a Matrix client does all day, through the gateway over TLS."""

import threading
import time
from urllib.parse import quote

import httpx
import pytest

from client import Account, log_in, send, texts
from harness.waiting import wait_for
from world import PASSWORD, World

# Alias localparts may hold anything but white space and a colon.
ODD_NAMES = ["per%23cent", "sla/sh", "double//slash", "ha#sh?and&more=%2F", "a/../b", "ünïcödé+%"]


def test_register_and_log_in(world: World, protocol: str):
    http = world.http(http2=protocol == "HTTP/2")
    localpart = "registered-" + protocol.lower().replace("/", "-")
    body = {"username": localpart, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    answer = send(http, "POST", world.gateway.url, "/_matrix/client/v3/register", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.http_version == protocol
    assert answer.json()["user_id"] == f"@{localpart}:{world.server_name}"

    account = log_in(http, world.gateway.url, localpart, PASSWORD)
    assert account.ok("GET", "/_matrix/client/v3/account/whoami")["user_id"] == account.user_id


@pytest.mark.parametrize("name", ODD_NAMES)
def test_alias_with_reserved_characters_arrives_unchanged(world: World, protocol: str, name: str):
    account = world.new_account(http2=protocol == "HTTP/2")
    room = account.create_room(name=name)
    alias = f"#{protocol.replace('/', '')}{name}:{world.server_name}"
    target = f"/_matrix/client/v3/directory/room/{quote(alias, safe='')}"
    account.ok("PUT", target, json={"room_id": room})

    assert account.ok("GET", target)["room_id"] == room
    listed = account.ok("GET", f"/_matrix/client/v3/rooms/{quote(room, safe='')}/aliases")
    assert alias in listed["aliases"]
    assert world.new_account().send("GET", target).status_code == 200


@pytest.mark.parametrize("name", ODD_NAMES)
def test_state_key_with_reserved_characters_arrives_unchanged(world: World, protocol: str, name: str):
    account = world.new_account(http2=protocol == "HTTP/2")
    room = account.create_room()
    state = f"/_matrix/client/v3/rooms/{quote(room, safe='')}/state"
    account.ok("PUT", f"{state}/org.example.key/{quote(name, safe='')}", json={"value": name})
    stored = account.ok("GET", state)
    keys = [event["state_key"] for event in stored if event["type"] == "org.example.key"]
    assert keys == [name]


def test_empty_path_segment_is_kept(world: World, protocol: str):
    """`state//key` is an event type of no letters; merging the slashes would make another request."""
    account = world.new_account(http2=protocol == "HTTP/2")
    room = account.create_room()
    state = f"/_matrix/client/v3/rooms/{quote(room, safe='')}/state"
    account.ok("PUT", f"{state}//a%2Fkey", json={"value": 1})
    stored = account.ok("GET", state)
    assert [event["state_key"] for event in stored if event["type"] == ""] == ["a/key"]


@pytest.mark.parametrize(
    "target",
    [
        "/_matrix//client/versions",
        "/_matrix/client//versions",
        "/_matrix/client/versions/",
        "/_matrix/%63lient/versions",
        "/_matrix/client/v3/directory/room/%23a%2Fb%3Anowhere",
        "/_matrix/client/v3/directory/room/%23a/b%3Anowhere",
        "/_matrix/client/v3/profile/%40a%252Fb%3Anowhere?x=%2F&&y",
    ],
)
def test_odd_spelling_gets_the_answer_that_synapse_gives_itself(world: World, protocol: str, target: str):
    http = world.http(http2=protocol == "HTTP/2")
    through = send(http, "GET", world.gateway.url, target)
    direct = send(http, "GET", world.synapse.url, target)
    assert (through.status_code, through.json()) == (direct.status_code, direct.json())


def test_two_hundred_messages_arrive_in_order(world: World, protocol: str):
    sender = world.new_account(http2=protocol == "HTTP/2")
    room = sender.create_room()
    sent = [f"message {number}" for number in range(200)]
    for text in sent:
        sender.say(room, text)

    messages = f"/_matrix/client/v3/rooms/{quote(room, safe='')}/messages?dir=b&limit=1000"
    chunk = sender.ok("GET", messages)["chunk"]
    bodies = [event["content"]["body"] for event in chunk if event["type"] == "m.room.message"]
    assert bodies[::-1] == sent


def test_long_poll_is_woken_by_a_message(world: World, protocol: str):
    reader = world.new_account(http2=protocol == "HTTP/2")
    writer = world.new_account()
    room = writer.create_room(preset="public_chat")
    reader.join(room)
    poll = LongPoll(reader, since=reader.sync()["next_batch"])
    wait_for("the long poll to reach Synapse", lambda: world.synapse.in_flight("SyncRestServlet") == 1)
    assert poll.answer is None

    sent_at = time.monotonic()
    writer.say(room, "wake up")
    poll.join()
    assert texts(poll.answer, room) == ["wake up"]
    assert time.monotonic() - sent_at < 10, "the answer came at the end of the poll, not at the message"


class LongPoll(threading.Thread):
    def __init__(self, account: Account, since: str):
        super().__init__(daemon=True)
        self.account, self.since = account, since
        self.answer: dict | None = None
        self.start()

    def run(self) -> None:
        self.answer = self.account.sync(self.since, timeout_ms=30000)


def test_synapse_notices_that_a_client_left_its_long_poll(world: World, protocol: str):
    """Otherwise it works on for a client that is gone, for as long as the poll lasts."""
    account = world.new_account(http2=protocol == "HTTP/2")
    since = account.sync()["next_batch"]
    lost = "Connection from client lost before response was sent"
    before = world.synapse.log.count(lost)
    with pytest.raises(httpx.ReadTimeout):
        target = f"/_matrix/client/v3/sync?timeout=30000&since={quote(since, safe='')}"
        account.send("GET", target, timeout=httpx.Timeout(10, read=1))
    account.http.close()
    wait_for("Synapse to notice", lambda: world.synapse.log.count(lost) > before, 10)


def test_tokens_stay_out_of_the_log(world: World, protocol: str):
    account = world.new_account(http2=protocol == "HTTP/2")
    in_header = account.send("GET", "/_matrix/client/v3/account/whoami")
    in_query = send(
        account.http,
        "GET",
        world.gateway.url,
        f"/_matrix/client/v3/account/whoami?access_token={account.token}",
    )
    assert in_query.status_code == 200, in_query.text
    for answer in (in_header, in_query):
        request_id = answer.headers["x-request-id"]
        wait_for("the line of the request", lambda wanted=request_id: wanted in world.gateway.log, 10)
    assert account.token not in world.gateway.log


def test_well_known_documents(world: World):
    http = world.http()
    client = send(http, "GET", world.gateway.url, "/.well-known/matrix/client")
    assert client.status_code == 200
    assert client.json()["m.homeserver"]["base_url"].rstrip("/") == world.gateway.url
    assert client.json()["org.example.extra"] == {"kept": True}
    assert client.headers["access-control-allow-origin"] == "*"
    server = send(http, "GET", world.gateway.url, "/.well-known/matrix/server")
    assert server.json() == {"m.server": world.server_name}
    support = send(http, "GET", world.gateway.url, "/.well-known/matrix/support")
    assert support.json()["contacts"][0]["email_address"] == "admin@example.com"
