//! A client that speaks HTTP/2 over TLS.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, StatusCode};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::DEADLINE;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The header fields.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// Fields after the body.
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The value of a field that stands at most once.
    #[track_caller]
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.get_all(name).iter();
        let first = all.next().map(|value| value.to_str().unwrap());
        assert!(all.next().is_none(), "{name} stands more than once");
        first
    }
}

/// A connection to the gateway. Its frames are sent and read in the background.
pub(crate) struct H2 {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
    certificate: Vec<u8>,
}

impl H2 {
    /// Connects, with TLS and HTTP/2.
    pub(crate) fn connect(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let (sender, connection, certificate) = runtime.block_on(in_time(async {
            let tcp = TcpStream::connect(address).await.unwrap();
            tcp.set_nodelay(true).unwrap();
            let tls = TlsConnector::from(config).connect(name, tcp).await.unwrap();
            assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let certificate = tls.get_ref().1.peer_certificates().unwrap()[0].to_vec();
            let (sender, connection) = h2::client::handshake(tls).await.unwrap();
            (sender, connection, certificate)
        }));
        let connection = runtime.spawn(connection);
        Self { runtime, sender, connection, certificate }
    }

    /// The certificate that the gateway has shown, in DER.
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Waits for something, but not for ever.
    #[track_caller]
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(in_time(future))
    }

    /// Sends a request head. With `end` the request has no body.
    #[track_caller]
    pub(crate) fn send(&mut self, request: Request<()>, end: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let mut sender = self.wait(self.sender.clone().ready()).unwrap();
        sender.send_request(request, end).unwrap()
    }

    /// Whether the connection takes another request.
    pub(crate) fn is_open(&mut self) -> bool {
        self.wait(self.sender.clone().ready()).is_ok()
    }

    /// As [`H2::send`]; None if the connection takes no request any more.
    #[track_caller]
    pub(crate) fn try_send(&mut self, request: Request<()>, end: bool) -> Option<(ResponseFuture, SendStream<Bytes>)> {
        let mut sender = self.wait(self.sender.clone().ready()).ok()?;
        sender.send_request(request, end).ok()
    }

    /// Waits for an answer with all of its body.
    pub(crate) fn answer(&self, response: ResponseFuture) -> Result<Answer, h2::Error> {
        self.wait(whole(response))
    }

    /// Sends a request without a body, and waits for the answer.
    pub(crate) fn ask(&mut self, request: Request<()>) -> Result<Answer, h2::Error> {
        let (response, _) = self.send(request, true);
        self.answer(response)
    }

    /// Sends a GET request for a target.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.ask(get(target)).unwrap()
    }

    /// Waits until the gateway closes the connection.
    pub(crate) fn closed(self) {
        let Self { runtime, connection, sender, .. } = self;
        // Without this the client itself would close the connection once nothing is left to be done.
        let held = sender;
        let _ = runtime.block_on(in_time(connection)).unwrap();
        drop(held);
    }
}

/// A GET request for a target.
pub(crate) fn get(target: &str) -> Request<()> {
    Request::get(url(target)).body(()).unwrap()
}

/// A POST request for a target.
pub(crate) fn post(target: &str) -> Request<()> {
    Request::post(url(target)).body(()).unwrap()
}

fn url(target: &str) -> String {
    format!("https://matrix.example.com{target}")
}

async fn whole(response: ResponseFuture) -> Result<Answer, h2::Error> {
    let (parts, mut stream) = response.await?.into_parts();
    let body = drain(&mut stream).await?;
    let trailers = stream.trailers().await?;
    Ok(Answer { status: parts.status, headers: parts.headers, body, trailers })
}

async fn drain(stream: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        stream.flow_control().release_capacity(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("in time")
}
