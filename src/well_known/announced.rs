//! What clients are told of the services beside Synapse.

use serde_json::{Map, Value, json};

use super::section::check_url;
use crate::problem::Problems;

/// What other sections have for clients to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Announced<'a> {
    /// `mas.issuer`.
    pub issuer: Option<&'a str>,
    /// `mas.account`.
    pub account: Option<&'a str>,
    /// Whether `/livekit/jwt` is served.
    pub calls: bool,
}

impl Announced<'_> {
    /// The members of the document for clients; `base` is the public URL without a slash at its end.
    pub(super) fn members(self, base: Option<&str>, problems: &mut Problems) -> Map<String, Value> {
        let mut members = Map::new();
        for (url, path) in [(self.issuer, "mas.issuer"), (self.account, "mas.account")] {
            url.and_then(|url| check_url(url, path, problems));
        }
        match (self.issuer, self.account) {
            // As it is written: clients compare it with what MAS says, byte for byte.
            (Some(issuer), account) => {
                let mut authentication = Map::from_iter([("issuer".to_owned(), json!(issuer))]);
                authentication.extend(account.map(|account| ("account".to_owned(), json!(account))));
                // MSC2965.
                members.insert("org.matrix.msc2965.authentication".to_owned(), Value::Object(authentication));
            }
            (None, Some(_)) => problems.error("mas.account", "is only told beside an issuer", "set mas.issuer as well"),
            (None, None) => {}
        }
        match base {
            Some(base) if self.calls => {
                let focus = json!({ "type": "livekit", "livekit_service_url": format!("{base}/livekit/jwt") });
                // MSC4143.
                members.insert("org.matrix.msc4143.rtc_foci".to_owned(), json!([focus]));
            }
            None if self.calls => {
                let message = "clients are not told of it, since its public URL is not known";
                problems.warning("matrix_rtc.jwt_service", message, "set public_baseurl");
            }
            Some(_) | None => {}
        }
        members
    }
}
