//! A Redis of the test's own, on a Unix socket in a directory of its own. The contract tests of the session store use
//! this file as well. `REDIS_SERVER` names another program, such as `valkey-server`.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A Redis that runs until it is dropped. It writes nothing to disk.
pub(crate) struct RedisServer {
    directory: TempDir,
    arguments: Vec<OsString>,
    process: Option<Child>,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::start_with(Vec::new())
    }

    /// Starts it with more arguments.
    pub(crate) fn start_with(arguments: Vec<OsString>) -> Self {
        let mut server = Self { directory: TempDir::new().unwrap(), arguments, process: None };
        server.start_again();
        server
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// Starts it after [`RedisServer::kill`], as empty as it was at first.
    pub(crate) fn start_again(&mut self) {
        let mut command = Command::new(std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into()));
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(self.socket());
        command.arg("--dir").arg(self.directory.path()).args(&self.arguments);
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        let mut process = spawned
            .unwrap_or_else(|error| panic!("these tests need redis-server (tests/install-deps.sh redis): {error}"));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        self.process = Some(process);
        assert!(lines.any(|line| line.contains("eady to accept connections")), "redis-server does not start");
        // It would end if it could not write its log.
        std::thread::spawn(move || lines.for_each(drop));
    }

    /// Kills it, with all that it holds.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = std::fs::remove_file(self.socket());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
