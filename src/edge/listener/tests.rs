use std::sync::Mutex;
use std::time::SystemTime;

use http::StatusCode;
use pingora::http::ResponseHeader;
use pingora_core::apps::{HttpServerApp, ReusedHttpStream, ServerApp};
use pingora_core::protocols::http::ServerSession;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::*;
use crate::edge::bind::BoundListener;
use crate::edge::certificates::{Certificates, load};
use crate::edge::fixture::{self, Issuer};
use crate::edge::stream::{ClientStream, carried};
use crate::listen::{ListenerSection, Tls, build_listeners};
use crate::problem::Problems;

/// Answers each request with what it knows about its connection.
struct Echo;

#[async_trait]
impl HttpServerApp for Echo {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !session.read_request().await.ok()? {
            return None;
        }
        let arrival = carried(session.digest()?)?;
        let peer = arrival.peer.map_or("nobody".to_owned(), |peer| peer.to_string());
        let address = session.client_addr().and_then(|address| address.as_inet()).map(SocketAddr::ip);
        assert_eq!(address, arrival.peer);
        let answer = format!("{} {peer}", arrival.scheme.as_str());
        let mut header = ResponseHeader::build(StatusCode::OK, None).ok()?;
        header.insert_header("x-arrival", answer).ok()?;
        header.insert_header("content-length", "0").ok()?;
        session.set_keepalive(None);
        session.write_response_header(Box::new(header)).await.ok()?;
        session.finish().await.ok()?;
        None
    }
}

/// Serves HTTP as the gateway does, or holds connections open.
enum App {
    Http(Arc<Echo>),
    Hold(Notify),
}

#[async_trait]
impl Connected for App {
    async fn serve(&self, stream: Stream, _arrival: Arc<Arrival>, shutdown: &ShutdownWatch) {
        match self {
            Self::Http(echo) => drop(echo.process_new(stream, shutdown).await),
            Self::Hold(release) => release.notified().await,
        }
    }
}

#[derive(Default)]
struct Recorder {
    open: Arc<()>,
    handshakes: Mutex<Vec<Handshake>>,
    refused: Mutex<Vec<Refused>>,
}

impl Recorder {
    fn open(&self) -> usize {
        Arc::strong_count(&self.open) - 1
    }
}

impl AcceptEvents for Recorder {
    fn opened(&self, _listener: &str) -> Box<dyn Any + Send + Sync> {
        Box::new(self.open.clone())
    }

    fn handshake(&self, result: Handshake, _taken: Duration) {
        self.handshakes.lock().unwrap().push(result);
    }

    fn refused(&self, _listener: &str, reason: Refused) {
        self.refused.lock().unwrap().push(reason);
    }
}

struct World {
    listeners: Arc<Listeners>,
    events: Arc<Recorder>,
    shutdown: watch::Sender<bool>,
    service: JoinHandle<()>,
    issuer: Issuer,
    app: Arc<App>,
}

const PROMPT: AcceptDeadlines =
    AcceptDeadlines { proxy_header: Duration::from_millis(50), handshake: Duration::from_millis(50) };
const PATIENT: AcceptDeadlines =
    AcceptDeadlines { proxy_header: Duration::from_mins(1), handshake: Duration::from_mins(1) };

fn policy(deadlines: AcceptDeadlines) -> AcceptPolicy {
    AcceptPolicy { deadlines, max_connections: 100, proxies: Vec::new() }
}

fn sections(yaml: &str) -> Vec<Listener> {
    let sections: Vec<ListenerSection> = serde_yaml::from_str(yaml).unwrap();
    build_listeners(sections, true, &mut Problems::default()).unwrap()
}

impl World {
    fn start(yaml: &str, policy: AcceptPolicy) -> Self {
        Self::start_with(yaml, policy, App::Http(Arc::new(Echo)))
    }

