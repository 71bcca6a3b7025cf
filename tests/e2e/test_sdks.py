"""Clients that people use: matrix-nio and matrix-js-sdk, each with its own HTTP stack."""

import asyncio
import json
import os
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
    script = NODE_MODULES.parent / "session.mjs"
    script.write_bytes((SDK / "session.mjs").read_bytes())  # beside its node_modules
    done = subprocess.run(
        [str(NODE), str(script), world.gateway.url, "jssdk", PASSWORD],
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(world.authority.file)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["userId"] == f"@jssdk:{world.server_name}"
    assert result["received"] == result["sent"]
    assert result["body"] == "hello from js-sdk"
