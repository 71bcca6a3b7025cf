//! `/metrics`, on a listener of its own: what it says is not for clients.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Response, StatusCode};
use log::error;
use pingora_core::apps::ServerApp as _;
use pingora_core::apps::http_app::{HttpServer, ServeHttp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;

use super::bind::BoundListener;
use super::listener::{AcceptDeadlines, AcceptPolicy, Connected, Listeners};
use super::metrics::GatewayMetrics;
use crate::inbound::{Arrival, Serve};
use crate::listen::{Address, Listener};

/// Prometheus and a curious admin, with room to spare.
const MAX_CONNECTIONS: usize = 64;
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);

/// The listener of the metrics.
pub(super) fn listener(address: SocketAddr) -> Listener {
    Listener::plain(Address::Tcp(address), Serve::NONE)
}

/// Answers `/metrics`.
pub(super) struct Exposition {
    app: Arc<HttpServer<Page>>,
}

impl Exposition {
    /// Answers on a bound listener.
    pub(super) fn listeners(bound: BoundListener, metrics: Arc<GatewayMetrics>) -> Arc<Listeners> {
        let policy = AcceptPolicy {
            deadlines: AcceptDeadlines { proxy_header: DEADLINE, handshake: DEADLINE },
            max_connections: MAX_CONNECTIONS,
            proxies: Vec::new(),
        };
        let app = Arc::new(Self { app: Arc::new(HttpServer::new_app(Page { metrics: Arc::clone(&metrics) })) });
        Listeners::new(vec![bound], None, policy, app, metrics)
    }
}

#[async_trait]
impl Connected for Exposition {
    async fn serve(&self, stream: Stream, _arrival: Arc<Arrival>, shutdown: &ShutdownWatch) {
        self.app.process_new(stream, shutdown).await;
    }
}

struct Page {
    metrics: Arc<GatewayMetrics>,
}

#[async_trait]
impl ServeHttp for Page {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let (status, media_type, body) = match session.req_header().uri.path() {
            "/metrics" => match self.metrics.render() {
                Ok((media_type, body)) => (StatusCode::OK, media_type, body),
                Err(error) => {
                    error!("the metrics cannot be written: {error}");
                    (StatusCode::INTERNAL_SERVER_ERROR, "text/plain", b"the metrics cannot be written\n".to_vec())
                }
            },
            _ => (StatusCode::NOT_FOUND, "text/plain", b"the metrics are at /metrics\n".to_vec()),
        };
        let length = body.len();
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(media_type));
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        response
    }
}
