//! `synapse` as the operator writes it: where Synapse's own configuration is, and which release runs.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::release::Release;
use crate::problem::Problems;

/// The Synapse behind the gateway: a path such as `/etc/matrix-synapse`, or a section.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[expect(missing_docs, reason = "the card of the section is that of its keys")]
pub enum SynapseSection {
    Config(String),
    Keys(SynapseKeys),
}

/// The Synapse behind the gateway. Instead of the section a path may stand here, such as `/etc/matrix-synapse`, which is
/// short for `config`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SynapseKeys {
    /// Synapse's own configuration: a path or a list of them, files as well as directories, in the order in which Synapse
    /// is given them. Of a directory such as `/etc/matrix-synapse` that means `homeserver.yaml`, `conf.d/` and `workers/`.
    /// Names, processes, roles and limits are taken from there; what is written here counts instead. The service never
    /// opens these files, which hold passwords and keys: a helper with more rights passes on what is needed and nothing
    /// else. `synapse-gateway derive` shows what that is. By default nothing is taken from Synapse.
    pub config: Paths,
    /// The files of Synapse's workers, one for each: a path or a list of them, files as well as directories. By default
    /// those in the directory `workers` of what is named under `config`.
    pub workers: Paths,
    /// What is done when the files under `config` and `workers` change: `notify` says so in the log and in the metrics,
    /// `apply` takes the change over, `off` does not look. Whatever stands here, `reload` takes changes over.
    pub watch: Watch,
    /// The release whose endpoints are counted on, as in `"1.163"`: what its workers serve, and what only the main
    /// process does. `auto` asks the main process which release it is, again and again, so that an upgrade of Synapse
    /// needs nothing to be done here. Danger: with a release that is newer than the one that runs, workers are sent
    /// what they do not know.
    pub version: String,
}

/// One path, or several.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Paths {
    One(String),
    Many(Vec<String>),
}

/// What is done when Synapse's configuration changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Watch {
    /// It is told.
    #[default]
    Notify,
    /// It is taken over, as by a reload.
    Apply,
    /// Nothing.
    Off,
}

/// What the operator says about Synapse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynapseSettings {
    /// Where its configuration is; None if nothing is taken from it.
    pub files: Option<SynapseFiles>,
    /// The release that is counted on; None if it is to be found out.
    pub release: Option<Release>,
}

/// Where Synapse's own configuration is. The core does not open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynapseFiles {
    /// Files and directories of the main configuration, in Synapse's order.
    pub config: Vec<PathBuf>,
    /// Files and directories of the workers; empty for those beside the main configuration.
    pub workers: Vec<PathBuf>,
    /// What is done when they change.
    pub watch: Watch,
}

impl Default for SynapseSection {
    fn default() -> Self {
        Self::Keys(SynapseKeys::default())
    }
}

impl Default for SynapseKeys {
    fn default() -> Self {
        let none = || Paths::Many(Vec::new());
        Self { config: none(), workers: none(), watch: Watch::default(), version: "auto".to_owned() }
    }
}

impl SynapseSection {
    fn keys(self) -> SynapseKeys {
        match self {
            Self::Config(path) => SynapseKeys { config: Paths::One(path), ..SynapseKeys::default() },
            Self::Keys(keys) => keys,
        }
    }

    /// Where Synapse's configuration is, whatever else is wrong with the section.
    #[must_use]
    pub fn files(&self) -> Option<SynapseFiles> {
        let SynapseKeys { config, workers, watch, .. } = self.clone().keys();
        let config = config.list();
        (!config.is_empty()).then(|| SynapseFiles { config, workers: workers.list(), watch })
    }

    /// Checks the section.
    pub fn build(self, problems: &mut Problems) -> SynapseSettings {
        let is_keys = matches!(self, Self::Keys(_));
        let files = self.files();
        let keys = self.keys();
        let workers = keys.workers.list();
        if files.is_none() && !workers.is_empty() {
            let message = "a worker's file says nothing without the main configuration";
            problems.error("synapse.workers", message, "name that under synapse.config too");
        }
        let lists = [("config", files.as_ref().map_or(&[][..], |files| &files.config)), ("workers", &workers)];
        for (key, path) in lists.into_iter().flat_map(|(key, paths)| paths.iter().map(move |path| (key, path))) {
            if !path.is_absolute() {
                let at = if is_keys { format!("synapse.{key}") } else { "synapse".to_owned() };
                let message = format!("`{}` depends on where the gateway is started", path.display());
                problems.error(at, message, "write the whole path, such as /etc/matrix-synapse");
            }
        }
        let release = release(&keys.version, problems);
        SynapseSettings { files, release }
    }
}

impl Paths {
    fn list(self) -> Vec<PathBuf> {
        match self {
            Self::One(path) => vec![path.into()],
            Self::Many(paths) => paths.into_iter().map(PathBuf::from).collect(),
        }
    }
}

/// The release; None if it is to be found out, or wrong.
fn release(version: &str, problems: &mut Problems) -> Option<Release> {
    if version == "auto" {
        return None;
    }
    let (message, remedy) = match version.parse::<Release>() {
        Ok(release) if release >= Release::OLDEST => return Some(release),
        Ok(release) => {
            let message = format!("{release} is older than {}, the oldest that is known", Release::OLDEST);
            (message, "write auto, or upgrade Synapse")
        }
        Err(error) => (error.to_string(), "write auto, or a release such as \"1.163\""),
    };
    problems.error("synapse.version", message, remedy);
    None
}
