use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Instant, SystemTime};

use tokio::sync::watch;

use super::*;
use crate::edge::certificates::load;
use crate::edge::fixture::{self, Issuer};
use crate::listen::{PairPaths, Reload, Tls};
use crate::problem::Problems;

struct Watching {
    certificates: Arc<Certificates>,
    shutdown: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Watching {
    async fn start(tls: Tls) -> Self {
        let loaded = load(&tls, SystemTime::now(), &mut Problems::default()).unwrap();
        let certificates = Arc::new(Certificates::new(loaded));
        let (shutdown, watching) = watch::channel(false);
        let watch = CertificateWatch::new(certificates.clone());
        let task = tokio::spawn(async move { watch.start(watching).await });
        // On the one thread of the test, the watch stands when the task first waits.
        tokio::task::yield_now().await;
        Self { certificates, shutdown, task }
    }

    async fn answers(&self, name: &str) {
        let start = Instant::now();
        while !self.certificates.answers(name) {
            assert!(start.elapsed() < Duration::from_secs(20), "{name} is not in use");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// `live/<file>` leads to `archive/<file>`, as certbot has it.
fn live_pair(issuer: &Issuer, archived: &PairPaths) -> PairPaths {
    std::fs::create_dir(issuer.file("live")).unwrap();
    let link = |target: &Path| {
        let live = issuer.file("live").join(target.file_name().unwrap());
        symlink(target, &live).unwrap();
        live
    };
    PairPaths { cert: link(&archived.cert), key: link(&archived.key), path: archived.path.clone() }
}

#[tokio::test]
async fn a_renewed_certificate_is_in_use_soon_after_its_files_are_written() {
    let issuer = Issuer::new();
    let watching = Watching::start(fixture::tls(vec![issuer.issue("a", &["example.com"])])).await;
    issuer.issue("a", &["renewed.org"]);
    watching.answers("renewed.org").await;
}

#[tokio::test]
async fn a_file_moved_into_place_is_seen() {
    let issuer = Issuer::new();
    let pair = issuer.issue("a", &["example.com"]);
    let watching = Watching::start(fixture::tls(vec![pair.clone()])).await;
    let new = issuer.issue("b", &["renewed.org"]);
    std::fs::rename(&new.key, &pair.key).unwrap();
    std::fs::rename(&new.cert, &pair.cert).unwrap();
    watching.answers("renewed.org").await;
}

#[tokio::test]
async fn a_symbolic_link_that_is_turned_to_a_new_file_is_seen() {
    let issuer = Issuer::new();
    let pair = live_pair(&issuer, &issuer.issue("a", &["example.com"]));
    let watching = Watching::start(fixture::tls(vec![pair.clone()])).await;
    let new = issuer.issue("b", &["renewed.org"]);
    for (link, target) in [(&pair.cert, &new.cert), (&pair.key, &new.key)] {
        std::fs::remove_file(link).unwrap();
        symlink(target, link).unwrap();
    }
    watching.answers("renewed.org").await;
}

#[tokio::test]
async fn a_change_of_the_file_behind_a_symbolic_link_is_seen() {
    let issuer = Issuer::new();
    let pair = live_pair(&issuer, &issuer.issue("a", &["example.com"]));
    let watching = Watching::start(fixture::tls(vec![pair])).await;
    issuer.issue("a", &["renewed.org"]);
    watching.answers("renewed.org").await;
}

#[tokio::test]
async fn certificates_of_a_new_configuration_are_watched_in_their_place() {
    let (old, new) = (Issuer::new(), Issuer::new());
    let watching = Watching::start(fixture::tls(vec![old.issue("a", &["example.com"])])).await;
    let tls = fixture::tls(vec![new.issue("a", &["example.com"])]);
    watching.certificates.replace(load(&tls, SystemTime::now(), &mut Problems::default()).unwrap());
    tokio::task::yield_now().await;
    new.issue("a", &["renewed.org"]);
    watching.answers("renewed.org").await;
}

#[test]
fn certificates_that_are_read_at_a_signal_are_not_watched() {
    let issuer = Issuer::new();
    let directories = |reload: Reload| {
        let tls = Tls { reload, ..fixture::tls(vec![issuer.issue("a", &["example.com"])]) };
        Certificates::new(load(&tls, SystemTime::now(), &mut Problems::default()).unwrap()).directories()
    };
    assert_eq!(directories(Reload::Signal), None);
    assert_eq!(directories(Reload::Watch), Some(HashSet::from([issuer.path().to_owned()])));
}

#[tokio::test]
async fn the_watch_ends_at_shutdown() {
    let issuer = Issuer::new();
    let watching = Watching::start(fixture::tls(vec![issuer.issue("a", &["example.com"])])).await;
    watching.shutdown.send(true).unwrap();
    watching.task.await.unwrap();
}
