"""What a script on a page of another origin sees of the gateway, in real Chromium."""

import json

import pytest

from harness.gateway import Gateway
from page import ForeignPage
from world import BROKEN_SESSIONS, PASSWORD, World

MIB = 1024 * 1024
UPLOAD = "/_matrix/media/v3/upload"
MSC3886 = "/_synapse/client/org.matrix.msc3886/rendezvous"


@pytest.fixture(scope="module")
def page(world: World, broken: dict[str, Gateway]):
    gateways = [world.gateway, *broken.values()]
    page = ForeignPage(sorted({gateway.certificate.spki_sha256 for gateway in gateways}))
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


VERSIONS = "/_matrix/client/versions"
ASKS_FIRST = {"headers": {"Authorization": "Bearer none"}}  # makes the browser send OPTIONS first
HUGE_HEADER = {"headers": {"Authorization": 16384 * "x"}}
# By status; the 400s are for framing that no browser produces, and are in test_wire_errors.py.
ERRORS = {
    "403 admin API": ("refused", "M_FORBIDDEN", "GET", "/_synapse/admin/v1/users", ASKS_FIRST),
    "404 path": ("refused", "M_UNRECOGNIZED", "GET", "/nowhere", {}),
    "404 path, asked first": ("refused", "M_UNRECOGNIZED", "GET", "/nowhere", ASKS_FIRST),
    "404 session": ("refused", "M_NOT_FOUND", "GET", f"{MSC3886}/01M7000000000000000000000", {}),
    "405 method": ("refused", "M_UNRECOGNIZED", "DELETE", MSC3886, {}),
    "413 upload": ("refused", "M_TOO_LARGE", "POST", UPLOAD, {"zeros": 51 * MIB} | ASKS_FIRST),
    "413 session": ("refused", "M_TOO_LARGE", "POST", MSC3886, {"zeros": 5000}),
    "414 target": ("refused", "M_UNKNOWN", "GET", f"{VERSIONS}?{9000 * 'x'}", ASKS_FIRST),
    "429 for a CDN": ("cdn", "M_LIMIT_EXCEEDED", "GET", VERSIONS, ASKS_FIRST),
    "431 header": ("refused", "M_UNKNOWN", "GET", VERSIONS, HUGE_HEADER),
    "502 closed": ("closes", "M_UNKNOWN", "GET", VERSIONS, ASKS_FIRST),
    "502 closed, of an extra route": ("refused", "M_UNKNOWN", "GET", "/closes/", {}),
    "503 refused": ("refused", "M_UNKNOWN", "GET", VERSIONS, ASKS_FIRST),
    "503 refused, of an extra route": ("refused", "M_UNKNOWN", "GET", "/refused/", {}),
    "504 silent": ("silent", "M_UNKNOWN", "GET", VERSIONS, ASKS_FIRST),
    "504 silent, of an extra route": ("refused", "M_UNKNOWN", "GET", "/silent/", {}),
}


def assert_readable(answer: dict, status: int, errcode: str) -> None:
    assert answer["status"] == status, answer
    body = json.loads(answer["text"])
    assert body["errcode"] == errcode
    assert body["error"] and body["org.matrix.gateway.cause"]
    assert body["org.matrix.gateway.request_id"] == answer["headers"]["x-request-id"]
    if status in (429, 503):
        assert int(answer["headers"]["retry-after"]) > 0
        assert body["retry_after_ms"] > 0


@pytest.mark.parametrize("error", ERRORS)
def test_script_reads_every_error_of_the_gateway(
    broken: dict[str, Gateway], page: ForeignPage, protocol: str, error: str
):
    gateway, errcode, method, target, options = ERRORS[error]
    answer = page.fetch(method, listener(broken[gateway], protocol) + target, **options)
    assert_readable(answer, int(error[:3]), errcode)


def test_script_reads_that_its_upload_stalled(broken: dict[str, Gateway], page: ForeignPage):
    """Scripts can only stream a body over HTTP/2."""
    answer = page.fetch("POST", f"{broken['silent'].url}/_matrix/client/v3/login", stalled=True)
    assert_readable(answer, 408, "M_UNKNOWN")


def test_script_reads_that_there_are_too_many_sessions(
    broken: dict[str, Gateway], page: ForeignPage, protocol: str
):
    create = listener(broken["cdn"], protocol) + MSC3886
    for _ in range(BROKEN_SESSIONS):
        assert page.fetch("POST", create, text="{}")["status"] in (201, 429)
    assert_readable(page.fetch("POST", create, text="{}"), 429, "M_LIMIT_EXCEEDED")
