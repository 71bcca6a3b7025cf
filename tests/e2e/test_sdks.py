"""Clients that people use: matrix-nio and matrix-js-sdk, each with its own HTTP stack."""

import asyncio
import json
import os
import shutil
import ssl
import subprocess

import nio

from bundle import NODE, NODE_MODULES, SDK
from world import PASSWORD, World


def test_matrix_nio_logs_in_syncs_and_sends(world: World):
    world.synapse.register("nio", PASSWORD)
    asyncio.run(nio_session(world))


async def nio_session(world: World) -> None:
    trust = ssl.create_default_context(cafile=str(world.authority.file))
    client = nio.AsyncClient(world.gateway.url, f"@nio:{world.server_name}", ssl=trust)
    try:
        login = await client.login(PASSWORD)
        assert isinstance(login, nio.LoginResponse), login
        room = await client.room_create(name="from nio")
        assert isinstance(room, nio.RoomCreateResponse), room
        first = await client.sync(timeout=0)
        assert isinstance(first, nio.SyncResponse), first
        content = {"msgtype": "m.text", "body": "hello from nio"}
        sent = await client.room_send(room.room_id, "m.room.message", content)
        assert isinstance(sent, nio.RoomSendResponse), sent
        second = await client.sync(timeout=30000, since=first.next_batch)
        assert isinstance(second, nio.SyncResponse), second
        events = second.rooms.join[room.room_id].timeline.events
        assert [(event.event_id, event.body) for event in events] == [(sent.event_id, "hello from nio")]
        uploaded, _ = await client.upload(
            lambda *_: b"a small file", content_type="text/plain", filename="a b.txt", filesize=12
        )
        assert isinstance(uploaded, nio.UploadResponse), uploaded
        assert isinstance(await client.logout(), nio.LogoutResponse)
    finally:
        await client.close()


def test_matrix_js_sdk_logs_in_syncs_and_sends(world: World):
    world.synapse.register("jssdk", PASSWORD)
    result = js_session(world, "session.mjs", "jssdk", PASSWORD)
    assert result["userId"] == f"@jssdk:{world.server_name}"
    assert result["received"] == result["sent"]
    assert result["body"] == "hello from js-sdk"


def test_matrix_js_sdk_sends_and_reads_encrypted_messages(world: World):
    """Keys, devices, messages to devices, events and syncs each go through other processes, where there are several."""
    for user in ("keeps-secrets", "is-told-them"):
        world.synapse.register(user, PASSWORD)
    result = js_session(world, "encrypted.mjs", PASSWORD, "keeps-secrets", "is-told-them")
    assert result["received"] == [["one", "two"], ["one", "two"], ["three", "four"]]
    assert result["sentAs"] == ["m.room.encrypted"] * 4
    assert result["receivedAs"] == ["m.room.encrypted"] * 6


def js_session(world: World, name: str, *arguments: str) -> dict:
    """What a script with matrix-js-sdk prints at its end."""
    for file in ("device.mjs", name):
        shutil.copy(SDK / file, NODE_MODULES.parent)  # beside its node_modules
    done = subprocess.run(
        [str(NODE), str(NODE_MODULES.parent / name), world.gateway.url, *arguments],
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(world.authority.file)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
