//! A new process that does not get as far as to serve: the old one goes on as if nothing had happened.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{VERSIONS, command, serving, with_program, yaml};
use crate::support::DEADLINE;
use crate::support::asked::over_h1;
use crate::support::client::{Client, get};
use crate::support::command::Finished;
use crate::support::gateway::Gateway;
use crate::support::manager::Manager;
use crate::support::upstream::{Upstream, fine};

const SESSIONS: &str = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous";
const ENABLED: &str = "rendezvous: {enabled: true}\n";

/// Has a reload fail; what is said of it.
#[track_caller]
fn reload_fails(gateway: &Gateway, code: i32) -> String {
    let finished = command(gateway, &["reload"]);
    assert_eq!((finished.code, finished.out.as_str()), (Some(code), ""), "{finished:?}");
    assert_eq!(serving(gateway), gateway.pid());
    assert_eq!(gateway.client().get(VERSIONS).status(), 200);
    assert_eq!(gateway.h2().get(VERSIONS).status, 200);
    finished.err
}

fn replace(program: &Path, script: &str) {
    let new = program.with_extension("new");
    fs::write(&new, script).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, program).unwrap();
}

#[test]
fn what_is_wrong_with_the_configuration_is_told_by_the_process_that_found_it() {
    let upstream = Upstream::answering(fine());
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("synapse-gateway");
    let gateway = with_program(&program, &yaml(&upstream.address(), ""));
    // By the one that runs, where it is the one that would be started.
    gateway.configure(&yaml(&upstream.address(), "threads: many\n"));
    let told = reload_fails(&gateway, 78);
    assert!(told.contains("error: threads: "), "{told}");
    // By the new one, where the old one cannot know what is right.
    super::install(&program);
    let told = reload_fails(&gateway, 78);
    assert!(told.contains("error: threads: ") && told.contains("was not reloaded"), "{told}");
    gateway.line(|line| line.starts_with("a new process is to take over: "));
}

#[test]
fn a_port_that_is_taken_is_told() {
    let upstream = Upstream::answering(fine());
    let manager = Manager::new();
    let gateway = Gateway::launch(&yaml(&upstream.address(), ""), |command, _| manager.environment(command));
    manager.heard("READY=1", 1);
    let taken = TcpListener::bind("127.0.0.3:0").unwrap();
    let address = taken.local_addr().unwrap();
    let more = format!(", {{address: '{address}'}}]\nthreads: 2\n");
    let text = yaml(&upstream.address(), "");
    gateway.configure(&text.replace("tls: true}]\n", &format!("tls: true}}{more}")));
    let told = reload_fails(&gateway, 1);
    assert!(told.contains(&format!("cannot listen on {address}: ")), "{told}");
    // The service manager is told of the beginning and of the end, and of no other process.
    manager.heard("READY=1", 2);
    assert!(!manager.messages().iter().any(|message| message.starts_with("MAINPID=")));
    // The next one succeeds.
    drop(taken);
    let finished = command(&gateway, &["reload"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn a_program_that_does_not_run_is_told() {
    let upstream = Upstream::answering(fine());
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("synapse-gateway");
    let gateway = with_program(&program, &yaml(&upstream.address(), ""));
    replace(&program, "#!/bin/sh\nexit 3\n");
    let told = reload_fails(&gateway, 1);
    assert!(told.contains("the new process has ended (exit status: 3) before it took over"), "{told}");
    replace(&program, "no program at all");
    let told = reload_fails(&gateway, 1);
    assert!(told.contains("it cannot be started: "), "{told}");
    // One that has gone is no reason for another process.
    fs::remove_file(&program).unwrap();
    let finished = command(&gateway, &["reload"]);
    assert_eq!((finished.code, finished.out.as_str()), (Some(0), "the configuration is in use\n"));
}

#[test]
fn a_process_that_does_not_show_itself_is_not_waited_for_for_ever() {
    let upstream = Upstream::answering(fine());
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("synapse-gateway");
    let gateway = with_program(&program, &yaml(&upstream.address(), ""));
    replace(&program, "#!/bin/sh\nexec sleep 60\n");
    let told = reload_fails(&gateway, 1);
    assert!(told.contains("no new process has shown itself within 10s"), "{told}");
}

#[test]
fn nobody_can_take_over_unasked() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::start(&yaml(&upstream.address(), ""));
    let mut stream = UnixStream::connect(gateway.directory().join("control.sock")).unwrap();
    stream.write_all(b"{\"order\":\"take_over\"}\n").unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    assert!(told.contains("no process is to take over"), "{told}");
    let finished = crate::support::command::run(
        gateway.directory(),
        // As the orphan of a process that is gone.
        &["run", "-c", "gateway.yaml", "--take-over", "control.sock", "--orphan-of", "0"],
        "",
    );
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.err.contains("the gateway that runs does not hand over"), "{finished:?}");
    assert_eq!(gateway.client().get(VERSIONS).status(), 200);
}

#[test]
fn a_gateway_that_is_stopped_while_another_is_to_take_over_stops() {
    let upstream = Upstream::answering(fine());
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("synapse-gateway");
    let mut gateway = with_program(&program, &yaml(&upstream.address(), ""));
    replace(&program, "#!/bin/sh\nexec sleep 60\n");
    let reload = Reload::start(&gateway);
    gateway.line(|line| line.starts_with("a new process is to take over: "));
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0));
    let finished = reload.finish();
    assert!(finished.err.contains("the gateway is stopping"), "{finished:?}");
}

