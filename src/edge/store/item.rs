//! A session as it is written down for another process.

use std::net::IpAddr;

use bytes::Bytes;
use http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::Resident;
use crate::rendezvous::session::{Content, Record, Stamp, Timestamp};
use crate::rendezvous::{Protocol, Revision, SessionId, TransactionId, Visitor};

/// Fields may be added; what an older version does not know it passes over.
#[derive(Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) id: String,
    visitor: IpAddr,
    pub(super) protocol: String,
    pub(super) revision: String,
    modified: u64,
    expires: u64,
    pub(super) media_type: Bytes,
    payload: Bytes,
    pub(super) previous: Option<String>,
    transactions: Vec<([u8; 16], Option<String>)>,
}

impl Item {
    pub(super) fn of(Resident { id, visitor, session }: Resident) -> Self {
        let Record { protocol, stamp, content, previous, transactions } = session.into();
        let text = |revision: Revision| revision.to_string();
        let transactions = transactions.into_iter().map(|(name, told)| (name.digest(), told.map(text))).collect();
        Self {
            id: id.reveal(),
            visitor: visitor.address(),
            protocol: protocol.as_str().to_owned(),
            revision: text(stamp.revision),
            modified: stamp.modified.millis(),
            expires: stamp.expires.millis(),
            media_type: Bytes::copy_from_slice(content.media_type().as_bytes()),
            payload: content.payload().clone(),
            previous: previous.map(text),
            transactions,
        }
    }

    /// None if it says what no session can be.
    pub(super) fn open(self) -> Option<Resident> {
        let revision = |text: Option<String>| match text {
            Some(text) => Revision::parse(&text).map(Some),
            None => Some(None),
        };
        let mut transactions = Vec::with_capacity(self.transactions.len());
        for (name, told) in self.transactions {
            transactions.push((TransactionId::from_digest(name), revision(told)?));
        }
        let record = Record {
            protocol: Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == self.protocol)?,
            stamp: Stamp {
                revision: Revision::parse(&self.revision)?,
                modified: Timestamp::from_millis(self.modified),
                expires: Timestamp::from_millis(self.expires),
            },
            content: Content::new(&self.payload, HeaderValue::from_bytes(&self.media_type).ok()?),
            previous: revision(self.previous)?,
            transactions,
        };
        Some(Resident {
            id: SessionId::parse(&self.id)?,
            visitor: Visitor::named(self.visitor),
            session: record.into(),
        })
    }
}
