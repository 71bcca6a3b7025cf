"""Which of Synapse's processes answers what: as the gateway's log says, and as the process itself does."""

import json
from urllib.parse import quote

import httpx
import pytest

from client import Account, log_in, send, texts
from harness.waiting import wait_for
from journey import journey_of, record_of, records, workers_of
from world import PASSWORD, World

pytestmark = pytest.mark.deployment("workers", reason="a single process answers everything")

CLIENT = "/_matrix/client/v3"
ROOM = f"{CLIENT}/rooms/{{room}}"
USER = f"{CLIENT}/user/{{user}}"
SYNC, FEDERATION = {"sync1", "sync2"}, {"fed1", "fed2"}
KEY = {"algorithms": [], "device_id": "{device}", "keys": {}, "signatures": {}, "user_id": "{user_id}"}

#: What is asked, and the role and the processes that are to answer. `main` answers for roles that no worker has.
CASES: dict[str, tuple[str, str, object, str, set[str]]] = {
    "sync": ("GET", f"{CLIENT}/sync?since={{since}}", None, "sync", SYNC),
    "sync, in the oldest form": ("GET", "/_matrix/client/r0/sync?timeout=0&since={since}", None, "sync", SYNC),
    "first sync": ("GET", f"{CLIENT}/sync?timeout=0", None, "initial_sync", {"isync1"}),
    "sync of everything": (
        "GET", f"{CLIENT}/sync?since={{since}}&full_state=true", None, "initial_sync", {"isync1"},
    ),
    "sliding sync": (
        "POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0", {}, "sliding_sync", SYNC,
    ),
    "send": ("PUT", f"{ROOM}/send/m.room.message/case", {"msgtype": "m.text", "body": "x"}, "event_creator", {"event1"}),
    "redact": ("PUT", f"{ROOM}/redact/{{event}}/case", {}, "event_creator", {"event1"}),
    "set state": ("PUT", f"{ROOM}/state/m.room.topic", {"topic": "x"}, "event_creator", {"event1"}),
    "read state event": ("GET", f"{ROOM}/state/m.room.create", None, "event_creator", {"event1"}),
    "join": ("POST", f"{CLIENT}/join/{{room}}", {}, "event_creator", {"event1"}),
    "new room": ("POST", f"{CLIENT}/createRoom", {}, "event_creator", {"event1"}),
    "profile": ("GET", f"{CLIENT}/profile/{{user}}", None, "event_creator", {"event1"}),
    "typing": ("PUT", f"{ROOM}/typing/{{user}}", {"typing": True, "timeout": 1000}, "stream.typing", {"writer1"}),
    "to device": ("PUT", f"{CLIENT}/sendToDevice/m.dummy/case", {"messages": {}}, "stream.to_device", {"writer1"}),
    "set account data": ("PUT", f"{USER}/account_data/org.example", {"x": 1}, "stream.account_data", {"writer1"}),
    "read account data": ("GET", f"{USER}/account_data/org.example", None, "stream.account_data", {"writer1"}),
    "account data of a room": (
        "PUT", f"{USER}/rooms/{{room}}/account_data/org.example", {"x": 1}, "stream.account_data", {"writer1"},
    ),
    "tag": ("PUT", f"{USER}/rooms/{{room}}/tags/u.x", {"order": 0.5}, "stream.account_data", {"writer1"}),
    "receipt": ("POST", f"{ROOM}/receipt/m.read/{{event}}", {}, "stream.receipts", {"writer1"}),
    "read marker": ("POST", f"{ROOM}/read_markers", {"m.fully_read": "{raw_event}"}, "stream.receipts", {"writer1"}),
    "set presence": (
        "PUT", f"{CLIENT}/presence/{{user}}/status", {"presence": "online"}, "stream.presence", {"writer1"},
    ),
    "read presence": ("GET", f"{CLIENT}/presence/{{user}}/status", None, "stream.presence", {"writer1"}),
    "set push rule": (
        "PUT", f"{CLIENT}/pushrules/global/content/case", {"actions": ["notify"], "pattern": "x"},
        "stream.push_rules", {"push1"},
    ),
    "read push rules": ("GET", f"{CLIENT}/pushrules/", None, "stream.push_rules", {"push1"}),
    "remove push rule": ("DELETE", f"{CLIENT}/pushrules/global/content/case", None, "stream.push_rules", {"push1"}),
    "upload keys": ("POST", f"{CLIENT}/keys/upload", {"device_keys": KEY}, "stream.device_lists", {"push1"}),
    "devices": ("GET", f"{CLIENT}/devices", None, "stream.device_lists", {"push1"}),
    "rename device": ("PUT", f"{CLIENT}/devices/{{device}}", {"display_name": "x"}, "stream.device_lists", {"push1"}),
    "query keys": ("POST", f"{CLIENT}/keys/query", {"device_keys": {"{user_id}": []}}, "main", {"main"}),
    "upload": ("POST", "/_matrix/media/v3/upload", {"x": 1}, "media", {"media1"}),
    "media limits": ("GET", "/_matrix/client/v1/media/config", None, "media", {"media1"}),
    "download": ("GET", "/_matrix/client/v1/media/download/{media}", None, "media", {"media1"}),
    "messages": ("GET", f"{ROOM}/messages?dir=b", None, "pagination", SYNC),
    "members": ("GET", f"{ROOM}/members", None, "main", {"main"}),
    "state": ("GET", f"{ROOM}/state", None, "main", {"main"}),
    "joined rooms": ("GET", f"{CLIENT}/joined_rooms", None, "main", {"main"}),
    "log-in flows": ("GET", f"{CLIENT}/login", None, "main", {"main"}),
    "who am I": ("GET", f"{CLIENT}/account/whoami", None, "main", {"main"}),
    "capabilities": ("GET", f"{CLIENT}/capabilities", None, "main", {"main"}),
    "public rooms": ("GET", f"{CLIENT}/publicRooms", None, "main", {"main"}),
    "directory": ("POST", f"{CLIENT}/user_directory/search", {"search_term": "x"}, "main", {"main"}),
    "pushers": ("GET", f"{CLIENT}/pushers", None, "main", {"main"}),
    "server key": ("GET", "/_matrix/key/v2/server", None, "federation_reader", FEDERATION),
    "federation version": ("GET", "/_matrix/federation/v1/version", None, "federation_reader", FEDERATION),
}  # fmt: skip


