use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
use std::os::unix::net::UnixStream;

use tempfile::TempDir;

use super::*;
use crate::inbound::Serve;

fn listener(address: &str) -> Listener {
    Listener { mode: 0o640, ..Listener::plain(address.parse().unwrap(), Serve::ALL) }
}

fn bind(address: &str) -> Result<BoundListener, BindError> {
    BoundListener::bind(listener(address))
}

fn refusal(address: &str) -> String {
    match bind(address) {
        Ok(bound) => panic!("bound {bound}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_kernel_chooses_port_0_and_the_listener_prints_its_choice() {
    let bound = bind("127.0.0.1:0").unwrap();
    let port = bound.port().unwrap();
    assert_ne!(port, 0);
    assert_eq!(bound.to_string(), format!("127.0.0.1:{port}"));
}

#[test]
fn the_ipv6_wildcard_takes_ipv4_clients_too() {
    let bound = bind("[::]:0").unwrap();
    let port = bound.port().unwrap();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
}

#[test]
fn both_wildcards_can_have_one_port() {
    let first = bind("0.0.0.0:0").unwrap();
    let address = format!("[::]:{}", first.port().unwrap());
    assert!(BoundListener::bind(Listener { v6_only: true, ..listener(&address) }).is_ok());
}

#[test]
fn a_port_in_use_names_the_process_that_has_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let found = holder(address).unwrap();
    assert_eq!(found.pid, i32::try_from(std::process::id()).unwrap());
    let error =
        BindError::Held { address: Address::Tcp(address), holder: Holder { name: "nginx".to_owned(), pid: 123 } };
    assert_eq!(
        error.to_string(),
        format!("cannot listen on {address}: nginx (pid 123) has it; stop that program or choose another port")
    );
}

#[test]
fn a_port_of_our_own_is_told_as_such() {
    let taken = bind("127.0.0.1:0").unwrap();
    let wanted = format!("0.0.0.0:{}", taken.port().unwrap());
    assert_eq!(
        refusal(&wanted),
        format!(
            "cannot listen on {wanted}: the gateway itself has that port at another address; choose another port or restart it"
        )
    );
}

#[test]
fn the_port_of_a_listener_that_leaves_is_taken_over_while_that_still_accepts() {
    for (from, to) in [("127.0.0.1", "0.0.0.0"), ("127.0.0.1", "[::]"), ("[::]", "127.0.0.1"), ("[::]", "0.0.0.0")] {
        let leaving = bind(&format!("{from}:0")).unwrap();
        let port = leaving.port().unwrap();
        let wanted = format!("{to}:{port}");
        let bound = BoundListener::bind_beside(listener(&wanted), &[&leaving]);
        let bound = bound.unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(bind(&wanted).is_err(), "{from} to {to}: it is shared with nobody else");
        drop(leaving);
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        drop(bound);
        bind(&wanted).unwrap();
    }
}

#[test]
fn an_address_of_another_host_is_explained() {
    assert_eq!(
        refusal("192.0.2.1:0"),
        "cannot listen on 192.0.2.1:0: no interface of this host has that address; see `ip address`, or write a wildcard"
    );
}

#[test]
fn a_missing_permission_is_explained_by_the_port() {
    let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
    let low = refusal_of("0.0.0.0:443", denied());
    assert!(low.contains("AmbientCapabilities="), "{low}");
    assert_eq!(refusal_of("0.0.0.0:8443", denied()), "cannot listen on 0.0.0.0:8443: permission denied");
}

fn refusal_of(address: &str, error: io::Error) -> String {
    super::refusal(&address.parse().unwrap(), error).to_string()
}

#[test]
fn accepted_connections_inherit_their_options() {
    let bound = bind("127.0.0.1:0").unwrap();
    let BoundSocket::Tcp(listener) = &bound.socket else { panic!("not TCP") };
    listener.set_nonblocking(false).unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let accepted = socket2::SockRef::from(&accepted);
    assert!(accepted.tcp_nodelay().unwrap());
    assert!(accepted.keepalive().unwrap());
    assert_eq!(accepted.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
}

mod unix_sockets {
    use super::*;

    fn folder() -> (TempDir, PathBuf, String) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("edge.sock");
        let address = format!("unix:{}", path.display());
        (folder, path, address)
    }

    #[test]
    fn a_socket_has_its_mode_and_goes_with_its_listener() {
        let (_folder, path, address) = folder();
        let bound = bind(&address).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(UnixStream::connect(&path).is_ok());
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_nobody_answers_is_replaced() {
        let (_folder, path, address) = folder();
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _bound = bind(&address).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_socket_that_somebody_answers_is_left_alone() {
        let (_folder, path, address) = folder();
        let _theirs = UnixListener::bind(&path).unwrap();
        assert!(refusal(&address).contains("another program answers there"));
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let (_folder, path, address) = folder();
        std::fs::write(&path, "precious").unwrap();
        assert!(refusal(&address).contains("the file there is not a socket"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_socket_that_a_successor_put_in_place_stays() {
        let (_folder, path, address) = folder();
        let old = bind(&address).unwrap();
        std::fs::remove_file(&path).unwrap();
        let _successor = UnixListener::bind(&path).unwrap();
        drop(old);
        assert!(path.exists());
    }

    #[test]
    fn a_directory_that_does_not_exist_is_explained() {
        let (_folder, path, _) = folder();
        let address = format!("unix:{}/none/edge.sock", path.parent().unwrap().display());
        assert!(refusal(&address).ends_with("see whether the directory exists and this user may write to it"));
    }
}
