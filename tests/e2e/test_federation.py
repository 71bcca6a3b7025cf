"""Two real homeservers that know each other only through each other's gateway.

Every answer here depends on request signatures that cover the raw request target, so a proxy that
decodes, re-encodes or merges anything in it fails these tests.
"""

import os
from urllib.parse import quote

import pytest

from client import Account, texts
from test_client_api import ODD_NAMES
from world import World


@pytest.fixture(scope="module")
def local(world: World) -> Account:
    return world.new_account("sla/sh=and.dots")


@pytest.fixture(scope="module")
def remote(other_world: World) -> Account:
    return other_world.new_account("remote/user")


def assert_hears(listener: Account, speaker: Account, room: str) -> None:
    text = f"from {speaker.user_id}"
    since = listener.sync()["next_batch"]
    speaker.say(room, text)
    listener.sync_until(f"the message {text}", lambda answer: text in texts(answer, room), since)


def assert_both_can_talk(room: str, left: Account, right: Account) -> None:
    assert_hears(left, right, room)
    assert_hears(right, left, room)


def test_remote_user_joins_our_room_and_both_talk(local: Account, remote: Account):
    room = local.create_room(preset="public_chat", room_alias_name="meet")
    alias = f"#meet:{local.user_id.split(':', 1)[1]}"
    assert remote.join(alias) == room
    assert_both_can_talk(room, local, remote)


def test_our_user_joins_a_remote_room_and_both_talk(local: Account, remote: Account):
    room = remote.create_room(preset="public_chat", room_alias_name="there")
    alias = f"#there:{remote.user_id.split(':', 1)[1]}"
    assert local.join(alias) == room
    assert_both_can_talk(room, local, remote)


def test_invitation_crosses_and_is_accepted(local: Account, remote: Account):
    since = remote.sync()["next_batch"]
    room = local.create_room(preset="private_chat", invite=[remote.user_id])
    remote.sync_until(
        "the invitation", lambda answer: room in answer.get("rooms", {}).get("invite", {}), since
    )
    assert remote.join(room) == room
    assert_both_can_talk(room, local, remote)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_alias_that_needs_escapes_resolves_over_federation(local: Account, remote: Account, name: str):
    for owner, asker in ((local, remote), (remote, local)):
        alias = f"#federated {name}:{owner.user_id.split(':', 1)[1]}".replace(" ", "~..@$")
        room = owner.create_room(preset="public_chat")
        target = f"/_matrix/client/v3/directory/room/{quote(alias, safe='')}"
        owner.ok("PUT", target, json={"room_id": room})
        assert asker.ok("GET", target)["room_id"] == room


def test_media_crosses_over_the_authenticated_endpoint(local: Account, remote: Account):
    for owner, asker in ((local, remote), (remote, local)):
        content = os.urandom(5 * 1024 * 1024)
        uri = owner.upload(content)
        answer = asker.send("GET", f"/_matrix/client/v1/media/download/{uri.removeprefix('mxc://')}")
        assert answer.status_code == 200, answer.text
        assert answer.content == content


def test_profile_and_devices_of_a_user_whose_name_holds_a_slash(local: Account, remote: Account):
    """`/query/profile` carries the name in the query, `/user/devices/` in an escaped path segment."""
    escaped = quote(local.user_id, safe="")
    local.ok("PUT", f"/_matrix/client/v3/profile/{escaped}/displayname", json={"displayname": "Slash"})
    assert remote.ok("GET", f"/_matrix/client/v3/profile/{escaped}")["displayname"] == "Slash"

    local.create_room(preset="public_chat", room_alias_name="devices")
    remote.join(f"#devices:{local.user_id.split(':', 1)[1]}")
    answer = remote.ok("POST", "/_matrix/client/v3/keys/query", json={"device_keys": {local.user_id: []}})
    assert answer["failures"] == {}
    assert local.user_id in answer["device_keys"]


def test_no_signature_was_refused(world: World, other_world: World, local: Account, remote: Account):
    """Runs last in this file: looks at all that the two homeservers logged about each other."""
    for homeserver, origin in ((world, other_world), (other_world, world)):
        lines = [line for line in homeserver.synapse.log.splitlines() if "/_matrix/federation/" in line]
        received = [line for line in lines if "Processed request" in line]
        assert received, "no federation request arrived"
        refused = [line for line in received if " 401 " in line or "Invalid signature" in line]
        assert not refused, refused[:3]
        assert any(f"{{{origin.server_name}}}" in line for line in received), received[0]
        if homeserver is world:
            assert any("/user/devices/%40sla%2Fsh" in line for line in received)
