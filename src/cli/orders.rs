//! How commands give orders to the running gateway.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use structopt::StructOpt;

use super::ConfigFile;
use crate::config;
use crate::edge::control::{self, Answer, Order};

/// Longer than a reload, and than the gateway is silent while a process is drained.
const SILENCE: Duration = Duration::from_mins(2);
/// The longest answer, in bytes.
const LONGEST: u64 = 16 << 20;

// No doc comment: the parser would show it in place of the help of each subcommand that this is part of.
#[derive(Debug, StructOpt)]
pub(super) struct Gateway {
    #[structopt(flatten)]
    config: ConfigFile,
    /// The control socket of the gateway; by default the one that its configuration names
    #[structopt(long, value_name = "PATH", parse(from_os_str))]
    socket: Option<PathBuf>,
}

impl Gateway {
    /// Where the control socket is.
    pub(super) fn socket(&self) -> anyhow::Result<PathBuf> {
        self.socket.clone().or_else(|| socket(self.config.path())).context(
            "there is no control socket: is the gateway running? One that was started by hand needs `control.socket`",
        )
    }

    /// The configuration file.
    pub(super) fn config(&self) -> &Path {
        self.config.path()
    }

    /// Gives an order; the answers come one by one. One that says that it failed is an error.
    pub(super) fn order(&self, order: &Order) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Answer>> + use<>> {
        Ok(self.call(order)?.0)
    }

    /// As [`Gateway::order`], with the connection on which the answers come.
    pub(super) fn call(
        &self,
        order: &Order,
    ) -> anyhow::Result<(impl Iterator<Item = anyhow::Result<Answer>> + use<>, UnixStream)> {
        let path = self.socket()?;
        let reach = || format!("the gateway cannot be reached at {}: is it running, and are you root?", path.display());
        let mut stream = UnixStream::connect(&path).with_context(reach)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        match stream.write_all(&line) {
            // Whoever is turned away before having spoken is told why. An answer that nobody reads is another matter.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written.context("the gateway does not listen")?,
        }
        let connection = stream.try_clone()?;
        let lines = BufReader::new(stream.take(LONGEST)).lines();
        let answers = lines.map(|line| {
            let line = line.context("the gateway does not answer")?;
            let answer =
                serde_json::from_str(&line).context("the gateway answers what this version does not understand")?;
            if let Answer::Failed { message } = answer {
                bail!(message);
            }
            Ok(answer)
        });
        Ok((answers, connection))
    }

    /// Gives an order that has one answer.
    pub(super) fn ask(&self, order: &Order) -> anyhow::Result<Answer> {
        self.order(order)?.next().context("the gateway has ended the connection")?
    }
}

/// An answer to another order.
pub(super) fn unexpected(answer: &Answer) -> anyhow::Error {
    anyhow!("the gateway answers {answer:?}")
}

/// A configuration that cannot be read names no other socket.
fn socket(config: &Path) -> Option<PathBuf> {
    let sources = config::read(config).unwrap_or_default();
    control::socket(config::control_socket(&sources).as_deref())
}
