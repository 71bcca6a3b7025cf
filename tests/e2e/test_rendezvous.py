"""Sign-in by QR code (MSC3886), served by the gateway itself, with a plain HTTP client."""

import email.utils
import time

import httpx
import pytest

from client import send
from harness.waiting import wait_for
from world import World

CREATE = "/_synapse/client/org.matrix.msc3886/rendezvous"
CLIENT_API = "/_matrix/client/unstable/org.matrix.msc3886/rendezvous"
JSON = {"Content-Type": "application/json"}


class Session:
    """One rendezvous session, and the entity tag that its creator was told."""

    def __init__(self, http: httpx.Client, base: str, payload: bytes = b'{"hello":1}', create: str = CREATE):
        self.http, self.base = http, base
        self.created = send(http, "POST", base, create, content=payload, headers=JSON)
        assert self.created.status_code == 201, self.created.text
        self.target = f"{create}/{self.created.headers['location']}"
        self.tag = self.created.headers["etag"]

    def ask(self, method: str, content: bytes | None = None, **headers: str) -> httpx.Response:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return send(self.http, method, self.base, self.target, content=content, headers=fields)


@pytest.fixture
def session(world: World, protocol: str) -> Session:
    return Session(world.http(http2=protocol == "HTTP/2"), world.gateway.url)


def assert_open_to_scripts(answer: httpx.Response) -> None:
    assert answer.headers.get_list("access-control-allow-origin") == ["*"]
    exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert {"etag", "location", "x-max-bytes"} <= exposed


def assert_live(answer: httpx.Response) -> None:
    """What every answer about a living session tells."""
    assert answer.headers["etag"].startswith('"') and answer.headers["etag"].endswith('"')
    expires = email.utils.parsedate_to_datetime(answer.headers["expires"]).timestamp()
    assert time.time() < expires <= time.time() + 61
    email.utils.parsedate_to_datetime(answer.headers["last-modified"])
    assert answer.headers["x-max-bytes"] == "4096"
    assert_open_to_scripts(answer)


def test_create(session: Session):
    assert_live(session.created)
    assert session.created.content == b""
    location = session.created.headers["location"]
    assert location and "/" not in location


def test_read(session: Session):
    answer = session.ask("GET")
    assert (answer.status_code, answer.content) == (200, b'{"hello":1}')
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["etag"] == session.tag
    assert_live(answer)
    head = session.ask("HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == answer.headers["content-length"]


def test_unchanged_is_304(session: Session):
    answer = session.ask("GET", If_None_Match=session.tag)
    assert (answer.status_code, answer.content) == (304, b"")
    assert "content-type" not in answer.headers
    assert_live(answer)
    assert session.ask("GET", If_None_Match='"another"').status_code == 200


def test_conditional_write_and_lost_update(session: Session):
    written = session.ask("PUT", b"second", If_Match=session.tag, Content_Type="text/plain")
    assert (written.status_code, written.content) == (202, b"")
    assert written.headers["etag"] != session.tag
    assert_live(written)

    stale = session.ask("PUT", b"third", If_Match=session.tag, Content_Type="text/plain")
    assert stale.status_code == 412
    assert stale.json()["errcode"] == "M_CONCURRENT_WRITE"
    assert stale.headers["etag"] == written.headers["etag"]
    assert_live(stale)

    read = session.ask("GET", If_None_Match=session.tag)
    assert (read.status_code, read.content) == (200, b"second")
    assert read.headers["content-type"] == "text/plain"


def test_writing_the_same_payload_again_makes_a_new_tag(session: Session):
    """Otherwise a reader would not wake up, and a stale writer could win."""
    written = session.ask("PUT", b'{"hello":1}', If_Match=session.tag, Content_Type="application/json")
    assert written.status_code == 202
    assert written.headers["etag"] != session.tag


def test_delete(session: Session):
    deleted = session.ask("DELETE")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert_open_to_scripts(deleted)
    for method in ("GET", "PUT", "DELETE"):
        gone = session.ask(method, b"x" if method == "PUT" else None, Content_Type="text/plain")
        assert gone.status_code == 404
        assert gone.json()["errcode"] == "M_NOT_FOUND"
        assert_open_to_scripts(gone)


def test_unknown_and_malformed_ids_are_not_found(session: Session):
    for identifier in ("01M7000000000000000000000", "nonsense", "%E2%82%AC", "%FF%FE", "a%2Fb"):
        session.target = f"{CREATE}/{identifier}"
        answer = session.ask("GET")
        assert answer.status_code == 404, identifier
        assert answer.json()["errcode"] in ("M_NOT_FOUND", "M_UNRECOGNIZED")


def test_size_bound_is_inclusive(world: World, protocol: str):
    http = world.http(http2=protocol == "HTTP/2")
    session = Session(http, world.gateway.url, 4096 * b"x")
    assert session.ask("GET").content == 4096 * b"x"
    for too_large in (4097 * b"x", iter([4000 * b"x", 97 * b"x"])):
        answer = send(http, "POST", world.gateway.url, CREATE, content=too_large, headers=JSON)
        assert answer.status_code == 413
        assert answer.json()["errcode"] == "M_TOO_LARGE"
        assert answer.headers["x-max-bytes"] == "4096"
        assert_open_to_scripts(answer)


def test_preflight_allows_conditional_requests(session: Session):
    for method, headers in (("PUT", "content-type,if-match"), ("GET", "if-none-match")):
        answer = session.ask(
            "OPTIONS",
            Origin="https://element.example.com",
            Access_Control_Request_Method=method,
            Access_Control_Request_Headers=headers,
        )
        assert answer.status_code in (200, 204)
        assert answer.headers.get_list("access-control-allow-origin") == ["*"]
        allowed = answer.headers["access-control-allow-headers"].lower().replace(" ", "").split(",")
        assert set(headers.split(",")) <= set(allowed)
        assert method in answer.headers["access-control-allow-methods"].replace(" ", "").split(",")
        assert int(answer.headers["access-control-max-age"]) > 0


def test_path_of_the_client_api_leads_to_a_session(world: World, protocol: str):
    """Clients start there: they are served at once, or sent on with a redirect that keeps the method."""
    http = world.http(http2=protocol == "HTTP/2")
    answer = send(http, "POST", world.gateway.url, CLIENT_API, content=b"{}", headers=JSON)
    assert answer.status_code in (201, 307), answer.text
    if answer.status_code == 307:
        target = answer.headers["location"].removeprefix(world.gateway.url)
        answer = send(http, "POST", world.gateway.url, target, content=b"{}", headers=JSON)
        assert answer.status_code == 201, answer.text
    else:
        target = CLIENT_API
    read = send(http, "GET", world.gateway.url, f"{target}/{answer.headers['location']}")
    assert (read.status_code, read.content) == (200, b"{}")


def test_session_ids_stay_out_of_the_log(world: World, session: Session):
    """Whoever knows the id can read and write the session."""
    request_id = session.ask("GET").headers["x-request-id"]
    wait_for("the line of the request", lambda: request_id in world.gateway.log, 10)
    assert session.created.headers["location"] not in world.gateway.log


def test_session_outlives_a_change_of_listener(world: World):
    """One store for all listeners: the phone may come over another one than the laptop."""
    session = Session(world.http(), world.gateway.url)
    other = send(world.http(http2=False), "GET", world.gateway.http1_url, session.target)
    assert (other.status_code, other.content) == (200, b'{"hello":1}')
