"""Load generator for new TLS connections: each one a full TLS 1.3 handshake and one HTTP/1.1 request.

h2load cannot do this: its clients connect once. wrk can, but resumes sessions and leaves the handshake out of its
latency.
Prints one JSON object. Run by scenarios.py, as a process of its own.
"""

import json
import multiprocessing
import socket
import ssl
import sys
import time


def one(context, port, request):
    """One connection; returns what went wrong, or None."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as tcp:
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(tcp, server_hostname="example.test") as tls:
            tls.sendall(request)
            answer = b"".join(iter(lambda: tls.recv(16384), b""))
            if tls.session_reused or tls.version() != "TLSv1.3":
                return f"{tls.version()}, resumed: {tls.session_reused}"
            cipher = tls.cipher()[0]
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 ") or len(body) != 1024:
        return f"{head[:40]!r} and {len(body)} bytes"
    if cipher != "TLS_AES_128_GCM_SHA256":
        return f"cipher {cipher}"
    return None


def worker(port, path, count, start, results):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The certificate is the run's own; what is measured is the server.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    request = f"GET {path} HTTP/1.1\r\nHost: example.test:{port}\r\nConnection: close\r\n\r\n".encode()
    latencies, faults = [], []
    start.wait()
    for _ in range(count):
        begun = time.perf_counter()
        try:
            fault = one(context, port, request)
        except OSError as error:
            fault = repr(error)
        if fault:
            faults.append(fault)
        else:
            latencies.append(time.perf_counter() - begun)
    results.put((latencies, faults))


def main(port, path, count, workers):
    start, results = multiprocessing.Barrier(workers + 1), multiprocessing.Queue()
    shares = [count // workers + (number < count % workers) for number in range(workers)]
    children = [
        multiprocessing.Process(target=worker, args=(port, path, share, start, results), daemon=True)
        for share in shares
    ]
    for child in children:
        child.start()
    start.wait()
    begun = time.perf_counter()
    parts = [results.get() for _ in children]
    seconds = time.perf_counter() - begun
    for child in children:
        child.join()
    latencies = [latency for part, _ in parts for latency in part]
    faults = [fault for _, part in parts for fault in part]
    json.dump({"seconds": seconds, "latencies": latencies, "failed": len(faults), "faults": faults[:3]}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