    fn start_with(yaml: &str, policy: AcceptPolicy, app: App) -> Self {
        let issuer = Issuer::new();
        let tls = fixture::tls(vec![issuer.issue("a", &["example.com"])]);
        let (events, app) = (Arc::new(Recorder::default()), Arc::new(app));
        let listeners = sections(&yaml.replace("FOLDER", &issuer.path().display().to_string()));
        let bound = listeners.into_iter().map(|listener| BoundListener::bind(listener).unwrap()).collect();
        let listeners = Listeners::new(bound, Some(server(&tls)), policy, app.clone(), events.clone());
        let (shutdown, watching) = watch::channel(false);
        let mut service = listeners.service();
        let service = tokio::spawn(async move { service.start_service(None, watching, 1).await });
        Self { listeners, events, shutdown, service, issuer, app }
    }

    fn address(&self, index: usize) -> String {
        self.listeners.addresses()[index].clone()
    }

    async fn connect(&self, index: usize) -> TcpStream {
        TcpStream::connect(self.address(index)).await.unwrap()
    }

    fn client(&self, alpn: &[&str]) -> ClientConfig {
        fixture::client(&[&self.issuer.paths("a")], alpn)
    }

    async fn refused(&self, expected: Refused) {
        self.listeners.wait_idle().await;
        assert_eq!(*self.events.refused.lock().unwrap(), [expected]);
    }
}

fn server(tls: &Tls) -> Arc<TlsServer> {
    let loaded = load(tls, SystemTime::now(), &mut Problems::default()).unwrap();
    Arc::new(TlsServer::new(tls, Arc::new(Certificates::new(loaded))).unwrap())
}

async fn over_tls<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    client: ClientConfig,
) -> tokio_rustls::client::TlsStream<S> {
    let connector = TlsConnector::from(Arc::new(client));
    connector.connect(ServerName::try_from("example.com").unwrap(), stream).await.unwrap()
}

/// Sends one request and returns what the answer says about the connection.
async fn http1<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let told = answer.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("x-arrival: ").map(str::to_owned));
    told.unwrap_or_else(|| panic!("{answer:?}"))
}

async fn http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> String {
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://example.com/").body(()).unwrap();
    let answer = client.send_request(request, true).unwrap().0.await.unwrap();
    answer.headers()["x-arrival"].to_str().unwrap().to_owned()
}

/// Waits for the other side to close, and returns what it sent before.
async fn closed(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest).await {
        Ok(_) => rest,
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => rest,
        Err(error) => panic!("{error}"),
    }
}

mod arrivals {
    use super::*;

    const EVERYTHING: &str = r#"
      - {address: "127.0.0.1:0"}
      - {address: "[::]:0"}
      - {address: "127.0.0.1:0", tls: true}
      - {address: "unix:FOLDER/plain.sock"}
      - {address: "unix:FOLDER/tls.sock", tls: true}
    "#;

    #[tokio::test]
    async fn how_a_connection_came_reaches_its_requests_over_http1() {
        let world = World::start(EVERYTHING, policy(PATIENT));
        assert_eq!(http1(world.connect(0).await).await, "http 127.0.0.1");
        let port = world.listeners.open.borrow()[1].port().unwrap();
        let mapped = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        assert_eq!(http1(mapped).await, "http 127.0.0.1");
        let secure = over_tls(world.connect(2).await, world.client(&["http/1.1"])).await;
        assert_eq!(http1(secure).await, "https 127.0.0.1");
        let local = UnixStream::connect(world.issuer.file("plain.sock")).await.unwrap();
        assert_eq!(http1(local).await, "http nobody");
        let local = UnixStream::connect(world.issuer.file("tls.sock")).await.unwrap();
        assert_eq!(http1(over_tls(local, world.client(&[])).await).await, "https nobody");
    }

