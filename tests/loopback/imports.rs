//! What the systemd unit runs before it starts the gateway: is it configured, and can it read its certificates?

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::certificates::{Kind, NAME, client_config, sign};
use crate::support::command::{Finished, run, run_in};
use crate::support::gateway::Gateway;
use crate::support::h2::H2;

/// A user who is not root, and may read nothing of root's.
const NOBODY: u32 = 65534;

#[test]
fn a_template_that_nobody_has_edited_is_no_configuration() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("gateway.yaml");
    let asked = || run(directory.path(), &["configured", "-c", "gateway.yaml"], "");
    let check = |code: i32| {
        let Finished { code: ended, out, err } = asked();
        assert_eq!((ended, out.as_str()), (Some(code), ""), "{err}");
        assert_eq!(err.lines().count(), usize::from(code != 0), "{err}");
        assert!(code == 0 || err.contains("synapse-gateway check"), "{err}");
    };
    check(1);
    fs::write(&file, "# server_name: example.com\n#\n# tls:\n#   cert: a.pem\n").unwrap();
    check(1);
    // A file of its own says something too.
    fs::create_dir(directory.path().join("conf.d")).unwrap();
    fs::write(directory.path().join("conf.d/10.yaml"), "server_name: example.com\n").unwrap();
    check(0);
    fs::remove_file(directory.path().join("conf.d/10.yaml")).unwrap();
    check(1);
    // `run` is to say what is wrong with it.
    for text in ["server_name: example.com\n", "server_name: [\n", "- a\n"] {
        fs::write(&file, text).unwrap();
        check(0);
    }
}

/// Directories of a service: its configuration, with a certificate whose key is closed to everybody but root, and its
/// runtime directory, which belongs to somebody else if this test is root's.
struct Service {
    directory: TempDir,
    is_root: bool,
}

impl Service {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let is_root = fs::metadata(directory.path()).unwrap().uid() == 0;
        let service = Self { directory, is_root };
        let runtime = service.runtime();
        fs::create_dir(&runtime).unwrap();
        if is_root {
            chown(&runtime, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(&runtime, Permissions::from_mode(0o700)).unwrap();
        service.renew();
        fs::write(service.path("gateway.yaml"), service.yaml()).unwrap();
        service
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn runtime(&self) -> PathBuf {
        self.path("run")
    }

    fn yaml(&self) -> String {
        format!(
            "server_name: example.com\npublic_baseurl: https://{NAME}\nupstreams: {{main: {{address: '127.0.0.1:1'}}}}\n\
             tls: {{cert: '{}', key: '{}', reload: signal}}\nlisteners: [{{address: '127.0.0.2:0', tls: true}}]\n",
            self.path("cert.pem").display(),
            self.path("key.pem").display()
        )
    }

    /// Issues another certificate.
    fn renew(&self) {
        let signed = sign(&[NAME], Kind::Ecdsa);
        fs::write(self.path("cert.pem"), signed.cert).unwrap();
        let _ = fs::remove_file(self.path("key.pem"));
        fs::write(self.path("key.pem"), signed.key).unwrap();
    }

    /// From then on nobody but root can read the key.
    fn close(&self) {
        fs::set_permissions(self.path("key.pem"), Permissions::from_mode(0o000)).unwrap();
    }

    fn import(&self) -> Finished {
        self.run(&["import-certificates", "-c", "gateway.yaml"])
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        run_in(&[("RUNTIME_DIRECTORY", &self.runtime())], self.directory.path(), arguments, "")
    }

    fn copies(&self) -> Vec<PathBuf> {
        fs::read_dir(self.path("run/tls")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// The gateway as the service's user.
    fn start(&self) -> Gateway {
        Gateway::launch(&self.yaml(), |command, directory| {
            command.env("RUNTIME_DIRECTORY", self.runtime());
            if self.is_root {
                own(directory);
                command.uid(NOBODY).gid(NOBODY);
            }
        })
    }
}

fn own(directory: &Path) {
    for place in [directory.to_owned(), directory.join("gateway.yaml")] {
        chown(place, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

fn shown(gateway: &Gateway) -> Vec<u8> {
    H2::connect(gateway.address("127.0.0.2"), NAME, client_config(&["h2"])).certificate().to_vec()
}

#[test]
fn a_key_that_the_service_cannot_read_is_copied_for_it_and_renewed_at_a_reload() {
    let service = Service::new();
    let imported = service.import();
    assert_eq!((imported.code, imported.err.as_str()), (Some(0), ""), "{imported:?}");
    service.close();
    for copy in service.copies() {
        let found = fs::metadata(copy).unwrap();
        let runtime = fs::metadata(service.runtime()).unwrap();
        assert_eq!((found.mode() & 0o777, found.uid()), (0o400, runtime.uid()));
    }
    assert_eq!(service.copies().len(), 2);
    let gateway = service.start();
    let first = shown(&gateway);

    service.renew();
    assert_eq!(service.import().code, Some(0));
    service.close();
    gateway.signal("HUP");
    gateway.line(|line| line == "the configuration was reloaded");
    assert_ne!(shown(&gateway), first);
}

#[test]
fn check_says_which_files_have_copies() {
    let service = Service::new();
    let check = || service.run(&["check", "-c", "gateway.yaml"]).out;
    assert!(!check().contains("copy"));
    assert_eq!(service.import().code, Some(0));
    let (key, runtime) = (service.path("key.pem"), service.runtime());
    let line = |text: &str| text.lines().find(|line| line.starts_with(&*key.to_string_lossy())).unwrap().to_owned();
    assert!(line(&check()).contains(" has the copy ") && check().contains(&*runtime.to_string_lossy()));
    service.renew();
    assert!(line(&check()).contains("systemctl reload"), "{}", check());
}

#[test]
fn a_configuration_that_others_can_write_is_not_believed() {
    let service = Service::new();
    fs::set_permissions(service.path("gateway.yaml"), Permissions::from_mode(0o666)).unwrap();
    let imported = service.import();
    assert_eq!((imported.code, imported.out.as_str()), (Some(1), ""));
    assert!(imported.err.contains("gateway.yaml could be changed by others"), "{}", imported.err);
    assert!(!service.path("run/tls").exists());
}

#[test]
fn a_file_that_is_not_there_fails_and_leaves_the_earlier_copies() {
    let service = Service::new();
    assert_eq!(service.import().code, Some(0));
    fs::remove_file(service.path("key.pem")).unwrap();
    let imported = service.import();
    assert_eq!(imported.code, Some(1));
    assert!(imported.err.contains("key.pem: No such file"), "{}", imported.err);
    assert_eq!(service.copies().len(), 2);
}

#[test]
fn nothing_is_copied_for_a_configuration_that_cannot_be_understood() {
    let service = Service::new();
    fs::write(service.path("gateway.yaml"), "tls: {cert: [}\n").unwrap();
    let imported = service.import();
    // The start or the reload that follows fails, and says why.
    assert_eq!(imported.code, Some(0));
    assert!(imported.err.contains("synapse-gateway check"), "{}", imported.err);
    assert!(!service.path("run/tls").exists());
}