class Subject:
    """A user with a room, and what the cases say of them."""

    def __init__(self, world: World):
        self.account = world.new_account()
        room = self.account.create_room()
        event = self.account.say(room, "first")
        media = self.account.upload(b"x").removeprefix("mxc://")
        user = self.account.user_id
        self._targets = {
            "room": quote(room, safe=""),
            "event": quote(event, safe=""),
            "user": quote(user, safe=""),
            "device": self.account.device_id,
            "media": media,
        }
        self._bodies = {"raw_event": event, "user_id": user, "device": self.account.device_id}

    def ask(self, method: str, target: str, body: object) -> httpx.Response:
        since = self.account.sync()["next_batch"] if "{since}" in target else ""
        text = json.dumps(body)
        for name, value in self._bodies.items():
            text = text.replace(f"{{{name}}}", value)
        content = {"json": json.loads(text)} if body is not None else {}
        answer = self.account.send(method, target.format(since=quote(since, safe=""), **self._targets), **content)
        assert answer.status_code == 200, answer.text
        return answer


@pytest.fixture(scope="module")
def subject(world: World) -> Subject:
    return Subject(world)


@pytest.mark.parametrize("case", CASES)
def test_request_goes_to_a_process_of_its_role(world: World, subject: Subject, case: str):
    method, target, body, role, processes = CASES[case]
    journey = journey_of(world, subject.ask(method, target, body))
    assert journey.role == role
    assert journey.upstream in processes
    assert journey.worked == {journey.upstream}, "it is where the gateway says"


def test_log_in_goes_to_the_main_process_where_no_worker_logs_in(world: World):
    world.synapse.register("logs-in", PASSWORD)
    body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "logs-in"}, "password": PASSWORD}
    answer = send(world.http(), "POST", world.gateway.url, f"{CLIENT}/login", json=body)
    assert answer.status_code == 200, answer.text
    journey = journey_of(world, answer)
    assert (journey.role, journey.upstream, journey.worked) == ("main", "main", {"main"})


def test_user_stays_with_one_sync_worker_whatever_the_device(world: World):
    """Otherwise each sync worker would have to learn what the other has in its caches."""
    by_user: dict[str, set[str]] = {}
    for number in range(10):
        localpart = f"many-devices-{number}"
        first = world.new_account(localpart)
        http1 = log_in(world.http(http2=False), world.gateway.http1_url, localpart, PASSWORD)
        plain = log_in(world.http(source="127.0.0.81"), world.gateway.plain_url, localpart, PASSWORD)
        assert len({first.token, http1.token, plain.token}) == 3
        for device in (first, http1, plain):
            since = device.sync()["next_batch"]
            for _ in range(2):
                target = f"{CLIENT}/sync?timeout=0&since={quote(since, safe='')}"
                record = record_of(world, device.send("GET", target))
                by_user.setdefault(localpart, set()).add(record["upstream"])
    assert all(len(processes) == 1 for processes in by_user.values()), by_user
    assert set.union(*by_user.values()) == SYNC, "both have something to do"