    #[tokio::test]
    async fn how_a_connection_came_reaches_its_requests_over_http2() {
        let world = World::start(EVERYTHING, policy(PATIENT));
        let secure = over_tls(world.connect(2).await, world.client(&["h2"])).await;
        assert_eq!(http2(secure).await, "https 127.0.0.1");
        let local = UnixStream::connect(world.issuer.file("tls.sock")).await.unwrap();
        assert_eq!(http2(over_tls(local, world.client(&["h2"])).await).await, "https nobody");
    }

    #[tokio::test]
    async fn the_proxys_session_tells_how_its_connection_came() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let [listener] = &sections(r#"[{address: "unix:/run/a"}]"#)[..] else { panic!("one listener") };
        let told = Arc::new(listener.arrival(None, None));
        let stream = ClientStream::plain(Socket::new(RawSocket::Unix(ours)), None, told.clone());
        let session = pingora_proxy::Session::new_h1(Box::new(stream));
        assert_eq!(crate::edge::stream::arrival(&session), Some(&told));
    }
}

mod proxy_headers {
    use super::*;

    const BEHIND_BALANCER: &str = r#"
      - {address: "127.0.0.1:0", proxy_protocol: true}
      - {address: "127.0.0.1:0", proxy_protocol: true, tls: true}
      - {address: "unix:FOLDER/edge.sock", proxy_protocol: true}
    "#;
    const HEADER: &[u8] = b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 51234 443\r\n";

    #[tokio::test]
    async fn the_header_names_the_client_on_every_kind_of_listener() {
        let world = World::start(BEHIND_BALANCER, policy(PATIENT));
        let mut plain = world.connect(0).await;
        plain.write_all(HEADER).await.unwrap();
        assert_eq!(http1(plain).await, "http 192.0.2.7");
        let mut secure = world.connect(1).await;
        secure.write_all(HEADER).await.unwrap();
        assert_eq!(http2(over_tls(secure, world.client(&["h2"])).await).await, "https 192.0.2.7");
        let mut local = UnixStream::connect(world.issuer.file("edge.sock")).await.unwrap();
        local.write_all(HEADER).await.unwrap();
        assert_eq!(http1(local).await, "http 192.0.2.7");
    }

    #[tokio::test]
    async fn the_balancers_own_connections_keep_its_address() {
        let world = World::start(BEHIND_BALANCER, policy(PATIENT));
        let mut stream = world.connect(0).await;
        stream.write_all(b"PROXY UNKNOWN\r\n").await.unwrap();
        assert_eq!(http1(stream).await, "http 127.0.0.1");
    }

    #[tokio::test]
    async fn a_connection_without_a_header_is_closed_without_a_word() {
        let world = World::start(BEHIND_BALANCER, policy(PATIENT));
        let mut stream = world.connect(0).await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").await.unwrap();
        assert_eq!(closed(stream).await, b"");
        world.refused(Refused::ProxyHeader).await;
    }

    #[tokio::test]
    async fn a_header_that_does_not_come_in_time_ends_the_connection() {
        let world = World::start(BEHIND_BALANCER, policy(AcceptDeadlines { handshake: PATIENT.handshake, ..PROMPT }));
        let mut stream = world.connect(1).await;
        stream.write_all(&HEADER[..20]).await.unwrap();
        assert_eq!(closed(stream).await, b"");
        world.refused(Refused::ProxyHeader).await;
    }

    #[tokio::test]
    async fn the_handshake_has_no_more_time_for_a_header_that_came_late() {
        let world =
            World::start(BEHIND_BALANCER, policy(AcceptDeadlines { proxy_header: PATIENT.proxy_header, ..PROMPT }));
        let mut stream = world.connect(1).await;
        tokio::time::sleep(PROMPT.handshake * 2).await;
        stream.write_all(HEADER).await.unwrap();
        assert_eq!(closed(stream).await, b"");
        world.refused(Refused::HandshakeTimeout).await;
    }

