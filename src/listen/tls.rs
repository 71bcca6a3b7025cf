//! The `tls` section: certificates and the policy of the handshake.

use std::path::PathBuf;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::problem::Problems;
use crate::quantity::Span;

/// TLS for all listeners with `tls: true`: TLS 1.2 and 1.3 with authenticated ciphers and forward secrecy only.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSection {
    /// The certificate chain of a gateway with one certificate: a PEM file, the server's own certificate first, as
    /// certbot's `fullchain.pem`. Short for a `certificates` list with one entry; unset by default.
    pub cert: Option<PathBuf>,
    /// The private key that belongs to `cert`: a PEM file, readable for the user `synapse-gateway`.
    pub key: Option<PathBuf>,
    /// The certificates, chosen by the host name that the client asks for (SNI) among the names in each certificate.
    /// Two certificates for one name, ECDSA and RSA, are told apart by what the client can verify. The first one also
    /// answers clients that ask for no name. Empty by default: use either this list or `cert` and `key`.
    pub certificates: Vec<CertificateSection>,
    /// The oldest TLS version that is accepted, "1.2" or "1.3". With "1.3" some federation peers and
    /// clients older than about 2019 cannot connect any more.
    pub min_version: MinVersion,
    /// What a client gets that asks for a host name that is in no certificate: `refuse` ends the handshake with the
    /// alert `unrecognized_name`, so that scanners and wrong DNS entries are seen as what they are; `default` answers
    /// with the first certificate. A client that asks for no name gets the first certificate.
    pub unknown_sni: UnknownSni,
    /// For how long browsers are told to use HTTPS alone for the host names of this gateway: the `max-age` of
    /// Strict-Transport-Security, in seconds or as a duration such as `365d`; 0 sends no such header. Default
    /// 31536000, a year. Danger: a browser keeps to it for the whole time, also for other services on the same name.
    pub hsts: Hsts,
    /// When renewed certificate files are read: `watch` when they change, and once an hour in case a change was missed;
    /// `signal` only at `systemctl reload`. A pair that does not fit keeps the old one in use.
    pub reload: Reload,
}

/// A certificate chain and its private key.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateSection {
    /// The certificate chain: a PEM file, the server's own certificate first, as certbot's `fullchain.pem`.
    pub cert: PathBuf,
    /// The private key: a PEM file, readable for the user `synapse-gateway`, as certbot's `privkey.pem`.
    pub key: PathBuf,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub enum MinVersion {
    /// RFC 5246, with the AEAD suites of RFC 5288, 5289 and 7905.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    Tls13,
}

/// What a client gets that asks for a name of no certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownSni {
    /// The alert `unrecognized_name` (RFC 6066, section 3).
    #[default]
    Refuse,
    /// The first certificate.
    Default,
}

/// When certificate files are read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reload {
    /// When they change, and at every reload.
    #[default]
    Watch,
    /// At a reload.
    Signal,
}

/// The `max-age` of Strict-Transport-Security (RFC 6797, section 6.1.1), written in seconds or as a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts(pub Duration);

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairPaths {
    /// The PEM file of the chain.
    pub cert: PathBuf,
    /// The PEM file of the private key.
    pub key: PathBuf,
    /// The YAML path of the entry with the keys `cert` and `key`, for problems found in the files.
    pub path: String,
}

/// The checked policy. It has at least one pair of files; what is in them is for the loader to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The pairs in the order in which they were written. The first answers clients without SNI.
    pub pairs: Vec<PairPaths>,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
    /// What a client gets that asks for a name of no certificate.
    pub unknown_sni: UnknownSni,
    /// The `max-age` of Strict-Transport-Security; None sends no such header.
    pub hsts: Option<Duration>,
    /// When certificate files are read again.
    pub reload: Reload,
}

impl TlsSection {
    /// Checks the section, reporting problems under `tls`.
    pub fn build(self, problems: &mut Problems) -> Option<Tls> {
        let pairs = self.pairs(problems)?;
        let hsts = Some(self.hsts.0).filter(|age| !age.is_zero());
        Some(Tls { pairs, min_version: self.min_version, unknown_sni: self.unknown_sni, hsts, reload: self.reload })
    }

    fn pairs(&self, problems: &mut Problems) -> Option<Vec<PairPaths>> {
        let single = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some(PairPaths { cert: cert.clone(), key: key.clone(), path: "tls".to_owned() }),
            (Some(_), None) => {
                problems.error(
                    "tls.cert",
                    "a certificate without its key",
                    "add `key` with the file of the private key",
                );
                return None;
            }
            (None, Some(_)) => {
                problems.error("tls.key", "a key without its certificate", "add `cert` with the file of the chain");
                return None;
            }
            (None, None) => None,
        };
        if single.is_some() && !self.certificates.is_empty() {
            problems.error(
                "tls.cert",
                "`cert` and `certificates` are both set",
                "move `cert` and `key` into the list as `- {cert: .., key: ..}`",
            );
            return None;
        }
        let listed = self.certificates.iter().enumerate().map(|(index, pair)| PairPaths {
            cert: pair.cert.clone(),
            key: pair.key.clone(),
            path: format!("tls.certificates[{index}]"),
        });
        let pairs: Vec<PairPaths> = single.into_iter().chain(listed).collect();
        if pairs.is_empty() {
            problems.error(
                "tls",
                "there is no certificate",
                "add `cert` and `key` with the files of the chain and its key",
            );
        }
        let mut sound = !pairs.is_empty();
        for pair in &pairs {
            for (key, file) in [("cert", &pair.cert), ("key", &pair.key)] {
                if !file.is_absolute() {
                    let message = if file.as_os_str().is_empty() {
                        "is missing".to_owned()
                    } else {
                        format!("`{}` is not an absolute path", file.display())
                    };
                    let remedy = "write the whole path, as in `/etc/letsencrypt/live/matrix.example.com/fullchain.pem`";
                    problems.error(format!("{}.{key}", pair.path), message, remedy);
                    sound = false;
                }
            }
        }
        sound.then_some(pairs)
    }
}

impl<'de> Deserialize<'de> for MinVersion {
    /// Takes the number 1.2 as well: that is what YAML makes of it without quotes.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VersionVisitor;
        impl Visitor<'_> for VersionVisitor {
            type Value = MinVersion;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(r#""1.2" or "1.3""#)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<MinVersion, E> {
                match text {
                    "1.2" => Ok(MinVersion::Tls12),
                    "1.3" => Ok(MinVersion::Tls13),
                    other => Err(E::custom(format!(r#"`{other}` is not offered; write "1.2" or "1.3""#))),
                }
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<MinVersion, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(VersionVisitor)
    }
}

impl Default for Hsts {
    fn default() -> Self {
        Self(Duration::from_hours(365 * 24))
    }
}

impl<'de> Deserialize<'de> for Hsts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HstsVisitor;
        impl Visitor<'_> for HstsVisitor {
            type Value = Hsts;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("seconds such as 31536000, or a duration such as 365d")
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Hsts, E> {
                Ok(Hsts(Duration::from_secs(seconds)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Hsts, E> {
                text.parse().map(|Span(age)| Hsts(age)).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(HstsVisitor)
    }
}

impl Serialize for Hsts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_secs().serialize(serializer)
    }
}

impl JsonSchema for Hsts {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Hsts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "format": "duration" })
    }

    fn inline_schema() -> bool {
        true
    }
}
