//! What Synapse's processes do, in the words of its manual on workers.
//!
//! An endpoint belongs to a role; a process of Synapse has one or several. What may stand in for a role whose processes
//! are all gone is written here, once.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

/// What a process of Synapse does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of Synapse's manual, and their endpoints are in the table")]
pub enum Role {
    /// Everything that no worker may do.
    Main,
    /// Whatever workers can do and no other role is there for.
    Generic,
    Sync,
    InitialSync,
    SlidingSync,
    FederationInbound,
    FederationReader,
    EventCreator,
    RoomReader,
    Pagination,
    ClientReader,
    Encryption,
    Login,
    UserDirectory,
    /// One process alone: the steps of a log-in are in its memory.
    Sso,
    Media,
    /// The few parts of the admin API that workers serve.
    Admin,
    /// Writes a stream: one of Synapse's `stream_writers`.
    Stream(Stream),
}

/// A stream of Synapse's that a process may be the writer of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of `stream_writers` in Synapse's configuration")]
pub enum Stream {
    Typing,
    ToDevice,
    AccountData,
    Presence,
    Receipts,
    PushRules,
    DeviceLists,
    ThreadSubscriptions,
    QuarantinedMediaChanges,
}

/// The parts of Synapse's HTTP API that a listener of a process may have (`resources` in its configuration).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// The client-server API.
    Client,
    /// The server-server and key APIs.
    Federation,
    /// The media repository.
    Media,
}

impl Role {
    /// All roles, in the order of [`Role::index`].
    pub const ALL: [Self; 26] = [
        Self::Main,
        Self::Generic,
        Self::Sync,
        Self::InitialSync,
        Self::SlidingSync,
        Self::FederationInbound,
        Self::FederationReader,
        Self::EventCreator,
        Self::RoomReader,
        Self::Pagination,
        Self::ClientReader,
        Self::Encryption,
        Self::Login,
        Self::UserDirectory,
        Self::Sso,
        Self::Media,
        Self::Admin,
        Self::Stream(Stream::Typing),
        Self::Stream(Stream::ToDevice),
        Self::Stream(Stream::AccountData),
        Self::Stream(Stream::Presence),
        Self::Stream(Stream::Receipts),
        Self::Stream(Stream::PushRules),
        Self::Stream(Stream::DeviceLists),
        Self::Stream(Stream::ThreadSubscriptions),
        Self::Stream(Stream::QuarantinedMediaChanges),
    ];

