//! A session in its parts.

use super::{Content, History, MAX_TRANSACTIONS, Session, Stamp, Verdict};
use crate::rendezvous::{Protocol, Revision, TransactionId};

/// All that a session is, for whoever writes it down and builds it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose session.
    pub protocol: Protocol,
    /// Its state.
    pub stamp: Stamp,
    /// What it holds.
    pub content: Content,
    /// The state before the present one, where a repeated write may ask for it.
    pub previous: Option<Revision>,
    /// The named writes, oldest first, each with the revision that it led to; None where it was refused.
    pub transactions: Vec<(TransactionId, Option<Revision>)>,
}

impl From<Session> for Record {
    fn from(session: Session) -> Self {
        let Session { protocol, stamp, content, history } = session;
        let History { previous, transactions } = history.map(|history| *history).unwrap_or_default();
        let told = |verdict| match verdict {
            Verdict::Accepted(revision) => Some(revision),
            Verdict::Refused => None,
        };
        let transactions = transactions.into_iter().map(|(name, verdict)| (name, told(verdict))).collect();
        Self { protocol, stamp, content, previous, transactions }
    }
}

impl From<Record> for Session {
    /// Of more than [`MAX_TRANSACTIONS`] named writes the last ones are kept.
    fn from(record: Record) -> Self {
        let Record { protocol, stamp, content, previous, transactions } = record;
        let too_many = transactions.len().saturating_sub(MAX_TRANSACTIONS);
        let verdict = |told: Option<_>| told.map_or(Verdict::Refused, Verdict::Accepted);
        let transactions: Vec<_> =
            transactions.into_iter().skip(too_many).map(|(name, told)| (name, verdict(told))).collect();
        let has_history = previous.is_some() || !transactions.is_empty();
        let history = has_history.then(|| Box::new(History { previous, transactions }));
        Self { protocol, stamp, content, history }
    }
}
