"""Stands in for Matrix Authentication Service, which is no package that tests could install.

It speaks to Synapse the way that one does, and to clients as far as it takes to get a token by device
authorization (RFC 8628). Who asks for a grant gets it once a test says so.
"""

import http.server
import json
import secrets
import threading
import urllib.parse
import urllib.request

from .synapse import Synapse

SECRET = "only-for-this-test"
_API, _DEVICE = "urn:matrix:client:api:*", "urn:matrix:client:device:"


class AuthenticationService:
    """One authorization server, with the accounts of one Synapse."""

    def __init__(self):
        service = self

        class Handler(_Handler):
            def do_GET(self):
                self.answer(200, service.metadata)

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                form = dict(urllib.parse.parse_qsl(self.rfile.read(length).decode()))
                self.answer(*service.post(self.path, form))

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self.synapse: Synapse | None = None
        #: By token: the user and the device.
        self._tokens: dict[str, tuple[str, str]] = {}
        #: By device code and by the page on which the user agrees: the device and, later, its token.
        self._grants: dict[str, dict[str, str]] = {}

    def synapse_config(self) -> dict:
        return {
            "matrix_authentication_service": {"enabled": True, "endpoint": self.url, "secret": SECRET},
            "password_config": {"enabled": False},
            "enable_registration": False,
        }

    @property
    def metadata(self) -> dict:
        endpoints = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "oauth2/token",
            "revocation_endpoint": "oauth2/revoke",
            "registration_endpoint": "oauth2/registration",
            "device_authorization_endpoint": "oauth2/device",
            "account_management_uri": "account",
        }
        return {name: self.url + path for name, path in endpoints.items()} | {
            "issuer": self.url,
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "fragment"],
            "code_challenge_methods_supported": ["S256"],
            "grant_types_supported": [
                "authorization_code",
                "refresh_token",
                "urn:ietf:params:oauth:grant-type:device_code",
            ],
        }

    def post(self, path: str, form: dict[str, str]) -> tuple[int, dict]:
        match path:
            case "/oauth2/introspect":
                return 200, self._introspect(form["token"])
            case "/oauth2/device":
                return 200, self._ask(form["scope"])
            case "/oauth2/token":
                grant = self._grants[form["device_code"]]
                if "token" not in grant:
                    return 400, {"error": "authorization_pending"}
                return 200, {"access_token": grant["token"], "token_type": "Bearer"}
        return 404, {}

    def _introspect(self, token: str) -> dict:
        if token not in self._tokens:
            return {"active": False}
        localpart, device = self._tokens[token]
        return {"active": True, "username": localpart, "sub": localpart, "scope": f"{_API} {_DEVICE}{device}"}

    def _ask(self, scope: str) -> dict:
        device_code, user_code = secrets.token_urlsafe(), secrets.token_urlsafe(6)
        device = next(item.removeprefix(_DEVICE) for item in scope.split() if item.startswith(_DEVICE))
        page = f"{self.url}link?code={user_code}"
        self._grants[device_code] = self._grants[page] = {"device": device}
        return {
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": f"{self.url}link",
            "verification_uri_complete": page,
            "expires_in": 60,
            "interval": 1,
        }

    def approve(self, page: str, localpart: str) -> None:
        """This user opens the page that the device was told of, and agrees."""
        grant = self._grants[page]
        grant["token"] = self.sign_in(localpart, grant["device"])

    def sign_in(self, localpart: str, device: str) -> str:
        """A token for a device of this user; both are made if need be."""
        self._tell_synapse("provision_user", {"localpart": localpart})
        self._tell_synapse("upsert_device", {"localpart": localpart, "device_id": device})
        token = secrets.token_urlsafe()
        self._tokens[token] = (localpart, device)
        return token

    def _tell_synapse(self, what: str, body: dict) -> None:
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
        url = f"{self.synapse.url}/_synapse/mas/{what}"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        urllib.request.urlopen(request, timeout=30).close()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status: int, body: dict) -> None:
        encoded = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, *_):
        pass
