"""A device that signs in: rendezvous sessions over plain HTTP, one request after the other."""

import dataclasses
import http.client
import json
import time
import urllib.parse

MSC3886 = "/_synapse/client/org.matrix.msc3886/rendezvous"
MSC4108 = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous"
# Seconds after which there will be no answer.
PATIENCE = 10
ENDPOINTS = {"msc3886": MSC3886, "msc4108": MSC4108}


class Unexpected(Exception):
    """An answer of another status than it should be."""


@dataclasses.dataclass
class Session:
    path: str
    etag: str


class Device:
    def __init__(self, port, protocol, source="127.0.0.1"):
        self.protocol = protocol
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE, source_address=(source, 0))
        self.latencies = []

    def ask(self, method, path, expected, body=None, **condition):
        headers = {"Host": "example.test"}
        if body is not None:
            headers["Content-Type"] = "text/plain"
        for name, value in condition.items():
            headers[name.replace("_", "-")] = value
        begun = time.perf_counter()
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        self.latencies.append(time.perf_counter() - begun)
        if answer.status != expected:
            raise Unexpected(f"{method} {answer.status}")
        return answer.headers, content

    def open(self, payload):
        endpoint = ENDPOINTS[self.protocol]
        headers, content = self.ask("POST", endpoint, 201, payload)
        if self.protocol == "msc3886":
            path = f"{endpoint}/{headers['Location']}"
        else:
            path = urllib.parse.urlsplit(json.loads(content)["url"]).path
        return Session(path, headers["ETag"])

    def poll(self, session):
        self.ask("GET", session.path, 304, If_None_Match=session.etag)

    def await_other(self, session):
        """Like a poll, of a session that the other device has written to."""
        headers, content = self.ask("GET", session.path, 200, If_None_Match=session.etag)
        session.etag = headers["ETag"]
        return content

    def read(self, session):
        return self.ask("GET", session.path, 200)[1]

    def write(self, session, payload):
        headers, _ = self.ask("PUT", session.path, 202, payload, If_Match=session.etag)
        session.etag = headers["ETag"]

    def remove(self, session):
        self.ask("DELETE", session.path, 204)

    def close(self):
        self.connection.close()
