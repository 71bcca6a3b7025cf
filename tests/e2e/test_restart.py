"""Synapse goes away and comes back while clients talk to the gateway."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from client import send
from harness.waiting import wait_for
from test_rendezvous import Session
from world import PASSWORD, World

VERSIONS = "/_matrix/client/versions"
pytestmark = pytest.mark.deployment(
    "single", reason="it starts homeservers of its own; test_lost.py restarts the processes of the other deployment"
)


@pytest.fixture
def restarted(request, folder, authority):
    """A world of its own, since the others must not see their homeserver go."""
    world = World(folder, authority, request.node.name)
    try:
        yield world
    finally:
        world.stop()


def test_clients_are_told_to_come_back_and_sessions_survive(restarted: World):
    restarted.start(restart_grace="0s")
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


def test_a_restart_goes_unnoticed(restarted: World):
    """Whatever is asked while Synapse is away is answered when it is back: reading, writing, and logging in."""
    restarted.start()
    account = restarted.new_account()
    room = account.create_room()
    since = account.sync()["next_batch"]
    restarted.synapse.stop()
    with ThreadPoolExecutor() as clients:
        asked = [clients.submit(account.say, room, f"while it was away {number}") for number in range(5)]
        asked += [clients.submit(account.ok, "GET", "/_matrix/client/v3/account/whoami") for _ in range(5)]
        login = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": account.user_id}}
        login |= {"password": PASSWORD}
        asked.append(clients.submit(account.ok, "POST", "/_matrix/client/v3/login", json=login))
        wait_for("the gateway to notice", lambda: "upstream main: it does not answer" in restarted.gateway.log, 10)
        restarted.synapse.start()
        for answer in asked:
            answer.result()
    events = account.sync(since)["rooms"]["join"][room]["timeline"]["events"]
    said = sorted(event["content"].get("body", "") for event in events)
    assert said == sorted(f"while it was away {number}" for number in range(5))
