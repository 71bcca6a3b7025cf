//! What a running gateway does on orders: read its configuration again, and stop.

use std::num::NonZeroUsize;
use std::slice;
use std::sync::Arc;

use async_trait::async_trait;
use log::{error, info, warn};
use pingora_core::apps::HttpServerApp as _;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use pingora_proxy::HttpProxy;
use tokio::sync::{Mutex, mpsc, watch};

use super::bind::BoundListener;
use super::certificates::Certificates;
use super::control::{ReloadOrder, Reloaded};
use super::journal;
use super::listener::Listeners;
use super::metrics::GatewayMetrics;
use super::proxy::Proxy;
use super::server::{Prepared, Reread, accept_policy, running, tls_server};
use super::service_manager::ServiceManager;
use super::signals::{Order, Signals};
use super::state::State;
use crate::config::Config;
use crate::listen::Control;
use crate::observe;
use crate::rendezvous::Keeping;

/// What a reload cannot change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) threads: Option<NonZeroUsize>,
    pub(super) upstream_idle: usize,
    metrics: observe::Metrics,
    log_target: observe::LogTarget,
    log_format: observe::Format,
    pub(super) keeping: Keeping,
    control: Control,
}

impl Settled {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            threads: config.threads,
            upstream_idle: config.gateway.limits.upstream_idle,
            metrics: config.metrics.clone(),
            log_target: config.log.target.clone(),
            log_format: config.log.format,
            keeping: config.gateway.rendezvous.keeping().cloned().unwrap_or_default(),
            control: config.control.clone(),
        }
    }
}

/// What is done on orders.
pub(super) struct Operation {
    /// What comes by signals, and what by the control socket or from within.
    pub(super) orders: Mutex<(Signals, mpsc::Receiver<ReloadOrder>)>,
    pub(super) reread: Reread,
    pub(super) settled: Settled,
    pub(super) state: Arc<State>,
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) listeners: Arc<Listeners>,
    /// That of the metrics.
    pub(super) exposition: Option<Arc<Listeners>>,
    pub(super) proxy: Arc<HttpProxy<Proxy>>,
    pub(super) stopping: watch::Sender<bool>,
    pub(super) metrics: Arc<GatewayMetrics>,
    pub(super) service: Arc<ServiceManager>,
}

#[async_trait]
impl ShutdownSignalWatch for Operation {
    async fn recv(&self) -> ShutdownSignal {
        let mut orders = self.orders.lock().await;
        let (signals, wanted) = &mut *orders;
        let mut announced = false;
        loop {
            let (order, asker) = tokio::select! {
                () = self.all_accept(), if !announced => {
                    self.announce();
                    announced = true;
                    continue;
                }
                order = signals.next() => (order, None),
                Some(asker) = wanted.recv() => (Order::Reload, asker),
            };
            match order {
                Order::Reload => {
                    let outcome = self.reload().await;
                    if let Some(asker) = asker {
                        // Whoever asked may have left.
                        drop(asker.send(outcome));
                    }
                }
                Order::Stop => break,
            }
        }
        self.drain(signals, wanted).await;
        // Everything is done, or may not take longer. A fast shutdown would not wait until what is left has been dropped,
        // and written down.
        ShutdownSignal::GracefulTerminate
    }
}

impl Operation {
    async fn all_accept(&self) {
        self.listeners.all_accept().await;
        if let Some(exposition) = &self.exposition {
            exposition.all_accept().await;
        }
    }

    /// Connections are served from now on.
    fn announce(&self) {
        self.service.keep(&self.sockets());
        self.service.ready();
    }

    /// The sockets that outlive this process, if somebody keeps them.
    fn sockets(&self) -> Vec<Arc<BoundListener>> {
        let exposition = self.exposition.iter().flat_map(|exposition| exposition.sockets());
        self.listeners.sockets().into_iter().chain(exposition).collect()
    }

