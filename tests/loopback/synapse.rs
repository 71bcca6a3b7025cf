//! Synapse's own configuration taken over, by a service that never opens it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::DEADLINE;
use crate::support::command::run;
use crate::support::gateway::Gateway;
use crate::support::metrics::{METRICS, Metrics};
use crate::support::told::Told;
use crate::support::upstream::{Then, Upstream, answer};

const SYNC: &str = "/_matrix/client/v3/sync?since=s1";

fn named(name: &'static str) -> Upstream {
    Upstream::new(move |_, peer| peer.send(answer("200 OK", name)).map_or(Then::Close, |()| Then::Next))
}

fn listener(upstream: &Upstream) -> String {
    let port = upstream.address().rsplit(':').next().unwrap().to_owned();
    format!(
        "  - port: {port}\n    bind_addresses: ['127.0.0.1']\n    type: http\n    x_forwarded: true\n    \
         request_id_header: X-Request-Id\n    resources: [{{names: [client, federation]}}]\n"
    )
}

/// Debian's layout, with one worker.
fn configure(folder: &Path, main: &Upstream, sync: &Upstream) {
    fs::create_dir_all(folder.join("workers")).unwrap();
    let homeserver = format!(
        "server_name: example.com\npublic_baseurl: https://matrix.example.com/\nmacaroon_secret_key: a-secret\n\
         redis: {{enabled: true}}\nlisteners:\n{}",
        listener(main)
    );
    fs::write(folder.join("homeserver.yaml"), homeserver).unwrap();
    let worker =
        format!("worker_app: synapse.app.generic_worker\nworker_name: sync1\nworker_listeners:\n{}", listener(sync));
    fs::write(folder.join("workers/sync1.yaml"), worker).unwrap();
}

fn yaml(folder: &Path, watch: &str) -> String {
    format!(
        "synapse: {{config: '{}', watch: {watch}, version: '1.163'}}\nlisteners: [{{address: '127.0.0.1:0'}}]\n\
         health: {{interval: 10m}}\ncontrol: {{socket: '{{dir}}/control.sock'}}\n{METRICS}",
        folder.display()
    )
}

fn who(gateway: &Gateway, target: &str) -> String {
    Told::from(gateway.client().get(target)).text().to_owned()
}

/// Waits until something holds.
#[track_caller]
fn until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline);
        // Nothing tells when it does.
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn processes_are_those_of_synapse_s_own_configuration() {
    let (main, sync, folder) = (named("main"), named("sync"), TempDir::new().unwrap());
    configure(folder.path(), &main, &sync);
    let gateway = Gateway::start(&yaml(folder.path(), "off"));
    assert_eq!(who(&gateway, SYNC), "sync");
    assert_eq!(who(&gateway, "/_matrix/client/v3/rooms/!r:a/report/$e"), "main");
    let shown = run(gateway.directory(), &["explain", "-c", "gateway.yaml", "GET", SYNC], "");
    assert!(shown.out.contains("sync1"), "{shown:?}");
    let checked = run(gateway.directory(), &["check", "-c", "gateway.yaml"], "");
    assert_eq!(checked.code, Some(0), "{checked:?}");
    // A worker that comes is there after a reload.
    fs::remove_file(folder.path().join("workers/sync1.yaml")).unwrap();
    let reloaded = run(gateway.directory(), &["reload", "-c", "gateway.yaml"], "");
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    assert_eq!(who(&gateway, SYNC), "main");
    // What Synapse would not start with is no reason to stop.
    fs::write(folder.path().join("homeserver.yaml"), "password: \"a-secret\n").unwrap();
    let refused = run(gateway.directory(), &["reload", "-c", "gateway.yaml"], "");
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert_eq!(who(&gateway, SYNC), "main");
    assert!(!gateway.lines().iter().any(|line| line.contains("a-secret")), "{:#?}", gateway.lines());
}

