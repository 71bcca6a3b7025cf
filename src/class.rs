//! How a request behaves, in one word: what its time budget, its place in the metrics and its log line depend on.

/// How a request behaves in time. Stands in metrics and in the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteClass {
    /// `/sync` and `/events` with a position: waits for news.
    LongPoll,
    /// The first `/sync` of a device, and `/initialSync`: minutes of work.
    InitialSync,
    /// Joins, knocks, invites and new rooms: waits for other servers.
    Join,
    /// Media on its way in.
    Upload,
    /// Media on its way out, perhaps fetched from elsewhere first.
    Download,
    /// The server-server and key APIs.
    Federation,
    /// The rest of the client-server API.
    Client,
    /// `/_synapse/admin`.
    Admin,
    /// What Matrix Authentication Service answers, and what it asks of Synapse.
    Mas,
    /// Sign-in by QR code, served here.
    Rendezvous,
    /// `/.well-known/matrix`.
    WellKnown,
    /// Calls: the services below `/livekit`.
    MatrixRtc,
    /// Routes of the operator's own.
    Extra,
    /// Health, redirects and certificates' challenges.
    Service,
    /// Nothing that is served.
    Unknown,
}

impl RouteClass {
    /// All classes, in the order of [`RouteClass::index`].
    pub const ALL: [Self; 15] = [
        Self::LongPoll,
        Self::InitialSync,
        Self::Join,
        Self::Upload,
        Self::Download,
        Self::Federation,
        Self::Client,
        Self::Admin,
        Self::Mas,
        Self::Rendezvous,
        Self::WellKnown,
        Self::MatrixRtc,
        Self::Extra,
        Self::Service,
        Self::Unknown,
    ];

    /// The place in [`RouteClass::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in metrics and in the access log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LongPoll => "long_poll",
            Self::InitialSync => "initial_sync",
            Self::Join => "join",
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Federation => "federation",
            Self::Client => "client",
            Self::Admin => "admin",
            Self::Mas => "mas",
            Self::Rendezvous => "rendezvous",
            Self::WellKnown => "well_known",
            Self::MatrixRtc => "matrix_rtc",
            Self::Extra => "extra",
            Self::Service => "service",
            Self::Unknown => "unknown",
        }
    }
}
