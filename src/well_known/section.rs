//! The `well_known` section.

use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderValue, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Announced, BaseDomain, Documents, WellKnown};
use crate::problem::Problems;
use crate::quantity::Span;

/// The documents under `/.well-known/matrix`, by which servers and clients find the homeserver. They must be reachable
/// at `https://` and the `server_name`; where that is another host than that of `public_baseurl`, either point it at
/// the gateway too (see `base_domain`) or copy the documents to it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WellKnownSection {
    /// Whether the gateway serves the documents: `true`, which is the default, or `false`, which leaves the paths to
    /// Synapse. What is not configured is answered with 404.
    pub serve: bool,

    /// Where other servers find this one: a host with an optional port, such as `matrix.example.com:443`. Unset, it is
    /// the host of `public_baseurl` with its port, or 443. Without a port, other servers look for an SRV record and
    /// then try 8448. A wrong value cuts the homeserver off from federation for as long as others keep it.
    pub server: Option<String>,

    /// Members to merge into what clients are told, such as `m.identity_server: {base_url: https://vector.im}`. Maps
    /// are merged member by member; anything else given here replaces what was derived. Unset, clients are told
    /// `m.homeserver` with `public_baseurl`, and what `mas` and `matrix_rtc` have to tell.
    pub client: Map<String, Value>,

    /// Whom to ask for help with this homeserver. Unset, `/.well-known/matrix/support` is answered with 404.
    pub support: Option<SupportSection>,

    /// How long clients, servers and caches may keep a document: a duration, by default `1h`. Changes take as long to
    /// reach everybody; servers keep no document for longer than `48h`.
    pub cache_max_age: Span,

    /// What the gateway does for the domain in `server_name`, where that is another host than that of
    /// `public_baseurl`.
    pub base_domain: BaseDomainSection,
}

/// Contacts of the homeserver's administrators (MSC1929). Either `contacts` or `support_page` must be given.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SupportSection {
    /// People to turn to. Everybody can read what is written here.
    pub contacts: Vec<ContactSection>,
    /// The URL of a page about support, such as `https://example.com/support`. Unset, no page is named.
    pub support_page: Option<String>,
}

/// A contact; has a `matrix_id`, an `email_address` or both.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContactSection {
    /// What they are there for: `m.role.admin`, `m.role.security` or a role of your own. Required.
    pub role: String,
    /// Their Matrix user id, such as `@admin:example.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matrix_id: Option<String>,
    /// Their e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_address: Option<String>,
}

/// The domain in `server_name`. Its DNS record points to the gateway, and a certificate for it is configured.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BaseDomainSection {
    /// Whether the domain is served: `true` or `false`. By default it is not, and the name is treated like any other.
    /// With `true`, paths outside of `/.well-known/matrix`, `/_matrix` and `/_synapse` are redirected or answered with
    /// 404.
    pub serve: bool,
    /// Where the domain's web pages are, such as `https://www.example.com`: reading requests are redirected there with
    /// path and query. Unset, they are answered with 404.
    pub redirect: Option<String>,
}

impl Default for WellKnownSection {
    fn default() -> Self {
        Self {
            serve: true,
            server: None,
            client: Map::new(),
            support: None,
            cache_max_age: Span(Duration::from_hours(1)),
            base_domain: BaseDomainSection::default(),
        }
    }
}

impl WellKnownSection {
    /// Checks the section and makes the documents.
    ///
    /// `server_name` is the domain in user ids, `public_baseurl` the URL that clients use, both as configured;
    /// `announced` is what clients are told besides. None when there is any error, here or in an earlier section.
    pub fn build(
        self,
        server_name: Option<&str>,
        public_baseurl: Option<&str>,
        announced: Announced<'_>,
        problems: &mut Problems,
    ) -> Option<WellKnown> {
        let base = public_baseurl.and_then(|url| check_url(url, "public_baseurl", problems));
        let documents = Documents {
            server: self.server_document(base.as_ref(), problems),
            client: self.client_document(public_baseurl, announced, problems),
            support: self.support.as_ref().and_then(|support| support.document(problems)),
            cache_control: self.cache_control(problems)?,
        };
        let base_domain = self.base_domain.build(self.serve, server_name, base.as_ref(), problems);
        (!problems.has_errors()).then_some(WellKnown { documents: self.serve.then_some(documents), base_domain })
    }

