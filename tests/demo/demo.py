"""A Synapse, the gateway in front of it, and a client: each step is shown and checked."""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from harness.certificates import Authority
from harness.gateway import REPOSITORY, Gateway
from harness.ports import free_port
from harness.synapse import Synapse
from harness.waiting import wait_for

FOLDER = REPOSITORY / "target/demo"
PASSWORD = "demo password"
MSC3886 = "/_synapse/client/org.matrix.msc3886/rendezvous"


class Client:
    """Speaks HTTPS to the gateway, trusting the demo's CA and nothing else, and shows what it does."""

    def __init__(self, port: int, authority: Authority):
        self._port = port
        self._trust = ssl.create_default_context(cafile=str(authority.file))

    def ask(self, method: str, target: str, body=None, show: bool = True, **headers: str):
        """One request; a dict is sent as JSON. Returns status, header fields and body."""
        if isinstance(body, dict):
            body = json.dumps(body)
            headers.setdefault("Content_Type", "application/json")
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPSConnection("localhost", self._port, timeout=60, context=self._trust)
        if show:
            print(f"   > {method} https://localhost:{self._port}{target}")
        try:
            connection.request(method, target, body, fields)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if show:
            print(f"   < {answer.status} {answer.reason}")
        return answer.status, answer.headers, content

    def json(self, method: str, target: str, body=None, token: str | None = None, show: bool = True) -> dict:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        status, _, content = self.ask(method, target, body, show, **headers)
        check(status == 200, f"{method} {target} gave {status}: {content[:300]!r}")
        return json.loads(content)


class StepFailed(Exception):
    pass


def check(condition: object, otherwise: str) -> None:
    if not condition:
        raise StepFailed(otherwise)


class Demo:
    def __init__(self, synapse: Synapse, gateway: Gateway, authority: Authority):
        self.synapse, self.gateway = synapse, gateway
        self.client = Client(gateway.tls_port, authority)
        self.tokens: dict[str, str] = {}
        self.room = ""

    def log_in(self) -> str:
        """Alice and Bob log in with a password"""
        for name in ("alice", "bob"):
            self.synapse.register(name, PASSWORD)
            user = {"type": "m.id.user", "user": name}
            body = {"type": "m.login.password", "identifier": user, "password": PASSWORD}
            self.tokens[name] = self.client.json("POST", "/_matrix/client/v3/login", body)["access_token"]
        me = self.client.json("GET", "/_matrix/client/v3/account/whoami", token=self.tokens["alice"])
        check(me["user_id"] == f"@alice:{self.synapse.server_name}", f"logged in as {me}")
        return f"Synapse knows the client as {me['user_id']}"

    def message_wakes_a_sync(self) -> str:
        """Bob waits in a long poll, Alice sends a message"""
        alice, bob = self.tokens["alice"], self.tokens["bob"]
        body = {"preset": "public_chat", "name": "a/b#c"}
        self.room = self.client.json("POST", "/_matrix/client/v3/createRoom", body, alice)["room_id"]
        room = quote(self.room, safe="")
        self.client.json("POST", f"/_matrix/client/v3/join/{room}", {}, bob)
        since = self.client.json("GET", "/_matrix/client/v3/sync", token=bob)["next_batch"]
        poll = f"/_matrix/client/v3/sync?timeout=30000&since={quote(since, safe='')}"
        answers: list[dict] = []
        print(f"   > GET {poll[:40]}... in the background")
        waiting = threading.Thread(
            target=lambda: answers.append(self.client.json("GET", poll, token=bob, show=False)), daemon=True
        )
        waiting.start()
        wait_for("Bob's poll to reach Synapse", lambda: self.synapse.in_flight("SyncRestServlet"), 20)
        sent_at = time.monotonic()
        message = {"msgtype": "m.text", "body": "Hello Bob, this came through the gateway"}
        self.client.json("PUT", f"/_matrix/client/v3/rooms/{room}/send/m.room.message/1", message, alice)
        waiting.join(60)
        took = time.monotonic() - sent_at
        check(answers, "the long poll was not answered")
        events = answers[0]["rooms"]["join"][self.room]["timeline"]["events"]
        check([event["content"]["body"] for event in events] == [message["body"]], f"Bob got {events}")
        return f'Bob\'s poll woke up {took * 1000:.0f} ms after Alice sent "{message["body"]}"'

    def rendezvous(self) -> str:
        """A laptop and a phone meet for a sign-in by QR code (MSC3886, dropped by Synapse)"""
        ask = self.client.ask
        status, created, _ = ask("POST", MSC3886, {"from": "laptop"})
        check(status == 201, f"no session was made: {status}")
        session, tag = f"{MSC3886}/{created['Location']}", created["ETag"]
        status, _, payload = ask("GET", session)
        check((status, json.loads(payload)) == (200, {"from": "laptop"}), "the phone read something else")
        status, written, _ = ask("PUT", session, {"from": "phone"}, If_Match=tag)
        check(status == 202 and written["ETag"] != tag, f"the phone could not write: {status}")
        status, _, _ = ask("PUT", session, {"from": "somebody late"}, If_Match=tag)
        check(status == 412, f"a write on top of a stale copy gave {status}, not 412")
        status, _, payload = ask("GET", session, If_None_Match=tag)
        check((status, json.loads(payload)) == (200, {"from": "phone"}), "the laptop read something else")
        status, _, _ = ask("DELETE", session)
        check(status == 204, f"the session could not be deleted: {status}")
        return "both devices exchanged their halves, and a write that came too late was refused"

    def admin_api_is_hidden(self) -> str:
        """The admin API answers at Synapse's own port but not through the gateway"""
        version = json.loads(self.synapse.get("/_synapse/admin/v1/server_version"))["server_version"]
        status, _, content = self.client.ask("GET", "/_synapse/admin/v1/server_version")
        check(status == 404 and json.loads(content)["errcode"] == "M_UNRECOGNIZED", f"{status} {content!r}")
        return f"Synapse {version} is behind a closed door"

    def errors_can_be_read(self) -> str:
        """A request that the gateway refuses itself is a Matrix error that a web client can read"""
        status, headers, content = self.client.ask(
            "GET", f"/_matrix/client/versions?{9000 * 'x'}", show=False
        )
        print(f"   > GET /_matrix/client/versions?xxxx... (9,000 letters)\n   < {status} {content.decode()}")
        check(status == 414 and headers["Access-Control-Allow-Origin"] == "*", f"{status} {headers}")
        check(json.loads(content)["errcode"] == "M_UNKNOWN", repr(content))
        return "with CORS headers and the request id to look for in the log"