def test_messages_of_a_room_come_from_one_process_whoever_asks(world: World):
    """Two processes that page through one room at a time would each fetch the same events from other servers."""
    readers = [world.new_account() for _ in range(3)]
    by_room: dict[str, set[str]] = {}
    for _ in range(10):
        room = readers[0].create_room(preset="public_chat")
        for reader in readers:
            reader.join(room)
            for spelling in (quote(room, safe=""), quote(room, safe="!:")):
                answer = reader.send("GET", f"{CLIENT}/rooms/{spelling}/messages?dir=b&limit=5")
                assert answer.status_code == 200, answer.text
                by_room.setdefault(room, set()).add(record_of(world, answer)["upstream"])
    assert all(len(processes) == 1 for processes in by_room.values()), by_room
    assert set.union(*by_room.values()) == SYNC, "both have something to do"


def test_other_homeserver_stays_with_one_federation_worker(world: World, other_world: World):
    """Its transactions must be worked on in order, and its events need the same state."""
    local, remote = world.new_account(), other_world.new_account()
    before = len(records(world))
    room = local.create_room(preset="public_chat", room_alias_name="transactions")
    remote.join(f"#transactions:{world.server_name}")
    since = local.sync()["next_batch"]
    for number in range(20):
        text = f"number {number}"
        remote.say(room, text)
        since = local.sync_until(text, lambda answer, text=text: text in texts(answer, room), since)

    path = "/_matrix/federation/v1/"
    received = [record for record in records(world)[before:] if record["target"].startswith(path)]
    transactions = [record for record in received if record["target"].startswith(f"{path}send/")]
    assert len(transactions) >= 10
    assert {record["role"] for record in transactions} == {"federation_inbound"}
    assert len({record["upstream"] for record in transactions}) == 1
    assert transactions[0]["upstream"] in FEDERATION
    last = transactions[-1]
    assert workers_of(world.synapse, last["request_id"]) == {last["upstream"]}
    joins = [record for record in received if "/make_join/" in record["target"]]
    assert joins, "the other homeserver joined"
    assert {(record["role"], record["upstream"] in FEDERATION) for record in joins} == {("federation_reader", True)}


def test_homeservers_spread_over_the_federation_workers(world: World):
    """Their transactions are not signed, which Synapse refuses; the process that refuses them is what counts."""
    http = world.http()
    by_origin: dict[str, set[str]] = {}
    for number in range(12):
        origin = f"{number}.example.org"
        for transaction in range(3):
            signed = f'X-Matrix origin="{origin}",destination="{world.server_name}",key="ed25519:a",sig="AA"'
            answer = send(
                http, "PUT", world.gateway.url, f"/_matrix/federation/v1/send/{transaction}",
                json={"origin": origin, "pdus": []}, headers={"Authorization": signed},
            )  # fmt: skip
            by_origin.setdefault(origin, set()).add(record_of(world, answer)["upstream"])
    assert all(len(processes) == 1 for processes in by_origin.values()), by_origin
    assert set.union(*by_origin.values()) == FEDERATION, "both have something to do"


def test_each_stream_is_seen_by_whoever_syncs(world: World):
    """What one process writes, the process of the reader hears of through Redis."""
    writer, reader = world.new_account(), world.new_account()
    room = writer.create_room(preset="public_chat")
    reader.join(room)
    since = reader.sync()["next_batch"]
    escaped, user = quote(room, safe=""), quote(writer.user_id, safe="")
    writer.ok("PUT", f"{CLIENT}/rooms/{escaped}/typing/{user}", json={"typing": True, "timeout": 30000})

    def types(answer: dict) -> set[str]:
        joined = answer.get("rooms", {}).get("join", {}).get(room, {})
        return {event["type"] for event in joined.get("ephemeral", {}).get("events", [])}

    since = reader.sync_until("the typing", lambda answer: "m.typing" in types(answer), since)
    event = reader.say(room, "read this")
    writer.ok("POST", f"{CLIENT}/rooms/{escaped}/receipt/m.read/{quote(event, safe='')}", json={})
    since = reader.sync_until("the receipt", lambda answer: "m.receipt" in types(answer), since)
    message = {"messages": {reader.user_id: {reader.device_id: {"x": 1}}}}
    writer.ok("PUT", f"{CLIENT}/sendToDevice/org.example/each-stream", json=message)

    def for_device(answer: dict) -> bool:
        return any(event["type"] == "org.example" for event in answer.get("to_device", {}).get("events", []))

    reader.sync_until("the message to the device", for_device, since)


def test_all_processes_have_something_to_do(world: World):
    """Runs last in this file: each of them answered at least one request through the gateway."""
    busy = {record["upstream"] for record in records(world)}
    assert busy >= {process.name for process in world.synapse.processes}
    wait_for("every log to say so", lambda: all("Processed request" in p.log for p in world.synapse.processes), 10)