    fn server_document(&self, base: Option<&Uri>, problems: &mut Problems) -> Option<Bytes> {
        let server = match &self.server {
            Some(server) if is_server(server) => server.clone(),
            Some(server) => {
                let message = format!("`{server}` is not a host with an optional port");
                problems.error("well_known.server", message, "write it as in matrix.example.com:443");
                return None;
            }
            None => {
                let authority = base?.authority()?;
                format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(443))
            }
        };
        Some(document(&json!({ "m.server": server })))
    }

    fn client_document(
        &self,
        public_baseurl: Option<&str>,
        announced: Announced<'_>,
        problems: &mut Problems,
    ) -> Option<Bytes> {
        let base = public_baseurl.map(|url| url.trim_end_matches('/'));
        let mut members = announced.members(base, problems);
        if let Some(base) = base {
            // With the slash that Synapse adds too, so that the answer is the same whoever gives it.
            members.insert("m.homeserver".to_owned(), json!({ "base_url": format!("{base}/") }));
        }
        merge(&mut members, &self.client);
        if members.is_empty() {
            return None;
        }
        if !members.contains_key("m.homeserver") {
            let message = "clients cannot do anything without `m.homeserver`";
            problems.error("well_known.client", message, "set public_baseurl");
        }
        for key in ["m.homeserver", "m.identity_server"].into_iter().filter(|key| self.client.contains_key(*key)) {
            let path = format!("well_known.client.{key}.base_url");
            match members.get(key).and_then(|member| member.get("base_url")?.as_str()) {
                Some(url) => drop(check_url(url, &path, problems)),
                None => problems.error(path, "there is no URL", "write it as in https://matrix.example.com"),
            }
        }
        Some(document(&Value::Object(members)))
    }

    fn cache_control(&self, problems: &mut Problems) -> Option<HeaderValue> {
        if self.cache_max_age.0 > Duration::from_hours(48) {
            let message = format!("{} is longer than any server keeps a document", self.cache_max_age);
            problems.warning("well_known.cache_max_age", message, "write at most 48h");
        }
        HeaderValue::try_from(format!("public, max-age={}", self.cache_max_age.0.as_secs())).ok()
    }
}

impl SupportSection {
    fn document(&self, problems: &mut Problems) -> Option<Bytes> {
        if self.contacts.is_empty() && self.support_page.is_none() {
            problems.error("well_known.support", "there is nobody to turn to", "add contacts or a support_page");
        }
        if let Some(page) = &self.support_page {
            check_url(page, "well_known.support.support_page", problems);
        }
        for (index, contact) in self.contacts.iter().enumerate() {
            let path = format!("well_known.support.contacts[{index}]");
            if contact.role.is_empty() {
                problems.error(format!("{path}.role"), "there is no role", "write m.role.admin or m.role.security");
            }
            if contact.matrix_id.is_none() && contact.email_address.is_none() {
                problems.error(path, "there is no way to reach this contact", "add matrix_id or email_address");
            }
        }
        let mut members = Map::new();
        if !self.contacts.is_empty() {
            members.insert("contacts".to_owned(), serde_json::to_value(&self.contacts).ok()?);
        }
        if let Some(page) = &self.support_page {
            members.insert("support_page".to_owned(), page.as_str().into());
        }
        Some(document(&Value::Object(members)))
    }
}

impl BaseDomainSection {
    fn build(
        &self,
        serves_documents: bool,
        server_name: Option<&str>,
        base: Option<&Uri>,
        problems: &mut Problems,
    ) -> Option<BaseDomain> {
        const PATH: &str = "well_known.base_domain.serve";
        let redirect =
            self.redirect.as_ref().and_then(|url| check_url(url, "well_known.base_domain.redirect", problems));
        if !self.serve {
            return None;
        }
        if !serves_documents {
            problems.error(PATH, "the domain is served for documents that are not", "write well_known.serve: true");
        }
        let Some(domain) = server_name.and_then(|name| name.parse::<Authority>().ok()) else {
            problems.error(PATH, "the domain is not known", "set server_name");
            return None;
        };
        let Some(homeserver) = base.and_then(Uri::host) else {
            problems.error(PATH, "the homeserver's own host is not known", "set public_baseurl");
            return None;
        };
        let host = domain.host().to_owned();
        if host.eq_ignore_ascii_case(homeserver) {
            let message = "server_name and public_baseurl have the same host, which serves Matrix itself";
            problems.error(PATH, message, "write false");
        }
        if redirect.as_ref().and_then(Uri::host).is_some_and(|target| target.eq_ignore_ascii_case(&host)) {
            let message = format!("{host} would redirect to itself");
            problems.error("well_known.base_domain.redirect", message, "name the host that has the pages");
        }
        let redirect = self.redirect.as_ref().map(|url| url.trim_end_matches('/').to_owned());
        Some(BaseDomain { host, redirect })
    }
}

/// A URL that a path can be appended to.
pub(super) fn check_url(text: &str, path: &str, problems: &mut Problems) -> Option<Uri> {
    let uri = text.parse::<Uri>().ok().filter(|uri| {
        let has_origin =
            matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some_and(|host| !host.is_empty());
        let is_plain = uri.query().is_none() && !text.contains(['#', '@']);
        has_origin && is_plain && uri.authority().is_some_and(has_valid_port)
    });
    if uri.is_none() {
        let message = format!("`{text}` is not a URL without user, query and fragment");
        problems.error(path, message, "write it as in https://matrix.example.com");
    }
    uri
}

/// A server name with an optional port (Matrix specification, appendices, "Server name").
fn is_server(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':' | b'[' | b']');
    let authority = text.parse::<Authority>().ok();
    text.bytes().all(is_plain) && authority.is_some_and(|name| !name.host().is_empty() && has_valid_port(&name))
}

/// The crate leaves a port out that is none.
fn has_valid_port(authority: &Authority) -> bool {
    authority.as_str().len() == authority.host().len() || authority.port_u16().is_some_and(|port| port > 0)
}

/// Merges maps member by member; anything else replaces what was there.
fn merge(members: &mut Map<String, Value>, extra: &Map<String, Value>) {
    for (key, value) in extra {
        if let (Some(Value::Object(known)), Value::Object(more)) = (members.get_mut(key), value) {
            merge(known, more);
        } else {
            members.insert(key.clone(), value.clone());
        }
    }
}

fn document(value: &Value) -> Bytes {
    value.to_string().into()
}
