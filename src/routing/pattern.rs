//! Paths with wildcards, as the rows of the table write them.

use super::rows::{LATER_VERSIONS, NEW_VERSIONS, VERSIONS};

/// The methods that rows tell apart. HEAD is GET to Synapse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Put,
    Post,
    Delete,
}

impl Method {
    /// The method of a request; None if no row could have it.
    pub(super) fn of(method: &http::Method) -> Option<Self> {
        match *method {
            http::Method::GET | http::Method::HEAD => Some(Self::Get),
            http::Method::PUT => Some(Self::Put),
            http::Method::POST => Some(Self::Post),
            http::Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// One segment of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// These bytes.
    Literal(&'static str),
    /// Any but the empty one.
    Any,
    /// All that follows, the empty segment included.
    Rest,
}

/// The patterns that a path with alternatives stands for.
pub(super) fn expand(path: &'static str) -> Vec<Vec<Segment>> {
    let mut patterns = vec![Vec::new()];
    for part in path.split('/').skip(1) {
        let alternatives: &[&'static str] = match part {
            "{V}" => &VERSIONS,
            "{W}" => &LATER_VERSIONS,
            "{U}" => &NEW_VERSIONS,
            _ => &[part],
        };
        let with = |pattern: &Vec<Segment>, alternative: &'static str| {
            let segments = alternative.split('/').map(segment);
            pattern.iter().copied().chain(segments).collect::<Vec<_>>()
        };
        patterns = patterns
            .iter()
            .flat_map(|pattern| alternatives.iter().map(move |alternative| with(pattern, alternative)))
            .collect();
    }
    patterns
}

fn segment(part: &'static str) -> Segment {
    match part {
        "*" => Segment::Any,
        "**" => Segment::Rest,
        literal => Segment::Literal(literal),
    }
}
