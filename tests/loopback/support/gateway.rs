//! The gateway as a process.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::DEADLINE;
use super::certificates::{self, NAME};
use super::client::Client;
use super::h2::H2;
use super::upstream::Upstream;

/// A gateway that runs until it is dropped.
pub(crate) struct Gateway {
    child: Child,
    directory: TempDir,
    lines: Arc<Lines>,
    addresses: HashMap<IpAddr, SocketAddr>,
}

#[derive(Default)]
struct Lines {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Lines {
    /// A test that fails while it waits for a line still shows the lines.
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gateway {
    /// Starts a gateway in front of an upstream: in the clear on 127.0.0.1, and with TLS on 127.0.0.2. `more` are further
    /// sections.
    pub(crate) fn before(upstream: &Upstream, more: &str) -> Self {
        Self::at(&upstream.address(), more)
    }

    /// As [`Gateway::before`], for an upstream at this address.
    pub(crate) fn at(upstream: &str, more: &str) -> Self {
        let listeners = "listeners: [{address: '127.0.0.1:0'}, {address: '127.0.0.2:0', tls: true}]\n";
        Self::start(&format!("{}{listeners}{more}", preamble(upstream)))
    }

    /// Starts a gateway with listeners of the test's own. Each has an IP address of its own, by which
    /// [`Gateway::address`] tells them apart, and port 0. `{dir}` in `yaml` becomes [`Gateway::directory`].
    pub(crate) fn start(yaml: &str) -> Self {
        Self::launch(yaml, |_, _| ())
    }

    /// As [`Gateway::start`], on a machine that trusts the tests' authority.
    pub(crate) fn trusting(yaml: &str) -> Self {
        Self::start_in(&[("SSL_CERT_FILE", &certificates::authority())], yaml)
    }

    /// As [`Gateway::start`], with these variables in its environment.
    pub(crate) fn start_in(environment: &[(&str, &Path)], yaml: &str) -> Self {
        Self::launch(yaml, |command, _| {
            command.envs(environment.iter().copied());
        })
    }

    /// As [`Gateway::start`]; `adjust` has a last word on the command, and is told the directory.
    pub(crate) fn launch(yaml: &str, adjust: impl FnOnce(&mut Command, &Path)) -> Self {
        let directory = TempDir::new().unwrap();
        let file = write(directory.path(), yaml);
        let wanted = listeners(&std::fs::read_to_string(&file).unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_synapse-gateway"));
        command.args(["run", "-c"]).arg(file).stdin(Stdio::null()).stdout(Stdio::null());
        for name in ["JOURNAL_STREAM", "NOTIFY_SOCKET", "RUNTIME_DIRECTORY"] {
            command.env_remove(name);
        }
        adjust(&mut command, directory.path());
        // A process that takes over is in the group too, and ends with the test.
        command.stderr(Stdio::piped()).process_group(0);
        let mut child = spawn(&mut command);
        // It has what it was passed; we must not have that too.
        drop(command);
        let lines = Arc::new(Lines::default());
        let (stderr, sink) = (child.stderr.take().unwrap(), Arc::clone(&lines));
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                sink.lock().push(line);
                sink.changed.notify_all();
            }
        });
        let mut gateway = Self { child, directory, lines, addresses: HashMap::new() };
        let up = |lines: &[String]| {
            let up: Vec<String> = lines.iter().filter_map(|line| listening(line)).collect();
            (up.len() >= wanted).then_some(up)
        };
        gateway.addresses = gateway
            .wait_lines(up)
            .iter()
            .filter_map(|up| up.parse().ok())
            .map(|up: SocketAddr| (up.ip(), up))
            .collect();
        gateway
    }

    /// Where the listener with this IP address is.
    pub(crate) fn address(&self, ip: &str) -> SocketAddr {
        self.addresses[&ip.parse().unwrap()]
    }

    /// A connection in the clear.
    pub(crate) fn client(&self) -> Client {
        Client::tcp(self.address("127.0.0.1"))
    }

    /// A connection over TLS, for HTTP/1.1.
    pub(crate) fn tls_client(&self) -> Client {
        Client::tls(self.address("127.0.0.2"), NAME, certificates::client_config(&["http/1.1"])).unwrap()
    }

    /// A connection over TLS, for HTTP/2.
    pub(crate) fn h2(&self) -> H2 {
        H2::connect(self.address("127.0.0.2"), NAME, certificates::client_config(&["h2"]))
    }

