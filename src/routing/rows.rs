//! Synapse's endpoints that workers serve: one row for each group of them.
//!
//! Taken from Synapse's manual on workers and from the servlets that its workers register, release by release. What is
//! not here is the main process's, which is always right: a worker answers 404 or 405 to what it does not know.

use super::pattern::Method::{self, Delete, Get, Post, Put};
use super::release::Release;
use crate::role::Role::{
    self, Admin, ClientReader, Encryption, EventCreator, FederationInbound, FederationReader, InitialSync, Login,
    Media, Pagination, RoomReader, SlidingSync, Sso, Sync, UserDirectory,
};
use crate::role::Stream::{
    AccountData, DeviceLists, Presence, PushRules, QuarantinedMediaChanges, Receipts, ThreadSubscriptions, ToDevice,
    Typing,
};

/// Which of several processes a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// The one that has the user's state in its caches.
    User,
    /// The one that has the sending server's.
    Origin,
    /// The one that has the room's.
    Room,
    /// The one that has the room's, however busy it is.
    StrictRoom,
    /// The one that was asked the very same thing.
    Uri,
    /// The least busy.
    Any,
}

/// What a query must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Query {
    /// Nothing.
    Any,
    /// No position, or that the whole state is wanted: a device's first `/sync`.
    Initial,
}

/// Who looks after log-ins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    /// Synapse, or somebody else.
    Any,
    /// Synapse: with Matrix Authentication Service it does not register the endpoint.
    Synapse,
    /// Matrix Authentication Service.
    Delegated,
}

/// A group of endpoints with one role.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) methods: &'static [Method],
    /// `{V}`, `{W}` and `{U}` stand for the versions below, `*` for one segment, `**` at the end for all that follows,
    /// nothing included.
    pub(super) paths: &'static [&'static str],
    pub(super) query: Query,
    pub(super) auth: Auth,
    pub(super) role: Role,
    pub(super) affinity: Affinity,
    /// The first release in which workers serve it.
    pub(super) since: Release,
    /// The last one, if that was before the newest known.
    pub(super) until: Option<Release>,
}

/// `{V}`: every version that Synapse has ever served.
pub(super) const VERSIONS: [&str; 4] = ["api/v1", "r0", "v3", "unstable"];
/// `{W}`: those without the oldest.
pub(super) const LATER_VERSIONS: [&str; 3] = ["r0", "v3", "unstable"];
/// `{U}`: what has been stable from its first release on.
pub(super) const NEW_VERSIONS: [&str; 2] = ["v1", "unstable"];

/// The oldest release that is known.
const OLD: Release = Release::OLDEST;
/// The release whose servlets were read: what its manual does not mention is known of no earlier one.
const READ: Release = Release::NEWEST;

const fn row(
    id: &'static str,
    methods: &'static [Method],
    paths: &'static [&'static str],
    role: Role,
    affinity: Affinity,
    since: Release,
) -> Row {
    Row { id, methods, paths, query: Query::Any, auth: Auth::Any, role, affinity, since, until: None }
}

impl Row {
    const fn initial(self) -> Self {
        Self { query: Query::Initial, ..self }
    }

    const fn auth(self, auth: Auth) -> Self {
        Self { auth, ..self }
    }

    const fn until(self, minor: u16) -> Self {
        Self { until: Some(Release::new(1, minor)), ..self }
    }

    /// Whether workers of this release serve it.
    pub(super) fn is_in(&self, release: Release) -> bool {
        release >= self.since && self.until.is_none_or(|until| release <= until)
    }

    /// Whether this Synapse has it, as far as log-ins decide.
    pub(super) fn is_with(&self, delegated: bool) -> bool {
        match self.auth {
            Auth::Any => true,
            Auth::Synapse => !delegated,
            Auth::Delegated => delegated,
        }
    }
}

use Affinity::{Any, Origin, Room, StrictRoom, Uri, User};

