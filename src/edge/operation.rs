//! What a running gateway does on orders: read its configuration again, hand over to another process, and stop.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use log::{error, info, warn};
use pingora_core::apps::HttpServerApp as _;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use pingora_proxy::HttpProxy;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::bind::BoundListener;
use super::certificates::Certificates;
use super::control::{Door, ReloadOrder, Reloaded};
use super::handover::{Arrival, Estate, Failed, Guest, Program, Ready, give, send_for};
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

/// How long connections that wait for a request are kept once another process serves, at most.
const LAST_REQUESTS: Duration = Duration::from_secs(10);
/// How long they are kept otherwise: a client that was just accepted sends its first request within a round trip.
const FIRST_REQUESTS: Duration = Duration::from_secs(1);

/// How long it may take to tell whoever asked that another process has taken over.
const TELLING: Duration = Duration::from_secs(2);

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

    /// The keys that differ.
    fn changed(&self, other: &Self) -> Vec<&'static str> {
        let keys = [
            ("threads", self.threads != other.threads),
            ("limits.upstream_idle", self.upstream_idle != other.upstream_idle),
            ("metrics", self.metrics != other.metrics),
            ("log.target", self.log_target != other.log_target),
            ("log.format", self.log_format != other.log_format),
            ("rendezvous.store", self.keeping != other.keeping),
            ("control", self.control != other.control),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
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
    pub(super) metrics: Arc<GatewayMetrics>,
    pub(super) service: Arc<ServiceManager>,
    /// The control socket.
    pub(super) control: Option<Arc<BoundListener>>,
    pub(super) door: Arc<Door>,
    /// Brings in a new process.
    pub(super) guest: Arc<Guest>,
    pub(super) program: Program,
    /// What is to be said to the process whose place this one takes.
    pub(super) arrival: StdMutex<Option<Arrival>>,
}

#[async_trait]
impl ShutdownSignalWatch for Operation {
    async fn recv(&self) -> ShutdownSignal {
        let mut orders = self.orders.lock().await;
        let (signals, wanted) = &mut *orders;
        let mut announced = false;
        let end = loop {
            let order = tokio::select! {
                () = self.all_accept(), if !announced => {
                    self.announce();
                    announced = true;
                    continue;
                }
                order = signals.next() => match order {
                    Order::Reload => Wish { starts: false, hands_over: true, told: None },
                    Order::Stop => break End::Stopped,
                },
                Some(order) = wanted.recv() => Wish::from(order),
            };
            if let Some(end) = self.reload(order, signals).await {
                break end;
            }
        };
        self.drain(end, signals, wanted).await;
        // Everything is done, or may not take longer. A fast shutdown would not wait until what is left has been dropped,
        // and written down.
        ShutdownSignal::GracefulTerminate
    }
}

/// A reload that somebody wants.
struct Wish {
    /// Whether they start a new process where it takes one.
    starts: bool,
    /// Whether it may take one.
    hands_over: bool,
    told: Option<mpsc::Sender<Reloaded>>,
}

impl From<ReloadOrder> for Wish {
    fn from(order: ReloadOrder) -> Self {
        match order {
            // That Synapse's configuration has changed is no reason to go over to a program that was installed meanwhile.
            ReloadOrder::Within => Self { starts: false, hands_over: false, told: None },
            ReloadOrder::Asked { starts, told } => Self { starts, hands_over: true, told: Some(told) },
        }
    }
}

