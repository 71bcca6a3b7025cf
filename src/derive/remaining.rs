//! What Synapse goes on doing by itself behind the gateway, and its administrator may wonder about.

use super::files::Settings;
use super::report::Report;

/// Keys of Synapse, and what becomes of them.
const REMAINING: [(&str, &str); 7] = [
    ("rc_login", LIMITED),
    ("rc_registration", LIMITED),
    ("rc_message", "Synapse goes on limiting messages by their user; the gateway adds no limit"),
    ("rc_federation", "Synapse goes on limiting transactions by their server; the gateway adds no limit"),
    (
        "federation_rr_transactions_per_room_per_second",
        "Synapse goes on limiting the read receipts that it sends; the gateway has no part in them",
    ),
    (
        "app_service_config_files",
        "the tokens of application services are not read; their requests are placed by the `user_id` that they name",
    ),
    ("federation_domain_whitelist", WHITELIST),
];
const LIMITED: &str =
    "Synapse goes on limiting this by the client's address, which the gateway tells it; it adds no limit";
const WHITELIST: &str = "Synapse goes on refusing servers that are not in it, by their signatures, which the gateway cannot \
                         check";

pub(super) fn describe(settings: &Settings, report: &mut Report) {
    for (key, text) in REMAINING {
        if let Some(node) = settings.get(key) {
            report.note(node.mark, format!("`{key}`: {text}"));
        }
    }
}