def run_steps(demo: Demo) -> bool:
    steps = [
        demo.log_in,
        demo.message_wakes_a_sync,
        demo.rendezvous,
        demo.admin_api_is_hidden,
        demo.errors_can_be_read,
    ]
    failed = 0
    for number, step in enumerate(steps, 1):
        print(f"\n{number}. {step.__doc__}", flush=True)
        try:
            print(f"   OK: {step()}", flush=True)
        except (StepFailed, OSError, http.client.HTTPException, ValueError, KeyError) as error:
            failed += 1
            print(f"   FAILED: {type(error).__name__}: {error}", flush=True)
    print(f"\n{len(steps) - failed} of {len(steps)} steps worked.")
    return failed == 0


def preferred(port: int) -> int:
    """This port if it is free, so that the demo's URL is the same every time."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return free_port()
    return port


def stay_up(gateway: Gateway, synapse: Synapse, authority: Authority) -> None:
    print(
        f"\nThe gateway is up at {gateway.url} until Ctrl-C. Users: alice and bob, password: {PASSWORD}\n"
        f"  try:          curl --cacert {authority.file} {gateway.url}/_matrix/client/versions\n"
        f"  its YAML:     {gateway.config_file}\n"
        f"  its log:      {gateway.folder / 'gateway.log'}\n"
        f"  Synapse's:    {synapse.folder / 'main.log'}",
        flush=True,
    )
    signal.pause()


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shutil.rmtree(FOLDER, ignore_errors=True)
    authority = Authority(FOLDER / "certificates", "synapse-gateway demo CA")
    federation_port = preferred(8448)
    certificate = authority.issue("localhost")
    gateway = Gateway(FOLDER / "gateway", authority, certificate, federation_port)
    gateway.tls_port = preferred(8443)
    gateway.url = f"https://localhost:{gateway.tls_port}"
    synapse = Synapse(FOLDER / "synapse", f"localhost:{federation_port}", f"{gateway.url}/")
    once = os.environ.get("ONCE") == "1"
    try:
        print(f"Starting Synapse {synapse.server_name} on SQLite, at {synapse.url}", flush=True)
        synapse.start()
        print(f"Starting the gateway in front of it, at {gateway.url}", flush=True)
        config = gateway.config(synapse.server_name, f"127.0.0.1:{synapse.port}")
        config["tls"]["hsts"] = 0  # a browser would keep to it for every other port of localhost
        gateway.start(config)
        worked = run_steps(Demo(synapse, gateway, authority))
        if not once:
            stay_up(gateway, synapse, authority)
        return 0 if worked else 1
    except KeyboardInterrupt:
        print("\nStopping.")
        return 0
    except (RuntimeError, TimeoutError, FileNotFoundError) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    finally:
        try:
            gateway.stop()
        finally:
            synapse.stop()


if __name__ == "__main__":
    sys.exit(main())
