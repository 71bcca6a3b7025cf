"""Which loopback port may a server take?

Ports come from below the kernel's ephemeral range, so that no outgoing connection of the test
itself can hold one between the moment it is found free and the moment a server binds it.
"""

import random
import socket

FIRST, LAST = 20000, 32000
_handed_out: set[int] = set()


def free_port() -> int:
    """A port that nothing on this machine listens on and that was not handed out before."""
    for port in random.sample(range(FIRST, LAST), 500):
        if port in _handed_out:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _handed_out.add(port)
        return port
    raise RuntimeError(f"no free port between {FIRST} and {LAST}")
