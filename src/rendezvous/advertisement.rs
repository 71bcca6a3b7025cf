//! What Synapse's answer to `/_matrix/client/versions` says of the protocols that the gateway serves in its place.

use serde_json::{Map, Value};

use super::{Protocols, Served};

/// The path of the answer.
pub const VERSIONS: &str = "/_matrix/client/versions";

/// The largest answer that is added to, in bytes. Synapse's has about 3 KB.
pub const MAX_VERSIONS: usize = 256 << 10;

/// What is added to `unstable_features`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement(Vec<(&'static str, bool)>);

impl Advertisement {
    /// Says of each protocol whether it is there, but for those that Synapse knows best itself.
    pub(super) fn of(protocols: &Protocols) -> Self {
        let named = [
            ("org.matrix.msc3886", protocols.msc3886.served),
            ("org.matrix.msc4108", protocols.msc4108.served),
            ("io.element.msc4388", protocols.msc4388.served),
        ];
        let there = |served| match served {
            Served::Gateway => Some(true),
            Served::Upstream => None,
            Served::Off => Some(false),
        };
        Self(named.into_iter().filter_map(|(name, served)| Some((name, there(served)?))).collect())
    }

    /// The answer with what is to be added; None if it is no JSON object whose `unstable_features`, if there are any,
    /// are one too. Members and their order stay.
    #[must_use]
    pub fn merge(&self, answer: &[u8]) -> Option<Vec<u8>> {
        let mut answer: Map<String, Value> = serde_json::from_slice(answer).ok()?;
        let features = answer.entry("unstable_features").or_insert_with(|| Map::new().into()).as_object_mut()?;
        for (name, there) in &self.0 {
            features.insert((*name).to_owned(), (*there).into());
        }
        serde_json::to_vec(&answer).ok()
    }
}