    /// The name in the configuration, in logs and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Generic => "generic",
            Self::Sync => "sync",
            Self::InitialSync => "initial_sync",
            Self::SlidingSync => "sliding_sync",
            Self::FederationInbound => "federation_inbound",
            Self::FederationReader => "federation_reader",
            Self::EventCreator => "event_creator",
            Self::RoomReader => "room_reader",
            Self::Pagination => "pagination",
            Self::ClientReader => "client_reader",
            Self::Encryption => "encryption",
            Self::Login => "login",
            Self::UserDirectory => "user_directory",
            Self::Sso => "sso",
            Self::Media => "media",
            Self::Admin => "admin",
            Self::Stream(Stream::Typing) => "stream.typing",
            Self::Stream(Stream::ToDevice) => "stream.to_device",
            Self::Stream(Stream::AccountData) => "stream.account_data",
            Self::Stream(Stream::Presence) => "stream.presence",
            Self::Stream(Stream::Receipts) => "stream.receipts",
            Self::Stream(Stream::PushRules) => "stream.push_rules",
            Self::Stream(Stream::DeviceLists) => "stream.device_lists",
            Self::Stream(Stream::ThreadSubscriptions) => "stream.thread_subscriptions",
            Self::Stream(Stream::QuarantinedMediaChanges) => "stream.quarantined_media_changes",
        }
    }

    /// What a process must have on its listener to serve the role.
    #[must_use]
    pub const fn needs(self) -> Option<Resource> {
        match self {
            // Whatever of it is asked for is decided by the endpoint.
            Self::Main | Self::Generic => None,
            Self::FederationInbound | Self::FederationReader => Some(Resource::Federation),
            Self::Media | Self::Stream(Stream::QuarantinedMediaChanges) => Some(Resource::Media),
            Self::Sync
            | Self::InitialSync
            | Self::SlidingSync
            | Self::EventCreator
            | Self::RoomReader
            | Self::Pagination
            | Self::ClientReader
            | Self::Encryption
            | Self::Login
            | Self::UserDirectory
            | Self::Sso
            | Self::Admin
            | Self::Stream(_) => Some(Resource::Client),
        }
    }

    /// Whether two processes must never have the role.
    #[must_use]
    pub const fn is_single(self) -> bool {
        match self {
            Self::Main
            | Self::Sso
            | Self::Stream(
                Stream::Typing | Stream::ToDevice | Stream::AccountData | Stream::Presence | Stream::PushRules,
            ) => true,
            Self::Generic
            | Self::Sync
            | Self::InitialSync
            | Self::SlidingSync
            | Self::FederationInbound
            | Self::FederationReader
            | Self::EventCreator
            | Self::RoomReader
            | Self::Pagination
            | Self::ClientReader
            | Self::Encryption
            | Self::Login
            | Self::UserDirectory
            | Self::Media
            | Self::Admin
            | Self::Stream(
                Stream::Receipts | Stream::DeviceLists | Stream::ThreadSubscriptions | Stream::QuarantinedMediaChanges,
            ) => false,
        }
    }

    /// The roles whose processes answer as well, in the order in which they are tried when there is none of this role,
    /// or all of them are gone. Empty where another process would answer wrongly.
    ///
    /// `writes` is whether the request changes something, which some streams let their writer do alone.
    #[must_use]
    pub const fn fallback(self, writes: bool) -> &'static [Self] {
        const GENERIC: &[Role] = &[Role::Generic, Role::Main];
        const READER: &[Role] = &[Role::ClientReader, Role::Generic, Role::Main];
        match self {
            Self::Generic | Self::Sso | Self::Media => &[Self::Main],
            Self::InitialSync | Self::SlidingSync => &[Self::Sync, Self::Generic, Self::Main],
            Self::FederationInbound => &[Self::FederationReader, Self::Generic, Self::Main],
            Self::RoomReader | Self::Encryption | Self::Login | Self::UserDirectory => READER,
            Self::Pagination => &[Self::RoomReader, Self::ClientReader, Self::Generic, Self::Main],
            // Another process answers with 500: it asserts that it is the writer (`RoomTypingRestServlet` in
            // `synapse/rest/client/room.py`, `_can_write_to_device` and its like in `synapse/storage/databases/main`).
            Self::Main
            | Self::Stream(Stream::Typing | Stream::ToDevice | Stream::Receipts | Stream::QuarantinedMediaChanges) => {
                &[]
            }
            // So it does here, or with 405 (`synapse/rest/client/push_rule.py`).
            Self::Stream(Stream::ThreadSubscriptions | Stream::PushRules) if writes => &[],
            Self::Stream(Stream::DeviceLists) => &[Self::Encryption, Self::ClientReader, Self::Generic, Self::Main],
            Self::Sync
            | Self::ClientReader
            | Self::EventCreator
            | Self::FederationReader
            | Self::Admin
            | Self::Stream(Stream::PushRules | Stream::AccountData | Stream::Presence | Stream::ThreadSubscriptions) => {
                GENERIC
            }
        }
    }

    /// The place in [`Role::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|role| *role == self).unwrap_or_default()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role")]
pub struct RoleError(String);

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| RoleError(text.to_owned()))
    }
}

/// Roles are listed without streams, which have a key of their own, and without `main`, which is a process's name.
impl Role {
    fn is_listed(self) -> bool {
        !matches!(self, Self::Main | Self::Stream(_))
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let role: Self = String::deserialize(deserializer)?.parse().map_err(de::Error::custom)?;
        if role.is_listed() { Ok(role) } else { Err(de::Error::custom(RoleError(role.to_string()))) }
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl JsonSchema for Role {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Role".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = Self::ALL.into_iter().filter(|role| role.is_listed()).map(Self::as_str).collect();
        json_schema!({ "type": "string", "enum": names, "description": "What a worker of Synapse does." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_reads_back_what_it_prints() {
        for (index, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(role.index(), index);
        }
        assert!("Sync".parse::<Role>().is_err());
    }

    #[test]
    fn every_fallback_ends_at_main_and_names_nobody_twice() {
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Main) {
            for writes in [false, true] {
                let chain = role.fallback(writes);
                assert!(chain.is_empty() || chain.last() == Some(&Role::Main), "{role}");
                assert!(!chain.contains(&role), "{role}");
                let mut once = chain.to_vec();
                once.sort_unstable();
                once.dedup();
                assert_eq!(once.len(), chain.len(), "{role}");
            }
        }
    }
}