/// All rows. Of two that fit, the first counts.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // Stream writers.
    row("typing", &[Put], &["/_matrix/client/{V}/rooms/*/typing/**"], Role::Stream(Typing), Any, OLD),
    row("to_device", &[Put], &["/_matrix/client/{W}/sendToDevice/**"], Role::Stream(ToDevice), Any, OLD),
    row("account_data", &[Get, Put, Post, Delete], &[
        "/_matrix/client/{W}/user/*/account_data/**", "/_matrix/client/{W}/user/*/rooms/*/account_data/**",
        "/_matrix/client/{W}/user/*/rooms/*/tags", "/_matrix/client/{W}/user/*/rooms/*/tags/**",
        "/_matrix/client/unstable/org.matrix.msc3391/user/*/account_data/**",
        "/_matrix/client/unstable/org.matrix.msc3391/user/*/rooms/*/account_data/**",
    ], Role::Stream(AccountData), Any, OLD),
    row("receipts", &[Post], &["/_matrix/client/{W}/rooms/*/receipt/**", "/_matrix/client/{W}/rooms/*/read_markers"], Role::Stream(Receipts), User, OLD),
    row("presence", &[Get, Put], &["/_matrix/client/{V}/presence/**"], Role::Stream(Presence), Any, OLD),
    row("push_rules_read", &[Get], &["/_matrix/client/{V}/pushrules/**"], Role::Stream(PushRules), Any, OLD),
    // Before this release nobody but the main process could write them.
    row("push_rules_write", &[Put, Delete], &["/_matrix/client/{V}/pushrules/**"], Role::Stream(PushRules), Any, Release::new(1, 105)),
    row("device_lists", &[Post, Put, Delete], &[
        "/_matrix/client/{W}/delete_devices", "/_matrix/client/{V}/devices/**",
        "/_matrix/client/{W}/keys/upload", "/_matrix/client/{W}/keys/upload/**",
    ], Role::Stream(DeviceLists), User, Release::new(1, 135)),
    row("signatures", &[Post], &["/_matrix/client/{V}/keys/signatures/upload"], Role::Stream(DeviceLists), User, Release::new(1, 135)),
    row("cross_signing", &[Post], &["/_matrix/client/{V}/keys/device_signing/upload"], Role::Stream(DeviceLists), User, Release::new(1, 136)),
    row("devices", &[Get], &["/_matrix/client/{V}/devices", "/_matrix/client/{V}/devices/**"], Role::Stream(DeviceLists), User, Release::new(1, 135)),
    // The path that the manual had, and that clients have not used since before Matrix 1.1.
    row("devices_old", &[Get], &["/_matrix/client/{W}/devices"], ClientReader, User, OLD).until(134),
    row("keys_upload_old", &[Post], &["/_matrix/client/{W}/keys/upload/**"], Encryption, User, OLD).until(126),
    row("thread_subscriptions", &[Get, Put, Delete], &["/_matrix/client/unstable/io.element.msc4306/rooms/*/thread/*/subscription"], Role::Stream(ThreadSubscriptions), User, Release::new(1, 139)),
    row("thread_subscriptions_list", &[Get], &["/_matrix/client/unstable/io.element.msc4308/thread_subscriptions"], Role::Stream(ThreadSubscriptions), User, Release::new(1, 139)),
    row("dehydrated_device", &[Get, Put, Delete, Post], &[
        "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device",
        "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/*/events",
    ], Role::Stream(DeviceLists), User, READ),
    row("quarantine", &[Post], &[
        "/_synapse/admin/v1/quarantine_media/*", "/_synapse/admin/v1/room/*/media/quarantine",
        "/_synapse/admin/v1/user/*/media/quarantine", "/_synapse/admin/v1/media/quarantine/**",
        "/_synapse/admin/v1/media/unquarantine/**",
    ], Role::Stream(QuarantinedMediaChanges), Any, Release::new(1, 152)),

    // All else of the admin API is the main process's.
    row("admin_room", &[Get, Delete], &["/_synapse/admin/v1/rooms/*"], Admin, Room, Release::new(1, 138)),
    row("admin_user", &[Get], &["/_synapse/admin/v2/users/*"], Admin, Any, Release::new(1, 130)),

    // Media.
    row("media", &[Get, Post, Put], &["/_matrix/media/**"], Media, Any, OLD),
    row("media_authenticated", &[Get, Post], &["/_matrix/client/v1/media/**"], Media, Any, Release::new(1, 111)),
    row("media_federation", &[Get], &["/_matrix/federation/v1/media/**"], Media, Any, Release::new(1, 111)),
    row("media_admin", &[Get, Post, Delete], &[
        "/_synapse/admin/v1/purge_media_cache", "/_synapse/admin/v1/room/*/media", "/_synapse/admin/v1/media/**",
        "/_synapse/admin/v1/users/*/media",
    ], Media, Any, OLD),
    row("quarantine_old", &[Post], &[
        "/_synapse/admin/v1/quarantine_media/*", "/_synapse/admin/v1/room/*/media/quarantine",
        "/_synapse/admin/v1/user/*/media/quarantine",
    ], Media, Any, OLD).until(151),

    // Single sign-on: all its steps on one process.
    row("sso_redirect", &[Get], &["/_matrix/client/{V}/login/sso/**", "/_matrix/client/{V}/login/cas/**"], Sso, Any, OLD).auth(Auth::Synapse),
    row("sso_pages", &[Get, Post], &[
        "/_synapse/client/pick_idp", "/_synapse/client/pick_username", "/_synapse/client/pick_username/**",
        "/_synapse/client/new_user_consent", "/_synapse/client/sso_register", "/_synapse/client/oidc/**",
        "/_synapse/client/saml2/**",
    ], Sso, Any, OLD).auth(Auth::Synapse),

    // Sync.
    row("initial_sync", &[Get], &["/_matrix/client/{W}/sync", "/_matrix/client/{V}/events"], InitialSync, User, OLD).initial(),
    row("sync", &[Get], &["/_matrix/client/{W}/sync", "/_matrix/client/{V}/events"], Sync, User, OLD),
    row("initialSync", &[Get], &["/_matrix/client/{V}/initialSync", "/_matrix/client/{V}/rooms/*/initialSync"], InitialSync, User, OLD),
    // The path of today, and the one proposed as stable.
    row("sliding_sync", &[Post], &["/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", "/_matrix/client/v4/sync"], SlidingSync, User, Release::new(1, 114)),

    // Sending.
    row("membership", &[Post], &[
        "/_matrix/client/{V}/rooms/*/join", "/_matrix/client/{V}/rooms/*/invite", "/_matrix/client/{V}/rooms/*/leave",
        "/_matrix/client/{V}/rooms/*/ban", "/_matrix/client/{V}/rooms/*/unban", "/_matrix/client/{V}/rooms/*/kick",
        "/_matrix/client/{V}/join/*", "/_matrix/client/{V}/knock/*",
    ], EventCreator, Room, OLD),
    row("membership_named", &[Put], &[
        "/_matrix/client/{V}/rooms/*/join/*", "/_matrix/client/{V}/rooms/*/invite/*", "/_matrix/client/{V}/rooms/*/leave/*",
        "/_matrix/client/{V}/rooms/*/ban/*", "/_matrix/client/{V}/rooms/*/unban/*", "/_matrix/client/{V}/rooms/*/kick/*",
        "/_matrix/client/{V}/join/*/*", "/_matrix/client/{V}/knock/*/*",
    ], EventCreator, Room, READ),
    row("send", &[Post, Put], &["/_matrix/client/{V}/rooms/*/send/**", "/_matrix/client/{V}/rooms/*/redact/**", "/_matrix/client/{V}/rooms/*/state/**"], EventCreator, Room, OLD),
    row("state_event", &[Get], &["/_matrix/client/{V}/rooms/*/state/**"], EventCreator, Room, OLD),
    row("create_room", &[Post], &["/_matrix/client/{V}/createRoom"], EventCreator, User, OLD),
    row("create_room_named", &[Put], &["/_matrix/client/{V}/createRoom/*"], EventCreator, User, READ),
    row("profile", &[Get, Put, Delete], &["/_matrix/client/{V}/profile/**", "/_matrix/client/unstable/uk.tcpip.msc4133/profile/**"], EventCreator, User, OLD),
    // The manual's pattern covers POST on an event as well, which a worker answers with 405.
    row("delayed_events", &[Get], &["/_matrix/client/unstable/org.matrix.msc4140/delayed_events", "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/*"], EventCreator, Any, Release::new(1, 144)),
    row("delayed_event_restart", &[Post], &["/_matrix/client/unstable/org.matrix.msc4140/delayed_events/*/restart"], EventCreator, Any, READ),

    // Reading rooms.
    row("messages", &[Get], &["/_matrix/client/{V}/rooms/*/messages"], Pagination, StrictRoom, OLD),
    row("rooms", &[Get], &[
        "/_matrix/client/{V}/rooms/*/joined_members", "/_matrix/client/{V}/rooms/*/context/**", "/_matrix/client/{V}/rooms/*/members",
        "/_matrix/client/{V}/rooms/*/state", "/_matrix/client/{V}/rooms/*/event/**", "/_matrix/client/{V}/rooms/*/aliases",
        "/_matrix/client/unstable/org.matrix.msc2432/rooms/*/aliases",
    ], RoomReader, Room, OLD),
    row("rooms_v1", &[Get], &[
        "/_matrix/client/v1/rooms/*/hierarchy", "/_matrix/client/{U}/rooms/*/relations/**", "/_matrix/client/v1/rooms/*/threads",
        "/_matrix/client/v1/rooms/*/timestamp_to_event",
    ], RoomReader, Room, OLD),
    row("room_summary_old", &[Get], &["/_matrix/client/unstable/im.nheko.summary/rooms/*/summary"], RoomReader, Room, OLD),
    row("room_summary_unstable", &[Get], &["/_matrix/client/unstable/im.nheko.summary/summary/**"], RoomReader, Room, Release::new(1, 107)),
    row("room_summary", &[Get], &["/_matrix/client/v1/room_summary/**"], RoomReader, Room, Release::new(1, 156)),
    row("event_by_id", &[Get], &["/_matrix/client/{V}/events/*"], RoomReader, Any, READ),
    row("is_joined", &[Get], &["/_matrix/client/unstable/io.element.msc4502/rooms/*/is_joined"], RoomReader, Room, READ),

    // Encryption.
    row("keys", &[Post], &["/_matrix/client/{W}/keys/query", "/_matrix/client/{W}/keys/claim"], Encryption, User, OLD),
    row("key_changes", &[Get], &["/_matrix/client/{W}/keys/changes"], Encryption, User, OLD),
    row("fallback_keys_claim", &[Post], &["/_matrix/client/unstable/org.matrix.msc3983/keys/claim"], Encryption, User, READ),
    row("room_keys", &[Get, Put, Post, Delete], &["/_matrix/client/{W}/room_keys/**"], Encryption, User, OLD),

    // Log-in and registration.
    row("login", &[Get, Post], &["/_matrix/client/{V}/login"], Login, Any, OLD).auth(Auth::Synapse),
    row("register", &[Get, Post], &["/_matrix/client/{W}/register", "/_matrix/client/{W}/register/available"], Login, Any, OLD).auth(Auth::Synapse),
    // For application services.
    row("register_appservice", &[Post], &["/_matrix/client/{W}/register"], Login, Any, READ).auth(Auth::Delegated),
    row("registration_token", &[Get], &["/_matrix/client/{U}/register/m.login.registration_token/validity"], Login, Any, OLD).auth(Auth::Synapse),
    row("password_policy", &[Get], &["/_matrix/client/{W}/password_policy"], Login, Any, Release::new(1, 81)),
    row("auth_metadata", &[Get], &["/_matrix/client/{U}/auth_metadata", "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata"], ClientReader, Any, READ).auth(Auth::Delegated),

    // What Matrix Authentication Service asks.
    row("mas", &[Get, Post], &["/_synapse/mas/**"], ClientReader, Any, READ).auth(Auth::Delegated),

    // Other reads.
    row("versions", &[Get], &["/_matrix/client/versions"], ClientReader, Any, OLD),
    row("account", &[Get], &["/_matrix/client/{W}/account/3pid", "/_matrix/client/{W}/account/whoami"], ClientReader, Any, OLD),
    row("account_3pid", &[Post], &["/_matrix/client/{W}/account/3pid"], ClientReader, Any, OLD),
    row("account_deactivate", &[Post], &["/_matrix/client/{W}/account/deactivate"], ClientReader, Any, Release::new(1, 135)).auth(Auth::Synapse),
    row("public_rooms", &[Get, Post], &["/_matrix/client/{V}/publicRooms"], ClientReader, Any, OLD),
    row("client_reads", &[Get], &["/_matrix/client/{V}/voip/turnServer", "/_matrix/client/{V}/joined_rooms"], ClientReader, Any, OLD),
    row("capabilities", &[Get], &["/_matrix/client/{W}/capabilities"], ClientReader, Any, Release::new(1, 82)),
    row("notifications", &[Get], &["/_matrix/client/{W}/notifications"], ClientReader, Any, Release::new(1, 93)),
    row("search", &[Post], &["/_matrix/client/{V}/search"], ClientReader, Any, OLD),
    row("filter", &[Get, Post], &["/_matrix/client/{W}/user/*/filter", "/_matrix/client/{W}/user/*/filter/**"], ClientReader, User, OLD),
    row("room_directory", &[Get, Put, Delete], &["/_matrix/client/{V}/directory/room/*"], ClientReader, Room, Release::new(1, 82)),
    row("user_directory", &[Post], &["/_matrix/client/{W}/user_directory/search"], UserDirectory, Any, OLD),
    row("rtc_transports", &[Get], &["/_matrix/client/unstable/org.matrix.msc4143/rtc/transports"], ClientReader, Any, READ),
    row("appservice_ping", &[Post], &["/_matrix/client/{U}/appservice/*/ping"], ClientReader, Any, READ),
    row("account_status", &[Post], &["/_matrix/client/unstable/org.matrix.msc3720/account_status"], ClientReader, Any, READ),
    row("synapse_client", &[Get, Post], &[
        "/_synapse/client/unsubscribe", "/_synapse/client/media_upload_limit_exceeded",
        "/_synapse/client/v1/config/federation_whitelist",
    ], ClientReader, Any, READ),

    // Federation. Userinfo of OpenID is registered on workers too, and crashes there (synapse#17189).
    row("federation_send", &[Put], &["/_matrix/federation/v1/send/**"], FederationInbound, Origin, OLD),
    row("federation_joins", &[Get, Put], &[
        "/_matrix/federation/v1/make_join/**", "/_matrix/federation/v1/make_leave/**",
        "/_matrix/federation/v1/send_join/**", "/_matrix/federation/v2/send_join/**",
        "/_matrix/federation/v1/send_leave/**", "/_matrix/federation/v2/send_leave/**",
        "/_matrix/federation/v1/invite/**", "/_matrix/federation/v2/invite/**",
        "/_matrix/federation/v1/exchange_third_party_invite/**",
    ], FederationReader, Any, OLD),
    row("federation_knocks", &[Get, Put], &["/_matrix/federation/v1/make_knock/**", "/_matrix/federation/v1/send_knock/**"], FederationReader, Any, Release::new(1, 108)),
    // Servers ask for the same state many times, and by room alone one worker would get it all.
    row("federation_rooms", &[Get, Post], &[
        "/_matrix/federation/v1/state/**", "/_matrix/federation/v1/state_ids/**", "/_matrix/federation/v1/backfill/**",
        "/_matrix/federation/v1/get_missing_events/**", "/_matrix/federation/v1/event_auth/**",
        "/_matrix/federation/v1/timestamp_to_event/**", "/_matrix/federation/v1/hierarchy/**",
    ], FederationReader, Uri, OLD),
    row("federation_rooms_unstable", &[Get], &["/_matrix/federation/unstable/rooms/*/complexity", "/_matrix/federation/unstable/org.matrix.msc4370/extremities/**"], FederationReader, Uri, READ),
    row("federation_queries", &[Get, Post], &[
        "/_matrix/federation/v1/event/**", "/_matrix/federation/v1/publicRooms", "/_matrix/federation/v1/query/**",
        "/_matrix/federation/v1/user/devices/**",
    ], FederationReader, Any, OLD),
    row("federation_version", &[Get], &["/_matrix/federation/v1/version"], FederationReader, Any, Release::new(1, 130)),
    row("federation_keys", &[Post], &[
        "/_matrix/federation/v1/user/keys/query", "/_matrix/federation/v1/user/keys/claim",
        "/_matrix/federation/unstable/user/keys/claim", "/_matrix/federation/v1/3pid/onbind",
        "/_matrix/federation/unstable/org.matrix.msc3720/query/account_status",
    ], FederationReader, Any, READ),
    row("key_query", &[Get, Post], &["/_matrix/key/v2/query", "/_matrix/key/v2/query/**"], FederationReader, Any, OLD),
    row("key_server", &[Get], &["/_matrix/key/v2/server", "/_matrix/key/v2/server/**"], FederationReader, Any, READ),
];
