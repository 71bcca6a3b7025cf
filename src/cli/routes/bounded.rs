//! A program that is run to its end, with a bound on its time and on what it says.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long one that has said everything is waited for at a time: the standard library waits for ever or not at all.
const STEP: Duration = Duration::from_millis(10);

/// What a program may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// All in all.
    pub(super) time: Duration,
    /// Bytes on standard output; more is an error.
    pub(super) out: usize,
    /// Bytes at the end of standard error; what comes before is dropped.
    pub(super) err: usize,
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) out: Vec<u8>,
    pub(super) err: Vec<u8>,
}

/// Runs a program. Whatever goes wrong, it is gone afterwards.
pub(super) fn run(command: &mut Command, bounds: Bounds) -> anyhow::Result<Ended> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("it cannot be started")?;
    let ended = follow(&mut child, bounds);
    if ended.is_err() {
        child.kill().context("it cannot be ended")?;
        child.wait().context("it cannot be ended")?;
    }
    ended
}

fn follow(child: &mut Child, Bounds { time, out, err }: Bounds) -> anyhow::Result<Ended> {
    #[expect(clippy::disallowed_methods, reason = "how long a command waits is for the clock to say")]
    let now = Instant::now;
    let end = now() + time;
    let answer = child.stdout.take().map(|pipe| reading(pipe, move |pipe| whole(pipe, out)));
    let complaints = child.stderr.take().map(|pipe| reading(pipe, move |pipe| tail(pipe, err)));
    let late = || format!("it does not end within {} s", time.as_secs());
    let receive = |from: Option<Receiver<io::Result<Vec<u8>>>>| -> anyhow::Result<Vec<u8>> {
        let from = from.context("it says nothing")?;
        let left = end.saturating_duration_since(now());
        from.recv_timeout(left).with_context(late)?.context("what it says cannot be read")
    };
    let answer = receive(answer)?;
    if answer.len() > out {
        bail!("it says more than {out} bytes");
    }
    let complaints = receive(complaints)?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended { status, out: answer, err: complaints });
        }
        if now() >= end {
            bail!(late());
        }
        thread::sleep(STEP);
    }
}

/// Both pipes are read at once, so that the program waits for neither.
fn reading<P: Read + Send + 'static>(
    mut pipe: P,
    read: impl FnOnce(&mut P) -> io::Result<Vec<u8>> + Send + 'static,
) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        // Nobody listens any more once the time is over.
        let _ = sender.send(read(&mut pipe));
    });
    receiver
}

/// All there is, or one byte more than is allowed.
fn whole(pipe: &mut impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The end of all there is.
fn tail(pipe: &mut impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    loop {
        if pipe.take(most as u64).read_to_end(&mut kept)? == 0 {
            return Ok(kept);
        }
        kept.drain(..kept.len().saturating_sub(most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { time: Duration::from_secs(20), out: 1000, err: 10 };

    fn sh(script: &str, bounds: Bounds) -> anyhow::Result<Ended> {
        run(Command::new("/bin/sh").args(["-c", script]), bounds)
    }

    #[test]
    fn a_program_says_what_it_says_and_how_it_ended() {
        let ended = sh("echo answer; echo complaint, and at length >&2; exit 3", BOUNDS).unwrap();
        assert_eq!((ended.status.code(), &*ended.out, &*ended.err), (Some(3), &b"answer\n"[..], &b"at length\n"[..]));
    }

    #[test]
    fn a_program_that_says_too_much_is_ended() {
        let error = sh("while :; do echo more and more; done", BOUNDS).unwrap_err();
        assert_eq!(error.to_string(), "it says more than 1000 bytes");
        let noisy = "i=0; while [ $i -lt 5000 ]; do echo some more noise >&2; i=$((i+1)); done; echo answer";
        assert_eq!(sh(noisy, BOUNDS).unwrap().out, b"answer\n");
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let bounds = Bounds { time: Duration::from_millis(50), ..BOUNDS };
        for script in ["exec sleep 600", "exec >&- 2>&-; exec sleep 600"] {
            assert!(sh(script, bounds).unwrap_err().to_string().starts_with("it does not end within"), "{script}");
        }
    }

    #[test]
    fn what_is_no_program_cannot_be_started() {
        let error = run(&mut Command::new("/nonexistent/python"), BOUNDS).unwrap_err();
        assert!(format!("{error:#}").starts_with("it cannot be started: No such file"), "{error:#}");
    }
}
