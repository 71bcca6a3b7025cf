//! One finished request as a line of the access log.

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode, Version};
use schemars::JsonSchema;
use serde::Serialize;

use super::redact::{EscapedText, RedactedTarget, RefererOrigin, ShownAddress};
use super::section::Format;
use crate::class::RouteClass;
use crate::inbound::Scheme;
use crate::matrix::Cause;

/// What the access log says about a request. Each field is a member of the JSON line, in this order and always present;
/// `null` stands for what did not happen or is not known.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AccessRecord<'a> {
    /// When the request head was read: RFC 3339 in UTC with milliseconds.
    #[serde(serialize_with = "serialized::rfc3339")]
    #[schemars(with = "String")]
    pub time: SystemTime,
    /// The request id, which the client got in `X-Request-Id` and Synapse has in its own log.
    pub request_id: &'a str,
    /// The client's address, or what `log.client_ip` leaves of it; behind a trusted proxy, the one it forwarded.
    #[schemars(with = "Option<String>")]
    pub client: ShownAddress,
    /// The listener, by its address as configured.
    pub listener: &'a str,
    /// `https` or `http`, as the client used it.
    #[serde(serialize_with = "serialized::scheme")]
    #[schemars(with = "String")]
    pub scheme: Scheme,
    /// The protocol version between the client and the gateway, such as `HTTP/2.0`.
    #[serde(serialize_with = "serialized::version")]
    #[schemars(with = "String")]
    pub protocol: Version,
    /// The method.
    #[serde(serialize_with = "serialized::method")]
    #[schemars(with = "String")]
    pub method: &'a Method,
    /// The path and query with secrets replaced by `<redacted>`.
    #[serde(serialize_with = "serialized::displayed")]
    #[schemars(with = "String")]
    pub target: RedactedTarget<'a>,
    /// The Host, as sent.
    #[serde(serialize_with = "serialized::displayed_if_any")]
    #[schemars(with = "Option<String>")]
    pub host: Option<EscapedText<'a>>,
    /// The status that the client got; `null` (499 in the combined format) if it left before there was one.
    #[serde(serialize_with = "serialized::status")]
    #[schemars(with = "Option<u16>")]
    pub status: Option<StatusCode>,
    /// Why the gateway answered itself or cut the request short; the same word as in the error body.
    #[serde(serialize_with = "serialized::cause")]
    #[schemars(with = "Option<String>")]
    pub cause: Option<Cause>,
    /// How such a request behaves, by which the metrics are counted: `long_poll`, `join`, `upload` and so on.
    #[serde(serialize_with = "serialized::class")]
    #[schemars(with = "String")]
    pub class: RouteClass,
    /// The upstream that was chosen last.
    pub upstream: Option<&'a str>,
    /// The role of Synapse's workers in which it was chosen.
    pub role: Option<&'static str>,
    /// The role of those that should have answered, where the process stands in for them while they are gone.
    pub stands_in_for: Option<&'static str>,
    /// The endpoint, as `explain` calls it; `null` for what the main process alone serves.
    pub endpoint: Option<&'static str>,
    /// Seconds that the request waited for a place at a process, or for one to come back; `null` if it did not.
    #[serde(serialize_with = "serialized::seconds_if_any")]
    #[schemars(with = "Option<f64>")]
    pub waited: Option<Duration>,
    /// Whether the upstream's connection was one that an earlier request had left open.
    pub reused: Option<bool>,
    /// How often the request was sent to an upstream again, attempts to connect included.
    pub retries: u32,
    /// Whether it was sent again because its process, or another one behind that, was lost while it had it.
    pub resent: bool,
    /// Bytes of the request body that were read from the client.
    pub bytes_in: u64,
    /// Bytes of the response body that were sent to the client.
    pub bytes_out: u64,
    /// Seconds from the request head to the end of the answer.
    #[serde(serialize_with = "serialized::seconds")]
    #[schemars(with = "f64")]
    pub duration: Duration,
    /// Seconds to connect to the upstream; `null` if no new connection was made.
    #[serde(serialize_with = "serialized::seconds_if_any")]
    #[schemars(with = "Option<f64>")]
    pub connect: Option<Duration>,
    /// Seconds from the request head to the head of the upstream's answer. A long poll waits here.
    #[serde(serialize_with = "serialized::seconds_if_any")]
    #[schemars(with = "Option<f64>")]
    pub first_byte: Option<Duration>,
    /// The client's software, as it says.
    #[serde(serialize_with = "serialized::displayed_if_any")]
    #[schemars(with = "Option<String>")]
    pub user_agent: Option<EscapedText<'a>>,
    /// The site from which a browser came, without path and query.
    #[serde(serialize_with = "serialized::displayed_if_any")]
    #[schemars(with = "Option<String>")]
    pub referer: Option<RefererOrigin<'a>>,
}

