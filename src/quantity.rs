//! Sizes and durations as people write them.
//!
//! A size is a number of bytes or a number with a unit. A single letter is a power of 1024, as in nginx and in
//! Synapse's own `max_upload_size: 50M`; `KB` is 1000 and `KiB` 1024, as everywhere. A duration always has a unit:
//! a bare number means seconds to one admin and milliseconds (Synapse's habit) to the next.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A number of bytes, written as `4096`, `10KiB` or `50M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A length of time, written as `60s`, `500ms` or `1m 30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// Why a text is not a quantity.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a size.
    #[error("`{0}` is not a size; write bytes or a unit, as in 4096, 10KiB or 50M")]
    Size(String),
    /// Not a duration.
    #[error("`{0}` is not a duration; write a number with a unit, as in 500ms, 60s or 1m 30s")]
    Span(String),
}

impl FromStr for Size {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let binary = text.ends_with(|c: char| matches!(c.to_ascii_uppercase(), 'K' | 'M' | 'G' | 'T'));
        let spelled = if binary { format!("{text}iB") } else { text.to_owned() };
        // The crate counts in floating point: beyond 2^53 it saturates instead of refusing.
        let size = spelled.parse::<ByteSize>().ok().map(|size| size.as_u64()).filter(|&bytes| bytes <= 1 << 53);
        size.map(Self).ok_or_else(|| QuantityError::Size(text.to_owned()))
    }
}

impl FromStr for Span {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let refused = || QuantityError::Span(text.to_owned());
        // humantime reads a bare 0, which would let `0` through where every other bare number is refused.
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refused());
        }
        humantime::parse_duration(text).map(Self).map_err(|_| refused())
    }
}

impl fmt::Display for Size {
    /// The shortest exact spelling, so that reading it back gives the same number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match UNITS.iter().find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 4096, 10KiB or 50M")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes).map(Size).map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpanVisitor;
        impl Visitor<'_> for SpanVisitor {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 500ms, 60s or 1m 30s")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Span, E> {
                Err(E::custom(format!("`{number}` has no unit; write `{number}s` or `{number}ms`")))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(SpanVisitor)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "format": "size" })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "duration" })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_letter_is_a_power_of_1024_as_in_synapse_and_nginx() {
        let check = |text: &str, bytes: u64| assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        check("50M", 50 << 20);
        check("100K", 100 << 10);
        check("4096", 4096);
        check("10KiB", 10240);
        check("10 kib", 10240);
        check("10KB", 10_000);
        check("1.5KiB", 1536);
    }

    #[test]
    fn sizes_and_spans_read_back_what_they_print() {
        for bytes in [0, 1, 1023, 1024, 4096, 50 << 20, (50 << 20) + 1, 3 << 30, u64::MAX >> 12] {
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
        for millis in [1, 500, 60_000, 90_000, 3_600_000, 86_461_001] {
            let span = Span(Duration::from_millis(millis));
            assert_eq!(span.to_string().parse(), Ok(span));
        }
    }

    #[test]
    fn a_duration_without_a_unit_is_refused() {
        for text in ["60", "0", "", "s", "-1s", "1 fortnight"] {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
        assert_eq!("1m 30s".parse(), Ok(Span(Duration::from_secs(90))));
        assert_eq!("1m30s".parse(), Ok(Span(Duration::from_secs(90))));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "K", "-5", "ten", "10 parsecs", "99999999999T"] {
            assert!(text.parse::<Size>().is_err(), "{text:?}");
        }
    }
}
