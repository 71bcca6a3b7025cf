"""Large uploads and downloads, and the refusal of an upload that is too large."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from wire import connect, read_answer
from world import World

MIB = 1024 * 1024
UPLOAD = "/_matrix/media/v3/upload"


@pytest.fixture(scope="module")
def too_large(folder: Path) -> Path:
    """51 MiB, one more than Synapse and the gateway accept."""
    file = folder / "51MiB"
    with file.open("wb") as out:
        for _ in range(51):
            out.write(os.urandom(MIB))
    return file


def test_40_mib_come_back_unchanged(world: World, protocol: str):
    account = world.new_account(http2=protocol == "HTTP/2")
    content = os.urandom(40 * MIB)
    uri = account.upload(content, "a/b#c.bin")
    answer = account.send("GET", f"/_matrix/client/v1/media/download/{uri.removeprefix('mxc://')}")
    assert answer.status_code == 200
    assert answer.http_version == protocol
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(content).digest()


def test_media_file_name_with_escapes_is_kept(world: World, protocol: str):
    account = world.new_account(http2=protocol == "HTTP/2")
    uri = account.upload(b"x")
    target = f"/_matrix/client/v1/media/download/{uri.removeprefix('mxc://')}/a%2Fb%23c%20d.txt"
    direct = account.http.get(
        world.synapse.media_url + "/",
        extensions={"target": target.encode()},
        headers={"Authorization": f"Bearer {account.token}"},
    )
    through = account.send("GET", target)
    assert through.status_code == 200
    assert through.headers["content-disposition"] == direct.headers["content-disposition"]


def assert_refused(status: int, headers: dict[str, str], body: bytes) -> None:
    assert status == 413, body
    assert headers["content-type"].startswith("application/json")
    assert headers["access-control-allow-origin"] == "*"
    error = json.loads(body)
    assert error["errcode"] == "M_TOO_LARGE"
    assert error["org.matrix.gateway.request_id"] == headers["x-request-id"]


@pytest.mark.parametrize("framing", ["with a length", "without a length"])
def test_curl_sees_the_refusal_of_51_mib(
    world: World, folder: Path, too_large: Path, protocol: str, framing: str
):
    account = world.new_account()
    headers_file, body_file = folder / "curl.headers", folder / "curl.body"
    argv = [
        "curl", "--silent", "--show-error", "--max-time", "60", "--cacert", str(world.authority.file),
        "--http2" if protocol == "HTTP/2" else "--http1.1", "--request", "POST",
        "--header", f"Authorization: Bearer {account.token}", "--header", "Expect:",
        "--header", "Content-Type: application/octet-stream",
        "--dump-header", str(headers_file), "--output", str(body_file),
        "--write-out", "%{http_code} %{http_version}",
    ]  # fmt: skip
    if framing == "with a length":
        argv += ["--upload-file", str(too_large)]
    else:
        argv += ["--upload-file", "-"]
        if protocol == "HTTP/1.1":
            argv += ["--header", "Transfer-Encoding: chunked"]
    with too_large.open("rb") as stdin:
        curl = subprocess.run(
            [*argv, world.gateway.url + UPLOAD], stdin=stdin, capture_output=True, text=True, check=False
        )
    assert curl.returncode == 0, curl.stderr
    status, version = curl.stdout.split()
    assert version == protocol.removeprefix("HTTP/")
    fields = [line.split(":", 1) for line in headers_file.read_text().splitlines() if ":" in line]
    headers = {name.lower(): value.strip() for name, value in fields}
    assert_refused(int(status), headers, body_file.read_bytes())


@pytest.mark.parametrize("framing", ["with a length", "without a length"])
def test_client_that_reads_only_after_writing_all_sees_the_refusal(
    world: World, too_large: Path, framing: str
):
    """Many HTTP/1.1 clients write the whole body first. A reset in between would hide the answer."""
    account = world.new_account()
    content = too_large.read_bytes()
    length = f"Content-Length: {len(content)}" if framing == "with a length" else "Transfer-Encoding: chunked"
    head = (
        f"POST {UPLOAD} HTTP/1.1\r\nHost: localhost:{world.gateway.http1_port}\r\n{length}\r\n"
        f"Authorization: Bearer {account.token}\r\nContent-Type: application/octet-stream\r\n\r\n"
    ).encode()
    with connect(world.gateway) as connection:
        connection.sendall(head)
        for start in range(0, len(content), MIB):
            chunk = content[start : start + MIB]
            if framing != "with a length":
                chunk = f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n"
            connection.sendall(chunk)
        if framing != "with a length":
            connection.sendall(b"0\r\n\r\n")
        assert_refused(*read_answer(connection))
