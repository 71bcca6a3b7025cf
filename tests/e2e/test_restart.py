"""Synapse goes away and comes back while clients talk to the gateway."""

import pytest

from client import send
from harness.waiting import wait_for
from test_rendezvous import Session
from world import World

VERSIONS = "/_matrix/client/versions"


@pytest.fixture
def restarted(folder, authority):
    """A world of its own, since the others must not see their homeserver go."""
    world = World(folder, authority, "restarted")
    try:
        yield world.start()
    finally:
        world.stop()


def test_clients_are_told_to_come_back_and_sessions_survive(restarted: World):
    http = restarted.http()
    base = restarted.gateway.url
    session = Session(http, base)
    account = restarted.new_account()
    assert send(http, "GET", base, VERSIONS).status_code == 200

    restarted.synapse.stop()
    down = send(http, "GET", base, VERSIONS, headers={"Origin": "https://element.example.com"})
    assert down.status_code == 503, down.text
    assert down.json()["errcode"] == "M_UNKNOWN"
    assert int(down.headers["retry-after"]) > 0
    assert down.headers["access-control-allow-origin"] == "*"
    preflight = send(http, "OPTIONS", base, VERSIONS, headers={"Access-Control-Request-Method": "GET"})
    assert preflight.status_code in (200, 204)
    assert session.ask("GET").content == b'{"hello":1}'

    restarted.synapse.start()
    wait_for(
        "the gateway to reach Synapse again",
        lambda: send(http, "GET", base, VERSIONS).status_code == 200,
        10,
    )
    assert account.ok("GET", "/_matrix/client/v3/account/whoami")["user_id"] == account.user_id
    assert session.ask("GET").content == b'{"hello":1}'
