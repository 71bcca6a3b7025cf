//! The `rendezvous.limits` section.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Allowance, Room};
use crate::problem::Problems;

/// How much one client may take of what the gateway serves, and how often. A client is an address, or a network of
/// version 6; behind a proxy that is not listed in `forwarding.trusted_proxies`, all clients are one. Whoever asks for
/// more is answered with 429 and told when to come back. The defaults are far above what people do.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaSection {
    /// How many sessions a client may open in a minute, all of them at once if it likes; 0 for no bound. Where it takes
    /// an account to open one, asking whether one could counts as well.
    pub creations_per_minute: u32,

    /// How many sessions of a client there may be at a time; 0 for no bound but `max_entries`. As long as this is a
    /// small part of `max_entries`, no single client can keep others from signing in.
    pub sessions: u32,

    /// How often a session may be read in a minute, by everybody together; 0 for no bound. Each of two devices asks
    /// once a second.
    pub reads_per_minute: u32,

    /// How often a session may be written to in a minute, by everybody together; 0 for no bound. A sign-in takes about
    /// ten.
    pub writes_per_minute: u32,

    /// How many leading bits of an IPv4 address make a client: from 8 to 32, by default all.
    pub ipv4_prefix: u8,

    /// How many leading bits of an IPv6 address make a client: from 16 to 128. The default, 64, is the least that a
    /// household gets; 56 or 48 also holds back those who have more.
    pub ipv6_prefix: u8,
}

impl Default for QuotaSection {
    fn default() -> Self {
        Self {
            creations_per_minute: 120,
            sessions: 200,
            reads_per_minute: 600,
            writes_per_minute: 300,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
        }
    }
}

impl QuotaSection {
    /// Checks the section.
    pub(super) fn build(&self, max_entries: Option<usize>, problems: &mut Problems) -> Option<(Room, Allowance)> {
        let mut check = |key: &str, prefix: u8, least: u8, most: u8| {
            let is_valid = (least..=most).contains(&prefix);
            if !is_valid {
                let message = format!("{prefix} is not between {least} and {most}");
                problems.error(format!("rendezvous.limits.{key}"), message, "leave it out for the default");
            }
            is_valid
        };
        let prefixes_are_valid =
            check("ipv4_prefix", self.ipv4_prefix, 8, 32) & check("ipv6_prefix", self.ipv6_prefix, 16, 128);
        let max_entries = max_entries.filter(|_| prefixes_are_valid)?;
        let max_per_visitor = if self.sessions == 0 { u32::MAX } else { self.sessions };
        let allowance = Allowance {
            creations_per_minute: NonZeroU32::new(self.creations_per_minute),
            reads_per_minute: NonZeroU32::new(self.reads_per_minute),
            writes_per_minute: NonZeroU32::new(self.writes_per_minute),
            ipv4_prefix: self.ipv4_prefix,
            ipv6_prefix: self.ipv6_prefix,
            max_sessions: max_entries.saturating_mul(2),
        };
        Some((Room { max_entries, max_per_visitor }, allowance))
    }
}
