"""Refusals that a browser cannot provoke: as readable as all others, and then the connection ends."""

import json

import h2.events
import pytest

from harness.gateway import Gateway
from wire import connect, http2_event_after, read_answer

HOST = b"Host: localhost\r\n"
LOGIN = b"POST /_matrix/client/v3/login HTTP/1.1\r\n" + HOST
REQUESTS = {
    "length beside chunks": (
        400,
        LOGIN
        + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "no host": (400, b"GET /_matrix/client/versions HTTP/1.1\r\n\r\n"),
    "absolute form": (400, b"GET http://localhost/_matrix/client/versions HTTP/1.1\r\n" + HOST + b"\r\n"),
    "hash in the target": (400, b"GET /_matrix/client/versions#x HTTP/1.1\r\n" + HOST + b"\r\n"),
    "body that stops": (
        408,
        LOGIN + b"Content-Length: 10\r\n\r\nabc",
    ),
}  # fmt: skip
# Refused while the head is read, before there is a request to answer: no body, but the end of the connection.
UNREADABLE = {
    "two lengths": LOGIN + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "two hosts": b"GET /_matrix/client/versions HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "form of Synapse's workers": (
        b"GET matrix-federation://example.com/_matrix/key/v2/server HTTP/1.1\r\n" + HOST + b"\r\n"
    ),
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
}


@pytest.mark.parametrize("case", REQUESTS)
def test_refusal_is_a_matrix_error_with_cors(broken: dict[str, Gateway], case: str):
    expected, request = REQUESTS[case]
    with connect(broken["silent"]) as connection:
        connection.sendall(request)
        status, headers, content = read_answer(connection)
        assert status == expected, content
        body = json.loads(content)
        assert body["errcode"] == "M_UNKNOWN"
        assert body["org.matrix.gateway.request_id"] == headers["x-request-id"]
        assert headers["access-control-allow-origin"] == "*"
        assert "x-request-id" in headers["access-control-expose-headers"].lower()
        assert headers["connection"] == "close"
        assert connection.recv(1) == b""


def test_body_that_stops_over_http1_is_a_timeout(broken: dict[str, Gateway]):
    with connect(broken["patient"]) as connection:
        connection.sendall(LOGIN + b"Content-Length: 10\r\n\r\nabc")
        status, _, content = read_answer(connection)
    assert (status, json.loads(content)["org.matrix.gateway.cause"]) == (408, "body_timeout")


def test_body_that_stops_over_http2_is_reset(broken: dict[str, Gateway]):
    """It would hold a connection to Synapse for as long as the client likes."""
    headers = {":method": "POST", ":scheme": "https", ":authority": "localhost"}
    path = {":path": "/_matrix/client/v3/login"}
    event = http2_event_after(broken["patient"], list((headers | path).items()), b"abc")
    assert isinstance(event, h2.events.StreamReset), event


@pytest.mark.parametrize("case", UNREADABLE)
def test_unreadable_head_ends_the_connection(broken: dict[str, Gateway], case: str):
    with connect(broken["silent"]) as connection:
        connection.sendall(UNREADABLE[case])
        with connection.makefile("rb") as stream:
            answer = stream.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
