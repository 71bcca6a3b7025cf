"""What a script on a page of another origin sees of the gateway's errors, in real Chromium."""

import json

import pytest

from harness.gateway import Gateway
from page import ForeignPage
from test_browser import MSC3886, listener
from world import BROKEN_SESSIONS

MIB = 1024 * 1024
UPLOAD = "/_matrix/media/v3/upload"
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


@pytest.fixture(scope="module")
def page(broken: dict[str, Gateway]):
    page = ForeignPage(sorted({gateway.certificate.spki_sha256 for gateway in broken.values()}))
    try:
        yield page
    finally:
        page.close()


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