    async fn reload(&self) -> Reloaded {
        self.service.reloading();
        // Reading files blocks, which is harmless here: this thread serves nobody.
        let (prepared, told) = (self.reread)();
        let outcome = match prepared {
            Some(prepared) => match self.apply(prepared).await {
                Ok(settled) => {
                    let warnings: Vec<String> = told.into_iter().chain(settled.map(str::to_owned)).collect();
                    for warning in &warnings {
                        warn!("{warning}");
                    }
                    Reloaded::Applied(warnings)
                }
                Err(error) => Reloaded::Failed(format!("{error:#}")),
            },
            None => Reloaded::Wrong(told),
        };
        let refused = match &outcome {
            Reloaded::Applied(_) => None,
            Reloaded::Wrong(problems) => Some(&problems[..]),
            Reloaded::Failed(message) => Some(slice::from_ref(message)),
        };
        if let Some(problems) = refused {
            // Each on a line of its own, as `check` tells them.
            for problem in problems {
                error!("{problem}");
            }
            error!("the configuration was not reloaded, the old one stays in use");
            self.metrics.reload(observe::Reload::Refused);
        } else {
            info!("the configuration was reloaded");
            self.metrics.reload(observe::Reload::Applied);
        }
        self.state.access_log.reopen();
        self.service.ready();
        outcome
    }

    /// Puts a configuration in use; what of it is not, if anything.
    async fn apply(&self, prepared: Prepared) -> anyhow::Result<Option<&'static str>> {
        let Prepared { config, certificates: loaded, store_password: _ } = prepared;
        let certificates = match (&self.certificates, loaded) {
            (Some(certificates), Some(loaded)) => Some((certificates, loaded)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => anyhow::bail!("TLS was switched on or off, which takes a restart"),
        };
        let settled = (Settled::of(&config) != self.settled).then_some(
            "`threads`, `metrics`, `control`, `limits.upstream_idle`, `log.target`, `log.format` and where rendezvous \
             sessions are kept change at the next restart only",
        );
        let tls = tls_server(&config, certificates.as_ref().map(|(certificates, _)| *certificates))?;
        let (listeners, policy, level) = (config.listeners.clone(), accept_policy(&config), config.log.level);
        let running = running(config);
        for pool in running.pools.iter() {
            pool.resolve().await;
        }
        self.listeners.apply(&listeners, tls, policy)?;
        self.service.keep(&self.sockets());
        if let Some((certificates, loaded)) = certificates {
            certificates.replace(loaded);
        }
        self.state.replace(running);
        journal::set_level(level);
        Ok(settled)
    }

    async fn drain(&self, signals: &mut Signals, wanted: &mut mpsc::Receiver<ReloadOrder>) {
        let running = self.state.running();
        let grace = running.gateway.timeouts.shutdown_grace;
        self.service.stopping();
        if self.service.is_there() {
            // It may have been asked for a restart, and then gives the sockets to the next process.
            self.sockets().iter().for_each(|bound| bound.outlive());
        }
        self.listeners.close().await;
        self.stopping.send_replace(true);
        // Wakes the connections that wait for a next request.
        self.proxy.http_cleanup().await;
        info!("stopping: {} connections are open, and have {grace:?} to finish", self.listeners.connections());
        tokio::select! {
            () = self.listeners.wait_idle() => info!("stopped"),
            () = tokio::time::sleep(grace) => {
                warn!("stopped with {} connections open: the grace period is over", self.listeners.connections());
            }
            () = stop_again(signals, wanted) => warn!("stopped at once: a second signal came"),
        }
    }
}

/// There is nothing to be reloaded any more, and whoever asks for it is told so.
async fn stop_again(signals: &mut Signals, wanted: &mut mpsc::Receiver<ReloadOrder>) {
    loop {
        tokio::select! {
            order = signals.next() => match order {
                Order::Reload => {}
                Order::Stop => return,
            },
            Some(asker) = wanted.recv() => drop(asker),
        }
    }
}