/// A reload under way.
struct Reload(Child);

impl Reload {
    fn start(gateway: &Gateway) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synapse-gateway"));
        command.args(["reload", "-c", "gateway.yaml"]).current_dir(gateway.directory()).env_remove("RUNTIME_DIRECTORY");
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn finish(self) -> Finished {
        let output = self.0.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Finished { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A new process that does as it should up to the point where the sessions are its own.
struct Impostor {
    lines: BufReader<UnixStream>,
}

impl Impostor {
    fn ready(gateway: &Gateway) -> Self {
        let mut impostor = Self::welcome(gateway);
        // The descriptors are lost on whoever reads like this.
        for _ in 0..3 {
            assert!(impostor.line().contains("socket"));
        }
        impostor.lines.get_mut().write_all(b"{\"new\":\"ready\"}\n").unwrap();
        assert!(impostor.line().contains("sessions"));
        impostor
    }

    /// Shows itself until it is expected, which is a moment after the gateway has said so.
    fn welcome(gateway: &Gateway) -> Self {
        let begun = Instant::now();
        loop {
            let mut stream = UnixStream::connect(gateway.directory().join("control.sock")).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.write_all(b"{\"order\":\"take_over\"}\n").unwrap();
            let mut impostor = Self { lines: BufReader::new(stream) };
            let told = impostor.line();
            if told.contains("welcome") {
                return impostor;
            }
            assert!(told.contains("no process is to take over") && begun.elapsed() < DEADLINE, "{told}");
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }
}

fn create(client: &mut Client) -> String {
    let told = over_h1(client, "POST", SESSIONS, &[("content-type", "text/plain")], "payload");
    assert_eq!(told.status, 201, "{told:?}");
    let url = told.json()["url"].as_str().unwrap().to_owned();
    url[url.find("/_").unwrap()..].to_owned()
}

#[test]
fn sessions_come_back_from_a_process_that_dies_with_them() {
    let upstream = Upstream::answering(fine());
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("synapse-gateway");
    let gateway = with_program(&program, &yaml(&upstream.address(), ENABLED));
    let session = create(&mut gateway.client());
    replace(&program, "#!/bin/sh\nexec sleep 60\n");
    let reload = Reload::start(&gateway);
    gateway.line(|line| line.starts_with("a new process is to take over: "));
    let impostor = Impostor::ready(&gateway);
    // Who asks now waits, and everybody else does not.
    let mut waiting = gateway.client();
    waiting.send(get(&session));
    assert_eq!(gateway.client().get(VERSIONS).status(), 200);
    assert!(waiting.response_within(Duration::from_millis(300)).is_none());
    drop(impostor);
    assert_eq!(waiting.response().text(), "payload");
    create(&mut waiting);
    let finished = reload.finish();
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.err.contains("the new process was lost"), "{finished:?}");
    assert_eq!(serving(&gateway), gateway.pid());
}

/// What [`sessions_come_back_from_a_process_that_hangs_with_them`] starts: a process of its own, which is killed.
#[test]
fn a_process_that_hangs_with_the_sessions() {
    let Some(directory) = std::env::var_os("IMPOSTOR_OF") else { return };
    let mut stream = UnixStream::connect(Path::new(&directory).join("control.sock")).unwrap();
    stream.write_all(b"{\"order\":\"take_over\"}\n").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    stream.write_all(b"{\"new\":\"ready\"}\n").unwrap();
    thread::sleep(3 * DEADLINE);
}

#[test]
fn sessions_come_back_from_a_process_that_hangs_with_them() {
    let upstream = Upstream::answering(fine());
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("synapse-gateway");
    let gateway = with_program(&program, &yaml(&upstream.address(), ENABLED));
    let session = create(&mut gateway.client());
    let test = std::env::current_exe().unwrap();
    replace(
        &program,
        &format!(
            "#!/bin/sh\nIMPOSTOR_OF='{}' exec '{}' --exact handover::failing::a_process_that_hangs_with_the_sessions \
             >/dev/null 2>&1\n",
            gateway.directory().display(),
            test.display()
        ),
    );
    let reload = Reload::start(&gateway);
    let finished = reload.finish();
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.err.contains("the new process does not go on"), "{finished:?}");
    assert_eq!(gateway.client().get(&session).text(), "payload");
    assert_eq!(serving(&gateway), gateway.pid());
}
