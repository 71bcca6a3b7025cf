"""Who serves rendezvous sessions: the gateway and the two that administrators have without it."""

import dataclasses

import peers

# How long the gateway's sessions live here: longer than a burst, and soon gone.
TTL = 4
NO_LIMITS = "{creations_per_minute: 0, sessions: 0, reads_per_minute: 0, writes_per_minute: 0}"
SYNAPSE = ("-m", "synapse.app.homeserver", "-c", "{config}")
SYNAPSE_VERSION = ("-c", "from importlib.metadata import version; print(version('matrix-synapse'))")
SYNAPSE_LOG = ("synapse-log.yaml",)


def gateway(name, port, values):
    arguments = ("run", "-c", "{config}")
    template = "gateway-rendezvous.yaml"
    values = (("PLAIN_PORT", port + 1), ("TRUSTED", "[]"), *values)
    title, program = "synapse-gateway", "synapse-gateway"
    return peers.Peer(name, title, port, template, program, arguments, ("--version",), values=values)


# With all limits off and room for what a burst opens; and with the room and the limits of the defaults.
UNLIMITED = gateway("unlimited", 21448, (("TTL", TTL), ("MAX_ENTRIES", 1000000), ("LIMITS", NO_LIMITS)))
GUARDED = gateway("guarded", 21450, (("TTL", 60), ("MAX_ENTRIES", 10000), ("LIMITS", "{}")))
# Two that keep what they are given; the second believes what is said of addresses.
LASTING = (("TTL", 3600), ("LIMITS", NO_LIMITS))
STORED = gateway("stored", 21454, (*LASTING, ("MAX_ENTRIES", 1000000)))
CROWDED = gateway("crowded", 21456, (*LASTING, ("MAX_ENTRIES", 1000000), ("TRUSTED", "[127.0.0.1]")))
MODULE = peers.Peer(
    "module",
    "matrix-http-rendezvous-synapse 0.1.12 in Synapse",
    21452,
    "synapse-module.yaml",
    str(peers.REPOSITORY / "target/venv-1.80/bin/python"),
    SYNAPSE,
    SYNAPSE_VERSION,
    (("SYNAPSE_ASYNC_IO_REACTOR", "1"),),
    more=SYNAPSE_LOG,
)
BUILT_IN = peers.Peer(
    "built-in",
    "Synapse's own MSC4108, Synapse",
    21453,
    "synapse-msc4108.yaml",
    str(peers.REPOSITORY / "target/venv/bin/python"),
    SYNAPSE,
    SYNAPSE_VERSION,
    more=SYNAPSE_LOG,
)
SERVERS = (UNLIMITED, GUARDED, MODULE, BUILT_IN, STORED, CROWDED)


@dataclasses.dataclass(frozen=True)
class Target:
    """A server, reached one way. `base` names the one of the same protocol that it is compared with."""

    name: str
    title: str
    server: peers.Peer
    protocol: str
    transport: str
    base: str

    @property
    def plain_port(self):
        return dict(self.server.values).get("PLAIN_PORT", self.server.port)

    @property
    def port(self):
        return self.plain_port if self.transport == "plain" else self.server.port

    @property
    def linger(self):
        """Seconds after which nothing is left of a burst of creations."""
        return TTL + 0.5 if self.server is UNLIMITED else 0


TARGETS = (
    Target("module", "rendezvous module, plain HTTP", MODULE, "msc3886", "plain", "module"),
    Target("gateway-msc3886", "gateway MSC3886, plain HTTP", UNLIMITED, "msc3886", "plain", "module"),
    Target("gateway-msc3886-tls", "gateway MSC3886, TLS", UNLIMITED, "msc3886", "tls", "module"),
    Target("synapse", "Synapse MSC4108, plain HTTP", BUILT_IN, "msc4108", "plain", "synapse"),
    Target("gateway-msc4108", "gateway MSC4108, plain HTTP", UNLIMITED, "msc4108", "plain", "synapse"),
    Target("gateway-msc4108-tls", "gateway MSC4108, TLS", UNLIMITED, "msc4108", "tls", "synapse"),
    Target("gateway-msc4108-h2", "gateway MSC4108, TLS, HTTP/2", UNLIMITED, "msc4108", "h2", "synapse"),
)
FLOODED = (
    Target("module", "rendezvous module", MODULE, "msc3886", "plain", "module"),
    Target("synapse", "Synapse MSC4108", BUILT_IN, "msc4108", "plain", "synapse"),
    Target("gateway", "gateway MSC4108", GUARDED, "msc4108", "plain", "synapse"),
)
# By the operation that fills them.
FILLED = {
    "create": Target("stored", "one address", STORED, "msc4108", "plain", "stored"),
    "crowd": Target("crowded", "one a session", CROWDED, "msc4108", "plain", "crowded"),
}
