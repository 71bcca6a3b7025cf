//! Sees when Synapse's own configuration changes.
//!
//! Only names, sizes and dates of its files are looked at. What is in them is for a helper that may read it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use log::{info, warn};
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::control::ReloadOrder;
use super::runtime;
use super::state::{Running, State};
use crate::routing::{SynapseFiles, Watch};

/// How often the files are looked at. A change counts once it has stood for as long.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The most files that are looked at.
const MOST: usize = 1_000;
/// What is looked into of a directory, beside its own files.
const BELOW: [&str; 2] = ["conf.d", "workers"];

/// Looks after the files that the running configuration names.
pub(super) struct SynapseWatch {
    state: Arc<State>,
    reload: mpsc::Sender<ReloadOrder>,
}

/// The files of a configuration, and how they were when it came into use.
#[derive(Debug)]
pub(super) struct Watched {
    files: SynapseFiles,
    at_first: Files,
}

impl Watched {
    /// Looks at the files.
    #[must_use]
    pub(super) fn new(files: SynapseFiles) -> Self {
        Self { at_first: stamps(&files), files }
    }
}

/// What is known of the files.
#[derive(Default)]
struct Known {
    /// The configuration to which this belongs.
    of: Weak<Running>,
    /// As they were at the last look.
    last: Files,
    /// The change that was told.
    told: Option<Files>,
}

/// The files by their paths.
type Files = BTreeMap<PathBuf, Stamp>;

/// What changes with a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    size: u64,
}

impl SynapseWatch {
    /// Looks after `state`, and asks for a reload by `reload`.
    #[must_use]
    pub(super) const fn new(state: Arc<State>, reload: mpsc::Sender<ReloadOrder>) -> Self {
        Self { state, reload }
    }

    async fn look(&self, known: &mut Known) {
        let running = self.state.running();
        let Some(Watched { files, at_first }) =
            running.synapse_files.as_ref().filter(|watched| watched.files.watch != Watch::Off)
        else {
            *known = Known::default();
            self.state.metrics.synapse_config_changed(false);
            return;
        };
        let files = files.clone();
        let watch = files.watch;
        // Cancelled only when the process ends.
        let Ok(now) = tokio::task::spawn_blocking(move || stamps(&files)).await else { return };
        if known.of.as_ptr() != Arc::as_ptr(&running) {
            *known = Known { of: Arc::downgrade(&running), last: at_first.clone(), told: None };
        }
        let settled = now == known.last;
        known.last = now;
        self.state.metrics.synapse_config_changed(known.last != *at_first);
        if settled && known.last != *at_first && known.told.as_ref() != Some(&known.last) {
            known.told = Some(known.last.clone());
            self.tell(watch, &difference(at_first, &known.last));
        }
    }

    fn tell(&self, watch: Watch, changed: &str) {
        match watch {
            Watch::Off => {}
            Watch::Notify => {
                warn!("Synapse's configuration has changed ({changed}): reload the gateway to take that over");
            }
            Watch::Apply => {
                info!("Synapse's configuration has changed ({changed}) and is taken over");
                // The service manager has the helper read the files again; without one, that is part of a reload.
                match runtime::given().map(|directory| runtime::changed(&directory)) {
                    Some(file) => {
                        if let Err(error) = fs::write(&file, b"") {
                            warn!("{}: {error}: reload the gateway to take the change over", file.display());
                        }
                    }
                    // A full queue has one already.
                    None => drop(self.reload.try_send(ReloadOrder::Within)),
                }
            }
        }
    }
}

#[async_trait]
impl BackgroundService for SynapseWatch {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = Known::default();
        loop {
            tokio::select! {
                _ = look.tick() => self.look(&mut known).await,
                _ = shutdown.changed() => return,
            }
        }
    }
}

/// The files as they are. One that cannot be looked at is as good as absent.
fn stamps(files: &SynapseFiles) -> Files {
    let mut found = Files::new();
    for path in files.config.iter().chain(&files.workers) {
        add(path, &mut found);
        for below in BELOW {
            add(&path.join(below), &mut found);
        }
    }
    found
}

/// A file, or the configuration files in a directory.
fn add(path: &Path, found: &mut Files) {
    let Ok(metadata) = fs::metadata(path) else { return };
    if !metadata.is_dir() {
        note(path.to_owned(), &metadata, found);
        return;
    }
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        let file = entry.path();
        if file.extension().is_some_and(|extension| extension == "yaml")
            && let Ok(metadata) = fs::metadata(&file)
        {
            note(file, &metadata, found);
        }
    }
}

fn note(path: PathBuf, metadata: &fs::Metadata, found: &mut Files) {
    if found.len() < MOST {
        found.insert(path, Stamp { modified: metadata.modified().ok(), size: metadata.len() });
    }
}

/// The files that are new, gone or different.
fn difference(before: &Files, after: &Files) -> String {
    const TOLD: usize = 5;
    let gone = before.keys().filter(|path| !after.contains_key(*path));
    let new = after.iter().filter(|(path, stamp)| before.get(*path) != Some(stamp)).map(|(path, _)| path);
    let names: Vec<String> = gone.chain(new).map(|path| path.display().to_string()).collect();
    let more = names.len().saturating_sub(TOLD);
    let told = names.get(..names.len().min(TOLD)).unwrap_or_default().join(", ");
    if more > 0 { format!("{told} and {more} more") } else { told }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_yaml_file_of_a_directory_counts_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let files = SynapseFiles { config: vec![folder.path().into()], workers: Vec::new(), watch: Watch::Notify };
        write("homeserver.yaml", "a");
        write("conf.d/one.yaml", "a");
        let before = stamps(&files);
        assert_eq!(before.len(), 2);
        write("homeserver.signing.key", "secret");
        write("deeper/still/one.yaml", "a");
        assert_eq!(stamps(&files), before);

        write("conf.d/one.yaml", "longer");
        write("workers/w.yaml", "a");
        fs::remove_file(folder.path().join("homeserver.yaml")).unwrap();
        let told = difference(&before, &stamps(&files));
        let names: Vec<_> = told.split(", ").map(|path| path.rsplit('/').next().unwrap()).collect();
        assert_eq!(names, ["homeserver.yaml", "one.yaml", "w.yaml"]);
    }
}