/// A member of the JSON line, for the documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The member's name.
    pub name: String,
    /// What it says.
    pub meaning: String,
}

/// Every member of the JSON line, in order.
#[must_use]
pub fn fields() -> Vec<Field> {
    let schema = schemars::schema_for!(AccessRecord<'static>);
    let properties = schema.get("properties").and_then(serde_json::Value::as_object);
    let describe = |(name, property): (&String, &serde_json::Value)| Field {
        name: name.clone(),
        meaning: property.get("description").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned(),
    };
    properties.into_iter().flatten().map(describe).collect()
}

impl AccessRecord<'_> {
    /// Appends the line, without a line break. Does not allocate where `out` has room.
    pub fn write(&self, format: Format, out: &mut Vec<u8>) -> io::Result<()> {
        match format {
            Format::Json => Ok(serde_json::to_writer(out, self)?),
            Format::Combined => self.write_combined(out),
        }
    }

    /// As nginx documents `combined` under `log_format`, in UTC.
    fn write_combined(&self, out: &mut Vec<u8>) -> io::Result<()> {
        /// nginx's own code for a client that closed the request, which readers of this format know.
        const CLIENT_CLOSED: u16 = 499;
        let status = self.status.map_or(CLIENT_CLOSED, |status| status.as_u16());
        let method = EscapedText::new(self.method.as_str().as_bytes());
        write!(out, "{} - - [{}] ", self.client, CombinedTime(self.time))?;
        write!(out, "\"{method} {} {:?}\" {status} {} ", self.target, self.protocol, self.bytes_out)?;
        write!(out, "\"{}\" \"{}\"", OrDash(self.referer), OrDash(self.user_agent))
    }
}

struct OrDash<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for OrDash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// `24/Nov/2026:06:47:00 +0000`
struct CombinedTime(SystemTime);

impl fmt::Display for CombinedTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let mut buffer = [0; "2026-11-24T06:47:00Z".len()];
        write!(buffer.as_mut_slice(), "{}", humantime::format_rfc3339_seconds(representable(self.0)))
            .map_err(|_| fmt::Error)?;
        let text = std::str::from_utf8(&buffer).map_err(|_| fmt::Error)?;
        let (date, time) = text.trim_end_matches('Z').split_once('T').ok_or(fmt::Error)?;
        let mut date = date.split('-');
        let (Some(year), Some(month), Some(day)) = (date.next(), date.next(), date.next()) else {
            return Err(fmt::Error);
        };
        let month =
            month.parse::<usize>().ok().and_then(|month| MONTHS.get(month.checked_sub(1)?)).ok_or(fmt::Error)?;
        write!(f, "{day}/{month}/{year}:{time} +0000")
    }
}

/// A clock that is set before 1970 or after 9999 must not cost us the line.
fn representable(time: SystemTime) -> SystemTime {
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + since_epoch.min(LAST)
}

/// How fields are serialized whose types do not say.
#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
mod serialized {
    use std::fmt;
    use std::time::{Duration, SystemTime};

    use http::{Method, StatusCode, Version};
    use serde::{Serialize, Serializer};

    use super::{EscapedText, representable};
    use crate::class::RouteClass;
    use crate::inbound::Scheme;
    use crate::matrix::Cause;

    pub(super) fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(representable(*time)))
    }

    pub(super) fn scheme<S: Serializer>(scheme: &Scheme, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(scheme.as_str())
    }

    pub(super) fn version<S: Serializer>(version: &Version, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{version:?}"))
    }

    pub(super) fn method<S: Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&EscapedText::new(method.as_str().as_bytes()))
    }

    pub(super) fn status<S: Serializer>(status: &Option<StatusCode>, serializer: S) -> Result<S::Ok, S::Error> {
        status.map(|status| status.as_u16()).serialize(serializer)
    }

    pub(super) fn cause<S: Serializer>(cause: &Option<Cause>, serializer: S) -> Result<S::Ok, S::Error> {
        cause.map(Cause::as_str).serialize(serializer)
    }

    pub(super) fn class<S: Serializer>(class: &RouteClass, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(class.as_str())
    }

    pub(super) fn displayed<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn displayed_if_any<T: fmt::Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    /// To the microsecond, so that the number prints as short as it is.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 microseconds, which are 285 years")]
    pub(super) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_micros() as f64 / 1e6)
    }

    pub(super) fn seconds_if_any<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => seconds(duration, serializer),
            None => serializer.serialize_none(),
        }
    }
}
