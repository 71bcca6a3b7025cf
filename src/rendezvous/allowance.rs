//! How much one client may take, and how often: so that a flood from one address leaves everybody else's sign-in alone.

use std::net::IpAddr;
use std::num::NonZeroU32;

use ipnet::IpNet;

/// What one visitor and one session may take. None is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How often a visitor may open a session, in a minute and at once.
    pub creations_per_minute: Option<NonZeroU32>,
    /// How often a session may be read, in a minute and at once.
    pub reads_per_minute: Option<NonZeroU32>,
    /// How often a session may be written to, in a minute and at once.
    pub writes_per_minute: Option<NonZeroU32>,
    /// Leading bits of an IPv4 address that make one visitor.
    pub ipv4_prefix: u8,
    /// Leading bits of an IPv6 address that make one visitor.
    pub ipv6_prefix: u8,
    /// How many sessions may be counted at a time: more than there can be, since some are asked for that do not exist.
    pub max_sessions: usize,
}

/// The addresses that count as one client. A household has many of version 6, and can choose among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Visitor(IpAddr);

impl Allowance {
    /// How many visitors are counted at a time. More can only be active when they are many thousands; then those that
    /// are left over are bounded by their number of sessions alone.
    pub const MAX_VISITORS: usize = 1 << 16;

    /// What counting takes for each visitor and session, with the slack of tables.
    const COUNTER: u64 = 96;

    /// Whose address it is.
    #[must_use]
    pub fn visitor(&self, address: IpAddr) -> Visitor {
        let prefix = match address {
            IpAddr::V4(_) => self.ipv4_prefix,
            IpAddr::V6(_) => self.ipv6_prefix,
        };
        // A prefix that is longer than the address leaves it whole.
        Visitor(IpNet::new(address, prefix).map_or(address, |network| network.network()))
    }

    /// What counting can take in memory.
    pub(super) fn worst_case(&self) -> u64 {
        let of = |bound: Option<NonZeroU32>, keys: usize| {
            bound.map_or(0, |_| u64::try_from(keys).unwrap_or(u64::MAX).saturating_mul(Self::COUNTER))
        };
        of(self.creations_per_minute, Self::MAX_VISITORS)
            .saturating_add(of(self.reads_per_minute, self.max_sessions))
            .saturating_add(of(self.writes_per_minute, self.max_sessions))
    }
}

impl Visitor {
    /// The visitor that an address names.
    #[must_use]
    pub const fn named(address: IpAddr) -> Self {
        Self(address)
    }

    /// The first of the addresses, for the store: as text it names the visitor.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        self.0
    }
}

/// How many sessions there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Of all protocols and clients together.
    pub max_entries: usize,
    /// Of one visitor.
    pub max_per_visitor: u32,
}
