//! `routes verify`: is the table true of the Synapse that is installed?

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::json;
use structopt::StructOpt;

use super::Exit;
use super::bounded::{Bounds, run};
use crate::observe::EscapedText;
use crate::routing::{Comparison, Difference, Registered, Release, Synapse, Table};

/// What an interpreter is given to run: it prints what its Synapse registers.
const PROGRAM: &str = include_str!("registered.py");
/// Synapse needs about three seconds for it, and says some 20 KiB.
const BOUNDS: Bounds = Bounds { time: Duration::from_mins(1), out: 1 << 20, err: 4 << 10 };
/// Where Debian's packages of Synapse have its configuration.
const USUAL: [&str; 2] = ["/etc/matrix-synapse/homeserver.yaml", "/etc/matrix-synapse/conf.d"];

/// Compares the endpoints that workers are sent with those that an installed Synapse lets its workers serve
///
/// Exits with 0 if no worker is sent what it does not know, and with 1 otherwise. Synapse's own code is run with its
/// configuration, but with an empty database in memory: neither the one that is configured nor a running Synapse is
/// touched. Give the command as the user that Synapse runs as, or as root, since it reads what is secret there.
#[derive(Debug, StructOpt)]
pub(in crate::cli) struct Verify {
    /// The Python that Synapse is installed for, such as /opt/venvs/matrix-synapse/bin/python (Debian's packages of
    /// matrix.org) or /usr/bin/python3 (Debian's own)
    #[structopt(long, value_name = "PATH", parse(from_os_str))]
    python: PathBuf,
    /// Synapse's configuration: a file or a directory, once for each [default: /etc/matrix-synapse/homeserver.yaml
    /// and conf.d beside it]
    #[structopt(long = "config-path", value_name = "PATH", number_of_values = 1, parse(from_os_str))]
    config: Vec<PathBuf>,
    /// Prints a JSON object
    #[structopt(long)]
    json: bool,
}

/// What is said in place of an answer.
#[derive(Deserialize)]
struct Failure {
    error: String,
}

impl Verify {
    pub(super) fn execute(self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let config = if self.config.is_empty() { usual()? } else { self.config };
        let python = self.python.display();
        let registered =
            ask(&self.python, &config).with_context(|| format!("{python} does not say what its Synapse registers"))?;
        let table = Table::default();
        let comparison = registered.compare(&table);
        let remedy = if comparison.harmful.is_empty() { None } else { registered.harmless(&table) };
        if self.json {
            let told = json!({
                "synapse": registered.version, "delegated": registered.synapse.delegated,
                "config": config, "comparison": comparison, "pin": remedy.map(|release| release.to_string()),
            });
            writeln!(out, "{told:#}")?;
        } else {
            let files: Vec<_> = config.iter().map(|path| path.display().to_string()).collect();
            writeln!(out, "configuration: {}", files.join(", "))?;
            tell(&registered, &comparison, remedy, out)?;
        }
        Ok(if comparison.harmful.is_empty() { Exit::Fine } else { Exit::Failure })
    }
}

fn usual() -> anyhow::Result<Vec<PathBuf>> {
    let [main, _] = USUAL;
    if !Path::new(main).exists() {
        bail!("there is no {main}: name Synapse's configuration with --config-path");
    }
    Ok(USUAL.iter().map(PathBuf::from).filter(|path| path.exists()).collect())
}

fn ask(python: &Path, config: &[PathBuf]) -> anyhow::Result<Registered> {
    let mut command = Command::new(python);
    // Isolated, so that nothing in this directory or the environment is taken for a part of Synapse; and no traces are
    // left beside Synapse's code.
    command.args(["-I", "-B", "-c", PROGRAM]).args(config);
    let ended = run(&mut command, BOUNDS)?;
    let answer = String::from_utf8_lossy(&ended.out);
    if let Ok(Failure { error }) = serde_json::from_str(&answer) {
        let error: String = error.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        bail!("{error}{}", remedy(&error));
    }
    if !ended.status.success() {
        let complaint = ended.err.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
        bail!("it ends with {}: {}", ended.status, EscapedText::new(complaint));
    }
    Ok(Registered::read(&answer)?)
}

fn remedy(error: &str) -> &'static str {
    if error.contains("generate_workers_map") {
        "; this needs Synapse 1.81 or newer"
    } else if error.contains("No module named") {
        "; name the Python that Synapse is installed for, such as /opt/venvs/matrix-synapse/bin/python"
    } else if error.contains("Permission denied") {
        "; give the command as root"
    } else {
        ""
    }
}

fn tell(
    registered: &Registered,
    comparison: &Comparison,
    remedy: Option<Release>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let Synapse { release, delegated } = registered.synapse;
    let Comparison { compared, harmful, missed, deliberate, not_compared } = comparison;
    let log_ins = if delegated { "Matrix Authentication Service" } else { "Synapse" };
    writeln!(out, "Synapse {}, log-ins by {log_ins}: {compared} requests compared", registered.version)?;
    if release > Release::NEWEST {
        writeln!(out, "it is newer than {}, the newest release that is known here", Release::NEWEST)?;
    }
    let row = |one: &Difference| match one.endpoint {
        Some(endpoint) => format!("to {} (row {endpoint})", one.role),
        None => "to the main process".to_owned(),
    };
    for one in harmful {
        writeln!(out, "wrong: {} {} goes {}, which has no {}", one.method, one.example, row(one), one.path)?;
    }
    for one in missed {
        writeln!(out, "harmless: {} {} goes {}; a worker has it as well", one.method, one.example, row(one))?;
    }
    for one in deliberate {
        let reason = one.reason.unwrap_or_default();
        writeln!(out, "on purpose: {} {} goes {}: {reason}", one.method, one.example, row(one))?;
    }
    if !not_compared.is_empty() {
        writeln!(out, "not compared, since Synapse does not tell or does not have it: {}", not_compared.join(", "))?;
    }
    match (harmful.is_empty(), remedy) {
        (true, _) => writeln!(out, "the table is right: no worker is sent what it does not know")?,
        (false, Some(release)) => writeln!(
            out,
            "the table is wrong: please report it; until that is mended, write `synapse: {{version: \"{release}\"}}`, for \
             which it is right"
        )?,
        (false, None) => writeln!(
            out,
            "the table is wrong: please report it; until that is mended, give the roles named above to no worker"
        )?,
    }
    Ok(())
}
