//! What the name of a worker says about what it does.

use crate::role::Role;

/// The name under which the gateway knows a worker: names stand in logs, metrics and commands.
pub(super) fn upstream_name(name: &str) -> String {
    let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.chars().take(64).map(|c| if is_known(c) { c } else { '_' }).collect()
}

/// The roles that a name speaks of; none if it says nothing. `sso` is told by [`says_sso`].
pub(super) fn roles(name: &str) -> Vec<Role> {
    let words = words(name);
    let has = |word: &str| words.iter().any(|found| found == word);
    let begins = |start: &str| words.iter().any(|found| found.starts_with(start));
    let pair = |first: &str, second: &str| {
        words.windows(2).any(|pair| matches!(pair, [one, other] if one == first && other == second))
    };
    if ["sender", "pusher", "persister", "writer"].into_iter().any(has) {
        return Vec::new();
    }
    let said = [
        (has("sliding"), Role::SlidingSync),
        (has("initial") || has("isync"), Role::InitialSync),
        (begins("sync") && !has("sliding") && !has("initial"), Role::Sync),
        (has("inbound"), Role::FederationInbound),
        ((has("federation") || has("fed")) && !has("inbound"), Role::FederationReader),
        (pair("event", "creator") || has("eventcreator"), Role::EventCreator),
        (pair("room", "reader"), Role::RoomReader),
        (has("pagination"), Role::Pagination),
        (has("client") || has("clientreader"), Role::ClientReader),
        (has("encryption") || has("e2e"), Role::Encryption),
        (has("login"), Role::Login),
        (pair("user", "dir") || pair("user", "directory") || has("userdir"), Role::UserDirectory),
        (has("media"), Role::Media),
        (has("admin"), Role::Admin),
        (has("generic"), Role::Generic),
    ];
    let roles = said.into_iter().filter(|(said, _)| *said).map(|(_, role)| role);
    roles.collect()
}

/// Whether a name speaks of single sign-on, which is for one process alone.
pub(super) fn says_sso(name: &str) -> bool {
    words(name).iter().any(|word| word == "sso")
}

/// The words of a name, without numbers.
fn words(name: &str) -> Vec<String> {
    let parts = name.split(|c: char| !c.is_ascii_alphabetic());
    parts.filter(|part| !part.is_empty()).map(str::to_ascii_lowercase).collect()
}
