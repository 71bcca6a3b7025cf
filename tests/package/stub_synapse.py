"""Stands in for Synapse: answers at once, late, or when a whole upload has come. Run as a program: stub_synapse.py PORT."""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/_matrix/client/v3/sync":
            time.sleep(int(parse_qs(url.query)["timeout"][0]) / 1000)
            return self.answer({"next_batch": "s1"})
        if url.path == "/_matrix/federation/v1/version":
            return self.answer({"server": {"name": "Synapse", "version": "1.163.2"}})
        return self.answer({"versions": ["v1.11"]})

    def do_POST(self) -> None:
        left = length = int(self.headers["Content-Length"])
        while left and (part := self.rfile.read(min(left, 65536))):
            left -= len(part)
        self.answer({"content_uri": f"mxc://example.com/{length - left}"})

    def answer(self, document: dict) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is written down: a run makes thousands of requests."""


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