    #[tokio::test]
    async fn a_header_from_somebody_who_is_no_proxy_is_not_read() {
        let proxies = vec!["192.0.2.0/24".parse().unwrap()];
        let world = World::start(BEHIND_BALANCER, AcceptPolicy { proxies, ..policy(PATIENT) });
        let mut stream = world.connect(0).await;
        stream.write_all(HEADER).await.unwrap();
        assert_eq!(closed(stream).await, b"");
        world.refused(Refused::ProxyHeader).await;
    }
}

mod handshakes {
    use super::*;

    const TLS: &str = r#"[{address: "127.0.0.1:0", tls: true}]"#;

    #[tokio::test]
    async fn a_silent_client_is_closed_at_the_deadline() {
        let world = World::start(TLS, policy(PROMPT));
        assert_eq!(closed(world.connect(0).await).await, b"");
        world.refused(Refused::HandshakeTimeout).await;
        assert_eq!(*world.events.handshakes.lock().unwrap(), [Handshake::TimedOut]);
    }

    #[tokio::test]
    async fn half_a_handshake_is_closed_at_the_same_deadline() {
        let world = World::start(TLS, policy(PROMPT));
        let mut stream = world.connect(0).await;
        let hello = client_hello(world.client(&[]));
        stream.write_all(&hello).await.unwrap();
        let server_hello = closed(stream).await;
        assert_eq!(server_hello.first(), Some(&22), "a handshake record");
        world.refused(Refused::HandshakeTimeout).await;
    }

    fn client_hello(client: ClientConfig) -> Vec<u8> {
        let name = ServerName::try_from("example.com").unwrap();
        let mut connection = rustls::ClientConnection::new(Arc::new(client), name).unwrap();
        let mut hello = Vec::new();
        connection.write_tls(&mut hello).unwrap();
        hello
    }

    #[tokio::test]
    async fn what_is_not_tls_is_refused_with_an_alert() {
        let world = World::start(TLS, policy(PATIENT));
        let mut stream = world.connect(0).await;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(closed(stream).await.first(), Some(&21), "an alert record");
        world.refused(Refused::Handshake).await;
    }

    #[tokio::test]
    async fn an_unknown_name_is_counted_apart() {
        let world = World::start(TLS, policy(PATIENT));
        let connector = TlsConnector::from(Arc::new(world.client(&[])));
        let name = ServerName::try_from("unknown.org").unwrap();
        assert!(connector.connect(name, world.connect(0).await).await.is_err());
        world.refused(Refused::UnknownName).await;
        assert_eq!(*world.events.handshakes.lock().unwrap(), [Handshake::Failed]);
    }

    #[tokio::test]
    async fn a_handshake_that_drags_on_keeps_nobody_else_waiting() {
        let world = World::start(TLS, policy(PATIENT));
        let _silent = world.connect(0).await;
        let secure = over_tls(world.connect(0).await, world.client(&[])).await;
        assert_eq!(http1(secure).await, "https 127.0.0.1");
        assert_eq!(*world.events.handshakes.lock().unwrap(), [Handshake::Tls13]);
    }
}

mod counting {
    use super::*;

    const PLAIN: &str = r#"[{address: "127.0.0.1:0"}]"#;

    async fn until(world: &World, count: usize) {
        world.listeners.live.subscribe().wait_for(|live| *live == count).await.unwrap();
    }

    #[tokio::test]
    async fn connections_over_the_limit_are_closed_as_they_come() {
        let limit = AcceptPolicy { max_connections: 2, ..policy(PATIENT) };
        let world = World::start_with(PLAIN, limit, App::Hold(Notify::new()));
        let _held = [world.connect(0).await, world.connect(0).await];
        until(&world, 2).await;
        assert_eq!(closed(world.connect(0).await).await, b"");
        assert_eq!(*world.events.refused.lock().unwrap(), [Refused::Full]);
        let App::Hold(release) = &*world.app else { panic!("holds connections") };
        release.notify_one();
        until(&world, 1).await;
        let _let_in = world.connect(0).await;
        until(&world, 2).await;
    }

