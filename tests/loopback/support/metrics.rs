//! What the gateway counts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::DEADLINE;
use super::client::Client;
use super::gateway::Gateway;

/// A section for metrics, on an address of their own.
pub(crate) const METRICS: &str = "metrics: {address: '127.0.0.9:0'}\n";

/// Where the metrics of a gateway are.
pub(crate) struct Metrics(SocketAddr);

impl Metrics {
    /// Of a gateway with [`METRICS`].
    pub(crate) fn of(gateway: &Gateway) -> Self {
        Self(gateway.address("127.0.0.9"))
    }

    /// As Prometheus gets them.
    pub(crate) fn text(&self) -> String {
        let response = Client::tcp(self.0).get("/metrics");
        assert_eq!(response.status(), 200);
        assert!(response.one("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
        response.text().to_owned()
    }

    /// All series by name with labels, without the common prefix.
    pub(crate) fn read(&self) -> BTreeMap<String, f64> {
        let text = self.text();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| line.rsplit_once(' ').unwrap());
        let name = |series: &str| series.strip_prefix("synapse_gateway_").unwrap().to_owned();
        series.map(|(series, value)| (name(series), value.parse().unwrap())).collect()
    }

    /// Waits until a series has a value.
    #[track_caller]
    pub(crate) fn wait(&self, series: &str, value: f64) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let found = self.read();
            if found.get(series).is_some_and(|found| (found - value).abs() < 0.5) {
                return;
            }
            assert!(Instant::now() < deadline, "{series} is not {value}: {found:#?}");
            // The metrics can only be asked, not waited for.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
