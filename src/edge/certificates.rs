//! The certificates in use: read from their files, chosen for each handshake, replaced while handshakes go on.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::Notify;

use crate::listen::{Names, Reload, Tls, UnknownSni};
use crate::problem::Problems;

mod copies;
mod pair;

pub use copies::{MAX_FILE, copy_name, told};
use pair::Pair;
pub use pair::PairError;

/// How long before its end a certificate is reported: certbot renews 30 days before, so something is wrong by then.
pub const EXPIRY_WARNING: Duration = Duration::from_hours(14 * 24);

/// The certificates that handshakes are answered with.
pub struct Certificates {
    current: ArcSwap<Loaded>,
    /// Wakes the watcher when other files are to be watched.
    pub(super) replaced: Notify,
}

/// Certificates that were read and fit their keys.
pub struct Loaded {
    pairs: Vec<Arc<Pair>>,
    names: Names<Arc<CertifiedKey>>,
    unknown_sni: UnknownSni,
    reload: Reload,
}

/// When a certificate ends, for a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The file of the chain.
    pub cert: PathBuf,
    /// The DNS names in the certificate.
    pub names: Vec<String>,
    /// The end of its validity.
    pub not_after: SystemTime,
}

/// What became of one pair of files in a [`Certificates::reload`].
#[derive(Debug)]
pub enum Reloaded {
    /// The files hold the certificate that is in use.
    Unchanged,
    /// The certificate is new and in use from now on.
    Renewed,
    /// The files do not fit, so the certificate in use stays.
    Kept(PairError),
}

/// Reads all certificates of the configuration, as `run` and `check` both do.
///
/// None if any of them cannot be used. What is wrong is reported under the YAML path of the file; the end of a validity
/// that has come or is near is a warning, since an expired certificate is still better than no answer.
pub fn load(tls: &Tls, now: SystemTime, problems: &mut Problems) -> Option<Loaded> {
    let mut pairs = Vec::with_capacity(tls.pairs.len());
    for paths in &tls.pairs {
        match Pair::read(paths) {
            Ok(pair) => {
                warn(&pair, now, problems);
                pairs.push(Arc::new(pair));
            }
            Err(error) => {
                problems.error(format!("{}.{}", paths.path, error.key()), error.to_string(), error.remedy());
            }
        }
    }
    (pairs.len() == tls.pairs.len()).then(|| Loaded::new(pairs, tls.unknown_sni, tls.reload))
}

impl Certificates {
    /// Takes what was loaded into use.
    #[must_use]
    pub fn new(loaded: Loaded) -> Self {
        Self { current: ArcSwap::from_pointee(loaded), replaced: Notify::new() }
    }

    /// Swaps all certificates, after the configuration has changed.
    pub fn replace(&self, loaded: Loaded) {
        self.current.store(Arc::new(loaded));
        self.replaced.notify_one();
    }

    /// Reads the files again and takes each pair that is new and fits into use, in the order of the configuration.
    /// Says in the log what became of each that changed.
    pub fn reload(&self) -> Vec<Reloaded> {
        let current = self.current.load_full();
        let mut pairs = Vec::with_capacity(current.pairs.len());
        let mut outcomes = Vec::with_capacity(current.pairs.len());
        for old in &current.pairs {
            let (pair, outcome) = match Pair::read(&old.paths) {
                Ok(new) if new.certified.cert == old.certified.cert => (old.clone(), Reloaded::Unchanged),
                Ok(new) => (Arc::new(new), Reloaded::Renewed),
                Err(error) => {
                    log::error!("the old certificate stays in use: {error}; {}; in use: {old}", error.remedy());
                    (old.clone(), Reloaded::Kept(error))
                }
            };
            pairs.push(pair);
            outcomes.push(outcome);
        }
        if outcomes.iter().any(|outcome| matches!(outcome, Reloaded::Renewed)) {
            let renewed = Arc::new(Loaded::new(pairs.clone(), current.unknown_sni, current.reload));
            // Lost if the whole set was swapped meanwhile: that set is newer.
            let before = self.current.compare_and_swap(&current, renewed);
            let fresh = pairs.iter().zip(&outcomes).filter(|(_, outcome)| matches!(outcome, Reloaded::Renewed));
            for (pair, _) in fresh.filter(|_| Arc::ptr_eq(&before, &current)) {
                log::info!("a new certificate is in use: {pair}");
            }
        }
        outcomes
    }