/// Why the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was told to.
    Stopped,
    /// Another process serves.
    Succeeded,
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
        let arrival = self.arrival.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(arrival) = arrival
            && let Err(error) = arrival.accepting(self.control_path())
        {
            warn!("the process before this one has not said farewell: {error:#}");
        }
        self.service.speak();
        let sockets = self.sockets();
        sockets.iter().chain(&self.control).for_each(|bound| bound.own());
        self.service.keep(&sockets);
        self.service.ready();
    }

    /// The sockets that outlive this process, if somebody keeps them.
    fn sockets(&self) -> Vec<Arc<BoundListener>> {
        let exposition = self.exposition.iter().flat_map(|exposition| exposition.sockets());
        self.listeners.sockets().into_iter().chain(exposition).collect()
    }

    /// Reads the configuration again, and puts it in use, here or in a new process. What then ends this one, if anything.
    async fn reload(&self, wish: Wish, signals: &mut Signals) -> Option<End> {
        self.service.reloading();
        let (outcome, end) = self.renew(&wish, signals).await;
        let refused = match &outcome {
            Reloaded::Applied(_) | Reloaded::Start(_) | Reloaded::HandedOver(..) => None,
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
        } else if let Reloaded::HandedOver(pid, why) = &outcome {
            info!("process {pid} has taken over: {why}");
        } else {
            info!("the configuration was reloaded");
            self.metrics.reload(observe::Reload::Applied);
        }
        self.state.access_log.reopen();
        // Says nothing where another process speaks for the service.
        self.service.ready();
        if let Some(told) = wish.told {
            // Whoever asked may have left.
            if told.send(outcome).await.is_ok() && end.is_some() && timeout(TELLING, told.closed()).await.is_err() {
                warn!("whoever asked for the reload has not heard what came of it");
            }
        }
        end
    }

    async fn renew(&self, wish: &Wish, signals: &mut Signals) -> (Reloaded, Option<End>) {
        let hands_over = wish.hands_over && self.can_hand_over();
        if hands_over && let Some(replaced) = self.program.replaced() {
            // The new program knows better what is right.
            return self.hand_over(format!("{replaced} was replaced"), wish, signals).await;
        }
        // Reading files blocks, which is harmless here: this thread serves nobody.
        let (prepared, told) = (self.reread)();
        let Some(prepared) = prepared else { return (Reloaded::Wrong(told), None) };
        let changed = self.changed(&prepared);
        if hands_over && !changed.is_empty() {
            return self.hand_over(format!("{} changed", changed.join(", ")), wish, signals).await;
        }
        let outcome = match self.apply(prepared).await {
            Ok(()) => {
                let settled =
                    (!changed.is_empty()).then(|| format!("{}: changes at the next restart only", changed.join(", ")));
                let warnings: Vec<String> = told.into_iter().chain(settled).collect();
                for warning in &warnings {
                    warn!("{warning}");
                }
                Reloaded::Applied(warnings)
            }
            Err(error) => Reloaded::Failed(format!("{error:#}")),
        };
        (outcome, None)
    }

    /// The keys whose change takes a new process.
    fn changed(&self, prepared: &Prepared) -> Vec<&'static str> {
        let tls = self.certificates.is_some() != prepared.certificates.is_some();
        self.settled.changed(&Settled::of(&prepared.config)).into_iter().chain(tls.then_some("tls")).collect()
    }

    /// A new process finds this one by its control socket. In a container all processes end with the first.
    fn can_hand_over(&self) -> bool {
        self.control.is_some() && std::process::id() != 1
    }

    async fn hand_over(&self, why: String, wish: &Wish, signals: &mut Signals) -> (Reloaded, Option<End>) {
        info!("a new process is to take over: {why}");
        let given = tokio::select! {
            given = self.give(&why, wish) => given,
            () = stop(signals) => return (Reloaded::Failed("the gateway is stopping".to_owned()), Some(End::Stopped)),
            () = left(wish) => Err(Failed::Otherwise("whoever asked for it has left".to_owned())),
        };
        self.guest.forget();
        let admitted = match given {
            Ok(ready) => ready.admit(&self.estate(&self.all_sockets())).await,
            Err(failed) => Err(failed),
        };
        match admitted {
            Ok(pid) => (Reloaded::HandedOver(pid, why), Some(End::Succeeded)),
            Err(Failed::Wrong(problems)) => (Reloaded::Wrong(problems), None),
            Err(Failed::Otherwise(message)) => (Reloaded::Failed(message), None),
        }
    }

    async fn give(&self, why: &str, wish: &Wish) -> Result<Ready, Failed> {
        let starts = match &wish.told {
            Some(told) if wish.starts => told.try_send(Reloaded::Start(why.to_owned())).is_ok(),
            Some(_) | None => false,
        };
        let sockets = self.all_sockets();
        let start = || match &self.control_path() {
            Some(socket) if !starts => self.program.start(socket).map(Some),
            Some(_) | None => Ok(None),
        };
        let (stream, child) = send_for(&self.guest, start).await?;
        let given = give(stream, &self.estate(&sockets)).await;
        if let (Err(_), Some(mut child)) = (&given, child) {
            // It ends by itself once it has said why.
            tokio::task::spawn_blocking(move || child.wait());
        }
        given
    }

    fn control_path(&self) -> Option<PathBuf> {
        self.control.as_ref().and_then(|bound| bound.settings().address.path().map(Path::to_owned))
    }

    /// With that of the control socket.
    fn all_sockets(&self) -> Vec<Arc<BoundListener>> {
        self.sockets().into_iter().chain(self.control.clone()).collect()
    }

    fn estate<'a>(&'a self, sockets: &'a [Arc<BoundListener>]) -> Estate<'a> {
        Estate { state: &self.state, service: &self.service, door: &self.door, sockets }
    }

    /// Puts a configuration in use, as far as that does not take another process.
    async fn apply(&self, prepared: Prepared) -> anyhow::Result<()> {
        let Prepared { config, certificates: loaded, store_password: _ } = prepared;
        let certificates = match (&self.certificates, loaded) {
            (Some(certificates), Some(loaded)) => Some((certificates, loaded)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => anyhow::bail!("TLS was switched on or off, which takes a restart"),
        };
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
        Ok(())
    }

    async fn drain(&self, end: End, signals: &mut Signals, wanted: &mut mpsc::Receiver<ReloadOrder>) {
        let running = self.state.running();
        let grace = running.gateway.timeouts.shutdown_grace;
        self.service.stopping();
        if end == End::Succeeded || self.service.is_there() {
            // Another process has them; or this one was asked for a restart, and the next one gets them.
            self.sockets().iter().for_each(|bound| bound.outlive());
        }
        if end == End::Succeeded {
            self.control.iter().for_each(|bound| bound.outlive());
            if let Some(exposition) = &self.exposition {
                exposition.close().await;
            }
        }
        self.listeners.close().await;
        self.state.stop();
        info!("stopping: {} connections are open, and have {grace:?} to finish", self.listeners.connections());
        tokio::select! {
            () = self.last_requests(end, grace) => info!("stopped"),
            () = tokio::time::sleep(grace) => {
                warn!("stopped with {} connections open: the grace period is over", self.listeners.connections());
            }
            () = stop_again(signals, wanted) => warn!("stopped at once: a second signal came"),
        }
    }

    async fn last_requests(&self, end: End, grace: Duration) {
        // A request may be on its way on a connection that waits for one. It is answered, and told that it was the last.
        let expected = match end {
            End::Succeeded => LAST_REQUESTS,
            End::Stopped => FIRST_REQUESTS,
        };
        if timeout((grace / 3).min(expected), self.listeners.wait_idle()).await.is_ok() {
            return;
        }
        // Wakes the connections that wait for a next request.
        self.proxy.http_cleanup().await;
        self.listeners.wait_idle().await;
    }
}

/// Returns when the process is to stop.
async fn stop(signals: &mut Signals) {
    while signals.next().await != Order::Stop {}
}

/// Returns when whoever wants something has left.
async fn left(wish: &Wish) {
    match &wish.told {
        Some(told) => told.closed().await,
        None => std::future::pending().await,
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
