//! What is said about files that are wrong. `golden/loader` has a root of its own, with every form that a key takes.
//!
//! A case is the text of `gateway.yaml`, then, after a line `#--- NAME`, that of the file `NAME`, and at the end, after
//! `#--- problems`, what is expected.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_gateway::config::{Source, load_as};
use synapse_gateway::network::Network;
use synapse_gateway::problem::Problems;
use synapse_gateway::quantity::{Size, Span};

use crate::bless::{Differences, cases};

const PROBLEMS: &str = "#--- problems\n";

/// A root with every form that a key takes.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sample {
    /// Where connections are accepted.
    pub(crate) listeners: Vec<Door>,
    /// The sessions.
    pub(crate) rendezvous: Rendezvous,
    /// Servers by name.
    pub(crate) upstreams: BTreeMap<String, Upstream>,
    /// How the Host header is forwarded.
    pub(crate) host: Host,
    /// Networks whose headers are believed.
    #[schemars(with = "Vec<String>")]
    pub(crate) trusted: Vec<Network>,
    /// A document that is passed on as it is.
    pub(crate) client: serde_json::Map<String, serde_json::Value>,
    /// Threads.
    ///
    /// More than cores make nothing faster.
    pub(crate) threads: u16,
    /// A name.
    pub(crate) server_name: Option<String>,
}

/// One address.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Door {
    /// Address and port.
    #[schemars(example = "[::]:443")]
    pub(crate) address: String,
    /// The file mode of the socket.
    pub(crate) mode: u32,
    /// Whether TLS is spoken, and how.
    #[serde(default)]
    pub(crate) tls: Tls,
}

/// Whether, or how.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Tls {
    /// On or off.
    Switch(bool),
    /// With settings.
    Settings(TlsSettings),
}

impl Default for Tls {
    fn default() -> Self {
        Self::Switch(false)
    }
}

/// Settings.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsSettings {
    /// Certificate.
    pub(crate) cert: String,
    /// Days.
    pub(crate) days: u8,
}

/// Sessions.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rendezvous {
    /// Whether it is served.
    pub(crate) enabled: bool,
    /// How long.
    pub(crate) ttl: Span,
    /// How large.
    pub(crate) max_bytes: Size,
    /// How many.
    pub(crate) max_entries: u32,
}

impl Default for Rendezvous {
    fn default() -> Self {
        let ttl = Span(std::time::Duration::from_mins(1));
        Self { enabled: true, ttl, max_bytes: Size(4096), max_entries: 10_000 }
    }
}

/// One server.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Upstream {
    /// Address.
    pub(crate) address: String,
    /// Least number.
    pub(crate) weight: f64,
}

/// A choice.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Host {
    /// As it came.
    Preserve,
    /// The upstream's.
    Upstream,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            rendezvous: Rendezvous::default(),
            upstreams: BTreeMap::new(),
            host: Host::Preserve,
            trusted: Vec::new(),
            client: serde_json::Map::new(),
            threads: 4,
            server_name: None,
        }
    }
}

/// Stands in for the sections' own checks.
fn build(sample: Sample, problems: &mut Problems) -> Option<Sample> {
    for (index, door) in sample.listeners.iter().enumerate() {
        if !door.address.contains(':') {
            problems.error(format!("listeners[{index}].address"), "has no port", "add `:443`");
        }
    }
    for (name, upstream) in &sample.upstreams {
        if upstream.address.is_empty() {
            problems.error(format!("upstreams.{name}.address"), "is not set", "write where it listens");
        }
    }
    if sample.listeners.is_empty() {
        problems.warning("listeners", "nothing is served", "add a listener");
    }
    (!problems.has_errors()).then_some(sample)
}

/// Splits a case into its sources and returns them with the part before the problems.
pub(crate) fn sources(text: &str) -> (Vec<Source>, &str) {
    let input = text.split_once(PROBLEMS).map_or(text, |(input, _)| input);
    let mut parts = input.split("#--- ");
    let first = parts.next().unwrap();
    let mut sources = vec![Source { name: "gateway.yaml".into(), bytes: first.into() }];
    for part in parts {
        let (name, text) = part.split_once('\n').unwrap();
        sources.push(Source { name: name.into(), bytes: text.into() });
    }
    (sources, input)
}

/// The case with what was found in place of what was expected.
pub(crate) fn answer(input: &str, problems: &Problems) -> String {
    let lines: Vec<_> = problems.as_slice().iter().map(|problem| format!("# {problem}\n")).collect();
    format!("{input}{PROBLEMS}{}", lines.concat())
}

fn check(path: &Path, differences: &mut Differences) {
    let text = fs::read_to_string(path).unwrap();
    let (sources, input) = sources(&text);
    let (built, problems) = load_as(&sources, build);
    assert_eq!(built.is_none(), problems.has_errors(), "{}", path.display());
    differences.compare(path, &answer(input, &problems));
}

#[test]
fn every_problem_is_told_at_its_place_with_its_remedy() {
    let mut differences = Differences::default();
    for path in cases("tests/golden/loader", "yaml") {
        check(&path, &mut differences);
    }
    differences.finish();
}