    /// When each certificate ends.
    #[must_use]
    pub fn expiries(&self) -> Vec<Expiry> {
        let expiry = |pair: &Arc<Pair>| Expiry {
            cert: pair.paths.cert.clone(),
            names: pair.names.clone(),
            not_after: pair.not_after,
        };
        self.current.load().pairs.iter().map(expiry).collect()
    }

    /// Whether a client that asks for this name gets a certificate.
    pub(super) fn answers(&self, name: &str) -> bool {
        let current = self.current.load();
        match current.unknown_sni {
            UnknownSni::Default => true,
            UnknownSni::Refuse => current.names.candidates(name).next().is_some(),
        }
    }

    /// The directories where a change of a file in use shows: its own, and the one that a symbolic link leads to, or that
    /// of its copy. None if files are not to be watched.
    pub(super) fn directories(&self) -> Option<HashSet<PathBuf>> {
        let current = self.current.load();
        let files = current.pairs.iter().flat_map(|pair| [&pair.paths.cert, &pair.paths.key]);
        let files = files.map(|file| copies::place(file));
        let places = files.flat_map(|file| [file.canonicalize().ok(), Some(file)]).flatten();
        let directories = places.filter_map(|place| Some(place.parent()?.to_owned())).collect();
        match current.reload {
            Reload::Watch => Some(directories),
            Reload::Signal => None,
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load().choose(hello.server_name(), hello.signature_schemes())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.current.load().pairs.iter().map(ToString::to_string)).finish()
    }
}

impl Loaded {
    fn new(pairs: Vec<Arc<Pair>>, unknown_sni: UnknownSni, reload: Reload) -> Self {
        let mut names = Names::default();
        for pair in &pairs {
            for name in &pair.names {
                names.add(name, pair.certified.clone());
            }
        }
        Self { pairs, names, unknown_sni, reload }
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let Some(name) = name else {
            return self.default(schemes);
        };
        match (suitable(self.names.candidates(name), schemes), self.unknown_sni) {
            (Some(certified), _) => Some(certified),
            (None, UnknownSni::Default) => self.default(schemes),
            (None, UnknownSni::Refuse) => None,
        }
    }

    /// The first certificate, or one for the same name that the client can verify.
    fn default(&self, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let first = self.pairs.first()?;
        let same_name = first.names.first().into_iter().flat_map(|name| self.names.candidates(name));
        suitable(std::iter::once(&first.certified).chain(same_name), schemes)
    }
}

/// The first that the client can verify. If there is none, the first of all, so that the handshake fails with the
/// alert that says so.
fn suitable<'a>(
    candidates: impl Iterator<Item = &'a Arc<CertifiedKey>>,
    schemes: &[SignatureScheme],
) -> Option<Arc<CertifiedKey>> {
    let mut candidates = candidates.peekable();
    let first = candidates.peek().copied();
    candidates.find(|certified| certified.key.choose_scheme(schemes).is_some()).or(first).cloned()
}

fn warn(pair: &Pair, now: SystemTime, problems: &mut Problems) {
    let path = format!("{}.cert", pair.paths.path);
    let renew = "renew it (`certbot renew`), and see why that did not happen by itself";
    match pair.not_after.duration_since(now) {
        Err(_) => problems.warning(&path, format!("the certificate has expired: {pair}"), renew),
        Ok(left) if left < EXPIRY_WARNING => {
            problems.warning(
                &path,
                format!("the certificate expires in {} days: {pair}", left.as_secs() / 86400),
                renew,
            );
        }
        Ok(_) => {}
    }
    if pair.not_before > now {
        let remedy = "see whether the clock of this host is right";
        problems.warning(&path, format!("the certificate is not valid yet: {pair}"), remedy);
    }
    if pair.names.is_empty() {
        let remedy = "use a certificate with the host names of this gateway";
        problems.warning(&path, format!("the certificate has no host name: {pair}"), remedy);
    }
    if pair.chain_is_broken {
        let remedy = "put the server's own certificate first and after each one its issuer's";
        problems.warning(&path, format!("the chain is out of order: {pair}"), remedy);
    }
    let full_chain = pair.paths.cert.with_file_name("fullchain.pem");
    if pair.certified.cert.len() == 1 && pair.paths.cert.ends_with("cert.pem") && full_chain.exists() {
        let remedy = format!("write `{}`", full_chain.display());
        problems.warning(&path, "certbot's `cert.pem` lacks the issuer's certificate, so clients refuse it", remedy);
    }
}

#[cfg(test)]
mod tests;
