//! The binary run to its end.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::DEADLINE;

/// How a run ended and what it wrote.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit code; None after a signal.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

/// Runs `synapse-gateway` with these arguments in a directory, with `input` on standard input. Backtraces are switched
/// on: none may show all the same.
pub(crate) fn run(directory: &Path, arguments: &[&str], input: &str) -> Finished {
    run_in(&[], directory, arguments, input)
}

/// As [`run`], with these variables in its environment.
pub(crate) fn run_in(environment: &[(&str, &Path)], directory: &Path, arguments: &[&str], input: &str) -> Finished {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synapse-gateway"));
    command.args(arguments).current_dir(directory).env("RUST_BACKTRACE", "1").env_remove("JOURNAL_STREAM");
    command.env_remove("NOTIFY_SOCKET").env_remove("RUNTIME_DIRECTORY").envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Whoever reads no input may have closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let out = reading(child.stdout.take().unwrap());
    let err = reading(child.stderr.take().unwrap());
    let deadline = Instant::now() + DEADLINE;
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("{arguments:?} does not end; it wrote {:?}", err.join().unwrap());
        }
        // The standard library can only wait for ever or not at all.
        thread::sleep(Duration::from_millis(5));
    };
    Finished { code, out: out.join().unwrap(), err: err.join().unwrap() }
}

fn reading(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}
