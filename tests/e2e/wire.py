"""One HTTP/1.1 exchange on a TLS socket, for requests that no HTTP client agrees to send."""

import socket
import ssl

from harness.gateway import Gateway


def connect(gateway: Gateway) -> ssl.SSLSocket:
    """A connection to the listener that speaks HTTP/1.1 only."""
    trust = ssl.create_default_context(cafile=str(gateway.authority.file))
    plain = socket.create_connection(("127.0.0.1", gateway.http1_port), timeout=60)
    return trust.wrap_socket(plain, server_hostname="localhost")


def read_answer(connection: ssl.SSLSocket) -> tuple[int, dict[str, str], bytes]:
    """Status, header fields in small letters, and the body, whose length must be declared."""
    with connection.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        headers = {}
        while line := stream.readline().strip():
            name, value = line.decode().split(":", 1)
            headers[name.lower()] = value.strip()
        return status, headers, stream.read(int(headers["content-length"]))