#[test]
fn a_service_is_given_what_it_needs_and_reads_nothing_else() {
    let (main, sync, folder) = (named("main"), named("sync"), TempDir::new().unwrap());
    configure(folder.path(), &main, &sync);
    let own = TempDir::new().unwrap();
    let file = own.path().join("gateway.yaml");
    let text = yaml(folder.path(), "apply").replace("{dir}", own.path().to_str().unwrap());
    fs::write(&file, &text).unwrap();
    let runtime = own.path().join("runtime");
    fs::create_dir(&runtime).unwrap();
    // Although it could read Synapse's files here.
    let mut service = Command::new(env!("CARGO_BIN_EXE_synapse-gateway"));
    service.args(["run", "-c"]).arg(&file).env("RUNTIME_DIRECTORY", &runtime);
    let refused = service.output().unwrap();
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{complaint}");
    assert!(
        complaint.contains("synapse.config: nothing was derived") && complaint.contains("import-synapse"),
        "{complaint}"
    );

    let directory = runtime.to_str().unwrap();
    let helped = run(own.path(), &["import-synapse", "-c", "gateway.yaml", "--directory", directory], "");
    assert_eq!(helped.code, Some(0), "{helped:?}");
    let left = fs::read_to_string(runtime.join("synapse.yaml")).unwrap();
    assert!(left.contains("sync1:") && !left.contains("secret"), "{left}");
    let gateway = Gateway::start_in(&[("RUNTIME_DIRECTORY", &runtime)], &yaml(folder.path(), "apply"));
    assert_eq!(who(&gateway, SYNC), "sync");
    // A change is a request to whoever may read it, and the helper's next run is the answer.
    fs::remove_file(folder.path().join("workers/sync1.yaml")).unwrap();
    until(|| runtime.join("synapse-changed").exists());
    let helped = run(own.path(), &["import-synapse", "-c", "gateway.yaml", "--directory", directory], "");
    assert_eq!(helped.code, Some(0), "{helped:?}");
    assert!(!runtime.join("synapse-changed").exists());
    assert_eq!(run(gateway.directory(), &["reload", "-c", "gateway.yaml"], "").code, Some(0));
    assert_eq!(who(&gateway, SYNC), "main");
}

#[test]
fn a_link_in_the_runtime_directory_leads_the_helper_nowhere() {
    let (main, sync, folder) = (named("main"), named("sync"), TempDir::new().unwrap());
    configure(folder.path(), &main, &sync);
    let own = TempDir::new().unwrap();
    fs::write(own.path().join("gateway.yaml"), yaml(folder.path(), "off")).unwrap();
    fs::write(own.path().join("precious"), "untouched").unwrap();
    for name in ["synapse.yaml", "synapse.new"] {
        std::os::unix::fs::symlink(own.path().join("precious"), own.path().join(name)).unwrap();
    }
    let directory = own.path().to_str().unwrap();
    let helped = run(own.path(), &["import-synapse", "-c", "gateway.yaml", "--directory", directory], "");
    assert_eq!(helped.code, Some(0), "{helped:?}");
    assert_eq!(fs::read_to_string(own.path().join("precious")).unwrap(), "untouched");
    assert!(fs::symlink_metadata(own.path().join("synapse.yaml")).unwrap().is_file());
}

#[test]
fn a_change_of_synapse_s_configuration_is_told_or_taken_over() {
    for watch in ["notify", "apply"] {
        let (main, sync, folder) = (named("main"), named("sync"), TempDir::new().unwrap());
        configure(folder.path(), &main, &sync);
        let gateway = Gateway::start(&yaml(folder.path(), watch));
        assert_eq!(who(&gateway, SYNC), "sync");
        let metrics = Metrics::of(&gateway);
        metrics.wait("synapse_config_changed", 0.0);
        fs::remove_file(folder.path().join("workers/sync1.yaml")).unwrap();
        if watch == "notify" {
            gateway.line(|line| {
                line.starts_with("warning: Synapse's configuration has changed") && line.contains("sync1.yaml")
            });
            metrics.wait("synapse_config_changed", 1.0);
            assert_eq!(who(&gateway, SYNC), "sync", "and nothing else has happened");
        } else {
            gateway.line(|line| line == "the configuration was reloaded");
            assert_eq!(who(&gateway, SYNC), "main");
            metrics.wait("synapse_config_changed", 0.0);
        }
    }
}
