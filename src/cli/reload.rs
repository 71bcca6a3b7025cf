//! `reload`: have the running gateway read its configuration again.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use structopt::StructOpt;

use super::Exit;
use super::orders::{Gateway, unexpected};
use crate::edge::control::{Answer, Order};
use crate::edge::{handover, runtime};

/// How long the gateway may take to say why a process that has ended did not take over.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Has the running gateway apply its configuration and certificates, in a new process if it takes one
///
/// A new process takes over where the program or a library of it was replaced, or where the gateway cannot change a
/// setting while it runs. It gets the listening sockets of the old one, which serves until the new one does and then
/// finishes its last requests. Exit codes: 0 when everything is in use, 78 when the configuration is wrong, 1 when it
/// failed otherwise; then nothing has changed.
#[derive(Debug, StructOpt)]
pub(super) struct Reload {
    #[structopt(flatten)]
    gateway: Gateway,
}

impl Reload {
    pub(super) fn execute(self, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Exit> {
        // Within the service, so that a new process gets the limits and the sandbox that the unit has now.
        let starts = runtime::given().is_some();
        let (answers, connection) = self.gateway.call(&Order::Reload { starts })?;
        let mut ended = None;
        for answer in answers {
            let answer = answer?;
            match &answer {
                Answer::Start { why } => {
                    writeln!(out, "starting a new process: {why}")?;
                    ended = Some(watch(self.start()?, connection.try_clone()?));
                }
                Answer::HandedOver { pid, why } => {
                    writeln!(out, "the configuration is in use, in process {pid}: {why}")?;
                    return Ok(Exit::Fine);
                }
                Answer::Reloaded { warnings } => {
                    for warning in warnings {
                        writeln!(err, "{warning}")?;
                    }
                    writeln!(out, "the configuration is in use")?;
                    return Ok(Exit::Fine);
                }
                Answer::Wrong { problems } => {
                    for problem in problems {
                        writeln!(err, "{problem}")?;
                    }
                    writeln!(err, "the configuration was not reloaded, the old one stays in use")?;
                    return Ok(Exit::Configuration);
                }
                Answer::Status(_)
                | Answer::Draining { .. }
                | Answer::Drained
                | Answer::Busy { .. }
                | Answer::Undrained
                | Answer::Failed { .. } => return Err(unexpected(&answer)),
            }
        }
        match ended.and_then(|ended| ended.try_recv().ok()) {
            Some(status) => bail!("the new process has ended ({status}) before it took over; the old one goes on"),
            None => bail!("the gateway has ended the connection"),
        }
    }

    fn start(&self) -> anyhow::Result<Child> {
        let program = std::env::current_exe().context("this program cannot be found")?;
        handover::start(&program, self.gateway.config(), &self.gateway.socket()?).context("it cannot be started")
    }
}

/// Ends the connection some time after the process has failed: the gateway waits for it in vain. Where it has not failed,
/// another one goes on for it.
fn watch(mut child: Child, connection: UnixStream) -> Receiver<ExitStatus> {
    let (tell, ended) = channel();
    thread::spawn(move || {
        if let Ok(status) = child.wait()
            && !status.success()
        {
            thread::sleep(LAST_WORDS);
            // Fails if there is nobody left to be told.
            if tell.send(status).is_ok() {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    });
    ended
}
