"""What a script on a page of another origin sees of the gateway, in real Chromium."""

import json

import pytest

from harness.gateway import Gateway
from page import ForeignPage
from world import PASSWORD, World

MSC3886 = "/_synapse/client/org.matrix.msc3886/rendezvous"


@pytest.fixture(scope="module")
def page(world: World):
    page = ForeignPage([world.gateway.certificate.spki_sha256])
    try:
        yield page
    finally:
        page.close()


def listener(gateway: Gateway, protocol: str) -> str:
    return gateway.url if protocol == "HTTP/2" else gateway.http1_url


def test_script_logs_in_and_sends_a_message(world: World, page: ForeignPage, protocol: str):
    base = listener(world.gateway, protocol)
    user = "script-" + protocol.lower().replace("/", "-")
    world.synapse.register(user, PASSWORD)
    login = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user},
        "password": PASSWORD,
    }
    as_json = {"Content-Type": "application/json"}
    answer = page.fetch("POST", f"{base}/_matrix/client/v3/login", as_json, json.dumps(login))
    assert answer["status"] == 200, answer
    headers = as_json | {"Authorization": f"Bearer {json.loads(answer['text'])['access_token']}"}

    answer = page.fetch("POST", f"{base}/_matrix/client/v3/createRoom", headers, "{}")
    assert answer["status"] == 200, answer
    room = json.loads(answer["text"])["room_id"].replace("!", "%21").replace(":", "%3A")
    message = json.dumps({"msgtype": "m.text", "body": "from a script"})
    target = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/1"
    answer = page.fetch("PUT", base + target, headers, message)
    assert answer["status"] == 200, answer
    answer = page.fetch("GET", f"{base}/_matrix/client/v3/sync", headers)
    assert "from a script" in answer["text"]
    assert answer["headers"]["x-request-id"]


def test_script_reads_an_error_of_synapse(world: World, page: ForeignPage, protocol: str):
    url = f"{listener(world.gateway, protocol)}/_matrix/client/v3/account/whoami"
    answer = page.fetch("GET", url, {"Authorization": "Bearer nonsense"})
    assert answer["status"] == 401
    assert json.loads(answer["text"])["errcode"] == "M_UNKNOWN_TOKEN"
    assert answer["headers"]["x-request-id"]


def test_script_uses_a_rendezvous(world: World, page: ForeignPage, protocol: str):
    create = listener(world.gateway, protocol) + MSC3886
    as_json = {"Content-Type": "application/json"}
    created = page.fetch("POST", create, as_json, '{"from":"page"}')
    assert created["status"] == 201, created
    session = f"{create}/{created['headers']['location']}"
    tag = created["headers"]["etag"]
    assert page.fetch("GET", session, {"If-None-Match": tag})["status"] == 304
    written = page.fetch("PUT", session, as_json | {"If-Match": tag}, '{"from":"page again"}')
    assert written["status"] == 202
    stale = page.fetch("PUT", session, as_json | {"If-Match": tag}, "{}")
    assert stale["status"] == 412
    assert json.loads(stale["text"])["errcode"] == "M_CONCURRENT_WRITE"
    read = page.fetch("GET", session)
    assert (read["status"], read["text"]) == (200, '{"from":"page again"}')
    assert read["headers"]["etag"] == written["headers"]["etag"] != tag
    assert page.fetch("DELETE", session)["status"] == 204
    assert page.fetch("GET", session)["status"] == 404
