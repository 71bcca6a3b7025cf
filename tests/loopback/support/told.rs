//! An answer, whatever the protocol that it came over.

use serde_json::Value;

use super::client::Response;
use super::h2::Answer;

/// The fields that browsers look at before they let a page read an answer.
pub(crate) const CORS_FIELDS: [&str; 4] = [
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
];

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The status.
    pub(crate) status: u16,
    /// Names in lower case, and values.
    pub(crate) fields: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl From<Response> for Told {
    fn from(response: Response) -> Self {
        let status = response.status();
        let fields = response.head.fields.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        Self { status, fields, body: response.body }
    }
}

impl From<Answer> for Told {
    fn from(answer: Answer) -> Self {
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        let fields = answer.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Self { status: answer.status.as_u16(), fields, body: answer.body }
    }
}

impl Told {
    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a field that stands at most once.
    #[track_caller]
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} stands more than once: {self:?}");
        all.first().copied()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Whether each CORS field stands exactly once and lets every page read the answer.
    #[track_caller]
    pub(crate) fn is_readable_for_pages(&self) {
        for name in CORS_FIELDS {
            assert_eq!(self.all(name).len(), 1, "{name} in {self:?}");
        }
        assert_eq!(self.one("access-control-allow-origin"), Some("*"));
        assert_eq!(self.one("access-control-allow-credentials"), None);
    }

    /// Whether this is an error of the gateway's own, complete and readable for pages.
    #[track_caller]
    pub(crate) fn is_error(&self, status: u16, errcode: &str, cause: &str) {
        assert_eq!(self.status, status, "{self:?} {:?}", String::from_utf8_lossy(&self.body));
        let body = self.json();
        assert_eq!(
            (body["errcode"].as_str(), body["org.matrix.gateway.cause"].as_str()),
            (Some(errcode), Some(cause)),
            "{body}"
        );
        assert!(body["error"].as_str().is_some_and(|error| !error.is_empty()), "{body}");
        let id = self.one("x-request-id");
        assert!(id.is_some() && id == body["org.matrix.gateway.request_id"].as_str(), "{self:?}");
        assert_eq!(self.one("content-type"), Some("application/json"), "{self:?}");
        let cache = self.one("cache-control").unwrap_or_default();
        assert!(cache.split(", ").any(|directive| directive == "no-store"), "{self:?}");
        self.is_readable_for_pages();
    }
}
