"""Load generator for whole log-ins: two devices each, every device with an address of its own.

Prints one JSON object. Run by flood.py, as a process of its own.
"""

import collections
import concurrent.futures
import http.client
import json
import sys
import time

import devices

# A tenth of what clients wait between two polls.
PAUSE = 0.1
POLLS = 3
PAYLOAD = b"x" * 1024


def address(number):
    """One of 127.1.0.1 and following, none of which is the flood's 127.0.0.1."""
    return f"127.{1 + number // 62500}.{number // 250 % 250}.{1 + number % 250}"


def log_in(new, old):
    """The new device shows a code, the old one scans it; each leaves the other a message."""
    session = new.open(PAYLOAD)
    for _ in range(POLLS):
        new.poll(session)
        time.sleep(PAUSE)
    seen = devices.Session(session.path, session.etag)
    if old.read(seen) != PAYLOAD:
        raise devices.Unexpected("another payload")
    old.write(seen, b"old " + PAYLOAD)
    if new.await_other(session) != b"old " + PAYLOAD:
        raise devices.Unexpected("another payload")
    new.write(session, b"new " + PAYLOAD)
    if old.await_other(seen) != b"new " + PAYLOAD:
        raise devices.Unexpected("another payload")
    new.remove(session)


def one(number, port, protocol):
    """Returns what went wrong, or None; and the latencies of the requests that were answered."""
    new, old = (devices.Device(port, protocol, address(2 * number + which)) for which in (0, 1))
    fault = None
    try:
        log_in(new, old)
    except (devices.Unexpected, http.client.HTTPException, OSError) as error:
        fault = str(error) or repr(error)
    finally:
        new.close()
        old.close()
    return fault, new.latencies + old.latencies


def main(port, protocol, seconds, per_second):
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(256) as pool:
        flights = []
        for number in range(round(seconds * per_second)):
            time.sleep(max(0, begun + number / per_second - time.monotonic()))
            flights.append(pool.submit(one, number, port, protocol))
        ends = [flight.result() for flight in flights]
    faults = collections.Counter(fault for fault, _ in ends if fault)
    latencies = [latency for _, part in ends for latency in part]
    json.dump({"logins": len(ends), "faults": faults, "latencies": latencies}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