    #[tokio::test]
    async fn a_drain_ends_with_the_last_connection() {
        let world = World::start_with(PLAIN, policy(PATIENT), App::Hold(Notify::new()));
        let _held = world.connect(0).await;
        until(&world, 1).await;
        world.shutdown.send(true).unwrap();
        world.service.await.unwrap();
        assert_eq!((world.listeners.connections(), world.events.open()), (1, 1));
        let App::Hold(release) = &*world.app else { panic!("holds connections") };
        let (idle, ()) = tokio::join!(timeout(Duration::from_mins(1), world.listeners.wait_idle()), async {
            release.notify_one();
        });
        idle.unwrap();
        assert_eq!((world.listeners.connections(), world.events.open()), (0, 0));
    }
}

mod changes {
    use super::*;

    async fn refused(address: &str) -> bool {
        TcpStream::connect(address).await.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    }

    #[tokio::test]
    async fn shutdown_closes_the_sockets_at_once() {
        let world = World::start(r#"[{address: "127.0.0.1:0"}, {address: "unix:FOLDER/a.sock"}]"#, policy(PATIENT));
        let address = world.address(0);
        assert_eq!(http1(world.connect(0).await).await, "http 127.0.0.1");
        world.shutdown.send(true).unwrap();
        world.service.await.unwrap();
        assert!(refused(&address).await);
        assert!(!world.issuer.file("a.sock").exists());
    }

    #[tokio::test]
    async fn a_new_configuration_adds_keeps_and_removes_listeners() {
        let world = World::start(r#"[{address: "127.0.0.1:0"}, {address: "unix:FOLDER/a.sock"}]"#, policy(PATIENT));
        let (first, folder) = (world.address(0), world.issuer.path().display());
        let kept = http1(world.connect(0).await).await;
        assert_eq!(kept, "http 127.0.0.1");
        let next = sections(&format!(r#"[{{address: "127.0.0.1:0"}}, {{address: "unix:{folder}/b.sock"}}]"#));
        world.listeners.apply(&next, None, policy(PATIENT)).unwrap();
        assert_eq!(world.address(0), first);
        let added = UnixStream::connect(world.issuer.file("b.sock")).await.unwrap();
        assert_eq!(http1(added).await, "http nobody");
        assert_eq!(http1(world.connect(0).await).await, "http 127.0.0.1");
        assert!(!world.issuer.file("a.sock").exists());
    }

    #[tokio::test]
    async fn new_settings_hold_for_the_next_connection_to_a_kept_socket() {
        let world = World::start(r#"[{address: "127.0.0.1:0"}]"#, policy(PATIENT));
        let next = sections(r#"[{address: "127.0.0.1:0", tls: true}]"#);
        let tls = server(&fixture::tls(vec![world.issuer.paths("a")]));
        world.listeners.apply(&next, Some(tls), policy(PATIENT)).unwrap();
        let secure = over_tls(world.connect(0).await, world.client(&[])).await;
        assert_eq!(http1(secure).await, "https 127.0.0.1");
    }

    #[tokio::test]
    async fn a_configuration_that_cannot_be_bound_changes_nothing() {
        let world = World::start(r#"[{address: "127.0.0.1:0"}]"#, policy(PATIENT));
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let next = sections(&format!(r#"[{{address: "{}"}}]"#, taken.local_addr().unwrap()));
        assert!(world.listeners.apply(&next, None, policy(PROMPT)).is_err());
        assert_eq!(http1(world.connect(0).await).await, "http 127.0.0.1");
        assert_eq!(**world.listeners.policy.load(), policy(PATIENT));
    }
}

#[test]
fn a_lack_of_descriptors_is_no_matter_of_one_connection() {
    let check = |errno: i32, expected: bool| {
        assert_eq!(concerns_one_connection(&io::Error::from_raw_os_error(errno)), expected, "errno {errno}");
    };
    check(103, true); // ECONNABORTED
    check(24, false); // EMFILE
    check(23, false); // ENFILE
    check(12, false); // ENOMEM
}
