//! One certificate chain and its key, as read from two PEM files.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::copies::read;
use crate::listen::PairPaths;

/// A certificate chain that fits its key.
pub(super) struct Pair {
    pub(super) paths: PairPaths,
    pub(super) certified: Arc<CertifiedKey>,
    /// The DNS names that it answers for, as in the certificate.
    pub(super) names: Vec<String>,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    /// Whether some certificate of the chain is not followed by its issuer's.
    pub(super) chain_is_broken: bool,
}

/// Why two files are no certificate and key. The operator's fault.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The certificate file cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    ReadCert {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The key file cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    ReadKey {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// No certificate in the file.
    #[error("there is no PEM certificate in {}", .0.display())]
    NoCertificate(PathBuf),
    /// No key in the file.
    #[error("there is no PEM private key in {}", .0.display())]
    NoKey(PathBuf),
    /// A key with a passphrase.
    #[error("the private key in {} is encrypted", .0.display())]
    EncryptedKey(PathBuf),
    /// PEM that does not decode.
    #[error("{} is not a PEM file of certificates: {error}", file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// Where it stops to be PEM.
        error: pem::Error,
    },
    /// DER that is no certificate.
    #[error("certificate {position} in {} is not an X.509 certificate", file.display())]
    NotX509 {
        /// The file.
        file: PathBuf,
        /// Counts from 1.
        position: usize,
    },
    /// A kind of key that TLS cannot use.
    #[error("the private key in {} cannot be used: {error}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What the TLS library says.
        error: rustls::Error,
    },
    /// The key belongs to another certificate.
    #[error("the key in {} does not belong to the first certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The file of the chain.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
}

impl PairError {
    /// The YAML key that names the file at fault: `cert` or `key`.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::ReadCert { .. } | Self::NoCertificate(_) | Self::Pem { .. } | Self::NotX509 { .. } => "cert",
            Self::ReadKey { .. }
            | Self::NoKey(_)
            | Self::EncryptedKey(_)
            | Self::Key { .. }
            | Self::Mismatch { .. } => "key",
        }
    }

    /// What to do, as an imperative clause.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::ReadCert { error, file } | Self::ReadKey { error, file } => unreadable(error, file),
            Self::NoCertificate(_) => "name the file with the chain, such as certbot's `fullchain.pem`".to_owned(),
            Self::NoKey(_) => "name the file with the key, such as certbot's `privkey.pem`".to_owned(),
            Self::EncryptedKey(file) => {
                format!("remove its passphrase: `openssl pkey -in {} -out new.pem`", file.display())
            }
            Self::Pem { .. } | Self::NotX509 { .. } => "have the certificate issued again, or copy it again".to_owned(),
            Self::Key { .. } => "use an ECDSA (P-256, P-384), Ed25519 or RSA (2048 bits or more) key".to_owned(),
            Self::Mismatch { .. } => {
                "name the key that the certificate was issued for, and a chain that starts with the server's own \
                 certificate"
                    .to_owned()
            }
        }
    }
}

impl Pair {
    pub(super) fn read(paths: &PairPaths) -> Result<Self, PairError> {
        let chain = chain(&paths.cert)?;
        let key = key(&paths.key)?;
        let facts = Facts::read(&chain, &paths.cert)?;
        let provider = aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                PairError::Mismatch { cert: paths.cert.clone(), key: paths.key.clone() }
            } else {
                PairError::Key { file: paths.key.clone(), error }
            }
        })?;
        Ok(Self {
            paths: paths.clone(),
            certified: Arc::new(certified),
            names: facts.names,
            not_before: facts.not_before,
            not_after: facts.not_after,
            chain_is_broken: facts.chain_is_broken,
        })
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = if self.names.is_empty() { "no name".to_owned() } else { self.names.join(", ") };
        let end = humantime::format_rfc3339_seconds(self.not_after);
        write!(f, "{names}, valid until {end} ({})", self.paths.cert.display())
    }
}

fn unreadable(error: &io::Error, file: &Path) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        return "see whether the path is right and the certificate was issued".to_owned();
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        return format!(
            "have `synapse-gateway import-certificates` copy it for the service, as the systemd unit does at each start and \
             reload (`systemctl reload synapse-gateway`), or let the user `synapse-gateway` read it and enter the \
             directories above (see `namei -l {}`)",
            file.display()
        );
    }
    "name a readable file".to_owned()
}

struct Facts {
    names: Vec<String>,
    not_before: SystemTime,
    not_after: SystemTime,
    chain_is_broken: bool,
}

impl Facts {
    fn read(chain: &[CertificateDer<'_>], file: &Path) -> Result<Self, PairError> {
        let mut parsed = Vec::with_capacity(chain.len());
        for (index, certificate) in chain.iter().enumerate() {
            let not_x509 = |_| PairError::NotX509 { file: file.to_owned(), position: index + 1 };
            let (_, certificate) = X509Certificate::from_der(certificate).map_err(not_x509)?;
            parsed.push(certificate);
        }
        let own = parsed.first().ok_or_else(|| PairError::NoCertificate(file.to_owned()))?;
        let issuers = parsed.iter().skip(1);
        Ok(Self {
            names: names(own),
            not_before: time(own.validity().not_before.timestamp()),
            not_after: time(own.validity().not_after.timestamp()),
            chain_is_broken: parsed.iter().zip(issuers).any(|(one, issuer)| one.issuer() != issuer.subject()),
        })
    }
}

/// The DNS names among the alternative names. The common name is no host name to any client of today (RFC 9525,
/// section 2).
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let dns =
        |name: &GeneralName<'_>| if let GeneralName::DNSName(name) = name { Some((*name).to_owned()) } else { None };
    alternatives.value.general_names.iter().filter_map(dns).collect()
}

fn time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, PairError> {
    let pem = read(file).map_err(|error| PairError::ReadCert { file: file.to_owned(), error })?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| PairError::Pem { file: file.to_owned(), error })?;
    if chain.is_empty() { Err(PairError::NoCertificate(file.to_owned())) } else { Ok(chain) }
}

fn key(file: &Path) -> Result<PrivateKeyDer<'static>, PairError> {
    let pem = read(file).map_err(|error| PairError::ReadKey { file: file.to_owned(), error })?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let encrypted = String::from_utf8_lossy(&pem).contains("ENCRYPTED");
        if encrypted { PairError::EncryptedKey(file.to_owned()) } else { PairError::NoKey(file.to_owned()) }
    })
}
