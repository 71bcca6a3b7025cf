//! Reads certificate files again when they change.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::certificates::Certificates;

/// Certificate and key are written one after the other; a pair read between the two does not fit.
const QUIET: Duration = Duration::from_millis(200);
/// A directory that never gets quiet must not keep a new certificate from being used.
const PATIENCE: Duration = Duration::from_secs(2);
/// In case a change was missed: network file systems tell nobody, and watches have limits.
const RECHECK: Duration = Duration::from_hours(1);

/// Watches the directories of the certificates in use, unless the configuration says `reload: signal`.
pub struct CertificateWatch {
    certificates: Arc<Certificates>,
}

impl CertificateWatch {
    /// To be run by Pingora's `background_service`.
    #[must_use]
    pub fn new(certificates: Arc<Certificates>) -> Self {
        Self { certificates }
    }
}

#[async_trait]
impl BackgroundService for CertificateWatch {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let (sender, mut changes) = mpsc::channel(1);
        let mut watched = Watched::new(sender);
        loop {
            let directories = self.certificates.directories();
            let on = directories.is_some();
            // What changed before it was watched has told nobody.
            let due = watched.update(&directories.unwrap_or_default()) || {
                let reload = tokio::select! {
                    Some(()) = changes.recv() => true,
                    () = sleep(RECHECK) => true,
                    () = self.certificates.replaced.notified() => false,
                    _ = shutdown.wait_for(|shutting_down| *shutting_down) => return,
                };
                if on && reload {
                    let _ = timeout(PATIENCE, quiet(&mut changes)).await;
                }
                reload
            };
            if on && due {
                let certificates = self.certificates.clone();
                // When the process ends it is cancelled, which is no crash.
                if let Err(error) = tokio::task::spawn_blocking(move || certificates.reload()).await
                    && error.is_panic()
                {
                    log::error!("reading the certificates again has crashed: {error}");
                }
            }
        }
    }
}

/// A file that was written counts once it is closed: a log in the same directory is written all day. Reading a file is
/// an event too, and we do that ourselves.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Modify(modification) => !matches!(modification, ModifyKind::Data(_)),
        EventKind::Any | EventKind::Create(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

async fn quiet(changes: &mut mpsc::Receiver<()>) {
    while let Ok(Some(())) = timeout(QUIET, changes.recv()).await {}
}

struct Watched {
    watcher: Option<RecommendedWatcher>,
    directories: HashSet<PathBuf>,
}

impl Watched {
    fn new(changed: mpsc::Sender<()>) -> Self {
        let notify = move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| is_change(event.kind)) {
                // Full means that a change is pending already.
                let _ = changed.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(notify);
        if let Err(error) = &watcher {
            log::warn!("changes of certificates are seen once an hour only: {error}");
        }
        Self { watcher: watcher.ok(), directories: HashSet::new() }
    }

    /// Watches these directories and no others; whether any of them is new.
    fn update(&mut self, directories: &HashSet<PathBuf>) -> bool {
        let Some(watcher) = &mut self.watcher else {
            return false;
        };
        for gone in self.directories.difference(directories) {
            if let Err(error) = watcher.unwatch(gone) {
                log::debug!("{} was not watched: {error}", gone.display());
            }
        }
        let new = directories.difference(&self.directories).cloned().collect::<Vec<_>>();
        self.directories.retain(|directory| directories.contains(directory));
        let mut added = false;
        for directory in new {
            match watcher.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => added |= self.directories.insert(directory),
                Err(error) => {
                    log::warn!("changes in {} are seen once an hour only: {error}", directory.display());
                }
            }
        }
        added
    }
}

#[cfg(test)]
mod tests;
