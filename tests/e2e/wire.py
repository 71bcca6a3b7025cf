"""Single exchanges on a TLS socket, for requests that no HTTP client agrees to send."""

import socket
import ssl

import h2.connection
import h2.events

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


def http2_event_after(gateway: Gateway, headers: list[tuple[str, str]], body: bytes) -> h2.events.Event:
    """Begins an HTTP/2 request whose body never ends; returns what the gateway says to it first."""
    trust = ssl.create_default_context(cafile=str(gateway.authority.file))
    trust.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", gateway.tls_port), timeout=20)
    with trust.wrap_socket(plain, server_hostname="localhost") as connection:
        http2 = h2.connection.H2Connection()
        http2.initiate_connection()
        http2.send_headers(1, headers)
        http2.send_data(1, body)
        while True:
            connection.sendall(http2.data_to_send())
            for event in http2.receive_data(connection.recv(65536)):
                if isinstance(event, (h2.events.ResponseReceived, h2.events.StreamReset)):
                    return event
