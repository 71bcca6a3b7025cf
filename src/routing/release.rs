//! Releases of Synapse, as far as they decide which endpoints its workers serve.

use std::fmt;
use std::str::FromStr;

/// A release by its first two numbers: patches do not move endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    major: u16,
    minor: u16,
}

/// The text is not the number of a release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a release of Synapse")]
pub struct ReleaseError(String);

impl Release {
    /// The oldest release whose endpoints are known. What an older one serves was served by this one too.
    pub const OLDEST: Self = Self::new(1, 80);

    /// The newest one. What a newer one serves besides is the main process's until it is known here.
    pub const NEWEST: Self = Self::new(1, 163);

    /// The release of these numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// This release and all that follow it up to another one, both of the same major number.
    pub(super) fn up_to(self, last: Self) -> impl DoubleEndedIterator<Item = Self> {
        let minors = (self.major == last.major).then_some(self.minor..=last.minor);
        minors.into_iter().flatten().map(move |minor| Self { minor, ..self })
    }
}

/// Reads `1.163`, and `1.163.2` or `1.164.0rc1` as Synapse tells it (`/_matrix/federation/v1/version`), with anything
/// after a blank.
impl FromStr for Release {
    type Err = ReleaseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ReleaseError(text.chars().take(40).collect());
        let number = text.split(' ').next().unwrap_or_default();
        let mut parts = number.split('.');
        let mut next = || parts.next().and_then(|part| part.parse().ok());
        let (Some(major), Some(minor)) = (next(), next()) else { return Err(error()) };
        Ok(Self { major, minor })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