    /// A directory of the gateway's own, which has its configuration as `gateway.yaml`.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes another configuration in place of the first; it is read at a reload. `{dir}` is as in [`Gateway::start`].
    pub(crate) fn configure(&self, yaml: &str) {
        write(self.directory(), yaml);
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process id of the n-th one that has taken over, counted from 1.
    #[track_caller]
    pub(crate) fn successor(&self, number: usize) -> u32 {
        self.wait_lines(|lines| {
            let told = |line: &String| Some(line.strip_prefix("process ")?.split_once(" has taken over")?.0.to_owned());
            lines.iter().filter_map(told).nth(number - 1)?.parse().ok()
        })
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the gateway does not end");
            // The standard library can only wait for ever or not at all.
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it has written to standard error so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().clone()
    }

    /// Waits for a line on standard error.
    #[track_caller]
    pub(crate) fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_lines(|lines| lines.iter().find(|line| wanted(line)).cloned())
    }

    /// Waits for the access log's line about the request with this id.
    #[track_caller]
    pub(crate) fn logged(&self, request_id: &str) -> Value {
        self.log_where(|entry| entry["request_id"] == request_id)
    }

    /// Waits for a line of the access log.
    #[track_caller]
    pub(crate) fn log_where(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_lines(|lines| {
            let mut entries = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            entries.find(|entry| entry["request_id"].is_string() && wanted(entry))
        })
    }

    /// The lines of the access log so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        let lines = self.lines();
        let entries = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.filter(|entry| entry["request_id"].is_string()).collect()
    }

    /// Waits until the lines are such that `look` finds something in them.
    #[track_caller]
    pub(crate) fn wait_lines<T>(&self, look: impl Fn(&[String]) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let mut lines = self.lines.lock();
        loop {
            if let Some(found) = look(&lines) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not to be found in: {lines:#?}");
            lines = self.lines.changed.wait_timeout(lines, left).unwrap().0;
        }
    }
}

impl Drop for Gateway {
    #[expect(clippy::print_stdout, reason = "captured with the test's other output, and shown where the test fails")]
    fn drop(&mut self) {
        let group = format!("-{}", self.pid());
        let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
        let lines = self.lines();
        if thread::panicking() {
            let mut shown = String::from("the gateway wrote:\n");
            for line in lines {
                let _ = writeln!(shown, "  {line}");
            }
            print!("{shown}");
        } else if let Some(line) = lines.iter().find(|line| line.contains("internal error, please report it")) {
            panic!("{line}");
        }
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap().success());
}

/// The sections that every configuration has: names, upstream and certificate. A process that is not there is noticed at
/// once, and nobody is probed.
pub(crate) fn preamble(upstream: &str) -> String {
    format!("{}restart_grace: 0s\nhealth: {{interval: 10m}}\nsynapse: {{version: '1.163'}}\n", identity(upstream))
}

/// As [`preamble`], with probes and patience as they are by default.
pub(crate) fn identity(upstream: &str) -> String {
    let (cert, key) = certificates::shared();
    format!(
        "server_name: example.com\npublic_baseurl: https://{NAME}\nupstreams: {{main: {{address: '{upstream}'}}}}\n\
         tls: {{cert: '{}', key: '{}'}}\n",
        cert.display(),
        key.display()
    )
}

fn write(directory: &Path, yaml: &str) -> PathBuf {
    let file = directory.join("gateway.yaml");
    std::fs::write(&file, yaml.replace("{dir}", directory.to_str().unwrap())).unwrap();
    file
}

/// Another test that forks at the wrong moment holds the file of a program that was just written, until it executes its
/// own.
fn spawn(command: &mut Command) -> Child {
    let begun = Instant::now();
    loop {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && begun.elapsed() < DEADLINE => {
                thread::sleep(Duration::from_millis(10));
            }
            spawned => return spawned.unwrap(),
        }
    }
}

/// How many listeners a configuration has, that of the metrics included.
fn listeners(yaml: &str) -> usize {
    let read: serde_yaml::Value = serde_yaml::from_str(yaml).unwrap();
    let metrics = usize::from(read["metrics"]["address"].is_string());
    read["listeners"].as_sequence().map_or(0, Vec::len) + metrics
}

/// The address in a line that says that a listener is up.
fn listening(line: &str) -> Option<String> {
    line.strip_prefix("listening on ").map(|address| address.trim_end_matches(" (tls)").to_owned())
}
