//! The life of the process: bind, serve, reload, drain.

use std::path::Path;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use async_trait::async_trait;
use http::HeaderValue;
use log::warn;
use pingora_core::protocols::Stream;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server, ShutdownWatch};
use pingora_core::services::background::background_service;
use pingora_proxy::HttpProxy;
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::access_log::AccessLog;
use super::bind::{BindError, BoundListener};
use super::certificates::{Certificates, Loaded};
use super::connection::Front;
use super::control::{self, ControlService, Controls, Door};
use super::exposition::{self, Exposition};
use super::handover::{Guest, Predecessor, Program};
use super::health::HealthWatch;
use super::housekeeping::Housekeeping;
use super::inherited::Inherited;
use super::journal;
use super::listener::{AcceptDeadlines, AcceptEvents, AcceptPolicy, Connected, Listeners};
use super::metrics::{GatewayMetrics, ProcessCounters};
use super::operation::{Operation, Settled};
use super::pool::{Pool, Pools};
use super::proxy::Proxy;
use super::recognition::Recognition;
use super::service_manager::{Reach, ServiceManager, StatusLine, Watchdog};
use super::signals::Signals;
use super::state::{Running, State};
use super::store::{self, Password, Shelf, Store};
use super::synapse_watch::{SynapseWatch, Watched};
use super::throttle::Throttle;
use super::tls::{TlsServer, install_crypto};
use super::watch::CertificateWatch;
use crate::config::Config;
use crate::inbound::Arrival;
use crate::listen::Listener;

/// How often a request is sent again, or its connection made again, at most: at each address of each process that could
/// answer, and once more after a restart.
const MAX_ATTEMPTS: usize = 16;
/// How long names may take to resolve before connections are accepted all the same.
const FIRST_RESOLVE: Duration = Duration::from_secs(2);
/// How long it may take to drop what is left when the process ends.
const DROP_WITHIN: Duration = Duration::from_secs(2);
/// How long the last lines of the access log may take.
const LAST_LINES: Duration = Duration::from_secs(2);

/// A configuration that is fit to be run: checked, with its certificates read.
pub struct Prepared {
    /// What was configured.
    pub config: Config,
    /// The certificates; None if no listener speaks TLS.
    pub certificates: Option<Loaded>,
    /// The password of the Redis that has the rendezvous sessions; None where it takes none.
    pub store_password: Option<Password>,
}

/// Reads the configuration again, and says what is wrong with it: with errors nothing is prepared.
pub type Reread = Box<dyn Fn() -> (Option<Prepared>, Vec<String>) + Send + Sync>;

/// Serves until a signal ends it, or another process has taken over. Fails if a port cannot be bound or a file not be
/// opened. `config` is where the configuration comes from.
///
/// Where there is a `predecessor`, it serves until this process does.
pub fn run(
    prepared: Prepared,
    reread: Reread,
    config: &Path,
    mut predecessor: Option<Predecessor>,
) -> anyhow::Result<()> {
    let program = Program::running(config).context("the program of this process cannot be found")?;
    match Gateway::new(prepared, reread, program, predecessor.as_mut()) {
        Ok(gateway) => gateway.serve(predecessor),
        Err(error) => {
            if let Some(predecessor) = predecessor {
                predecessor.give_up(vec![format!("{error:#}")], false);
            }
            Err(error)
        }
    }
}

/// All that there is of a gateway before it serves.
struct Gateway {
    server: Server,
    operation: Operation,
    shelf: Option<Shelf>,
}

impl Gateway {
    fn new(
        prepared: Prepared,
        reread: Reread,
        program: Program,
        mut predecessor: Option<&mut Predecessor>,
    ) -> anyhow::Result<Self> {
        install_crypto();
        let Prepared { config, certificates, store_password } = prepared;
        journal::start(config.log.level);
        let setup = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Before the first line that says that we listen, after which somebody may send one.
        let orders = setup.block_on(async { Signals::take_over() }).context("signals cannot be received")?;
        // Before anything else: whoever starts a second gateway, or has nginx running, is to know at once.
        let (service, sockets) = Sockets::of_process(&config, predecessor.as_deref_mut())?;
        let started = Instant::now();

        let metrics = Arc::new(GatewayMetrics::new(SystemTime::now()).context("the metrics clash")?);
        let access_log = AccessLog::start(&config.log, metrics.access_log_dropped())?;
        let certificates = certificates.map(|loaded| Arc::new(Certificates::new(loaded)));
        let tls = tls_server(&config, certificates.as_ref())?;
        let policy = accept_policy(&config);
        let threads = threads(&config);
        let settled = Settled::of(&config);
        let (store, shelf) = store::open(&settled.keeping, store_password.as_ref())?;
        let state = Arc::new(State::new(running(config), store, Arc::clone(&metrics), access_log));
        if let Some(predecessor) = predecessor {
            predecessor.drained.iter().for_each(|process| state.drain(process, true));
            // One that this version does not know is found out again.
            if let Ok(release) = predecessor.release.parse() {
                state.is_release(release);
            }
        }
        let usage = Arc::clone(&state);
        metrics.watch_rendezvous(move |protocol| usage.store.usage(protocol));
        let usage = Arc::clone(&state);
        metrics.watch_upstreams(move || usage.running().pools.iter().map(Pool::usage).collect());
        resolve_first(&state, &setup);
        // A plain drop would wait for a resolver that hangs.
        setup.shutdown_background();

        let conf = server_conf(threads, &settled);
        let mut server = Server::new_with_opt_and_conf(None, conf);
        let mut proxy = HttpProxy::new(Proxy::new(Arc::clone(&state)), Arc::clone(&server.configuration));
        proxy.handle_init_modules();
        let proxy = Arc::new(proxy);
        let stop = state.stopping();
        let front = Arc::new(FrontDoor { front: Front::new(Arc::clone(&proxy), Arc::clone(&state)), stop });
        let listeners =
            Listeners::new(sockets.listeners, tls, policy, front, Arc::clone(&metrics) as Arc<dyn AcceptEvents>);
        server.add_service(listeners.watched_service(Watchdog::new(&service)));
        let exposition = sockets.exposition.map(|bound| Exposition::listeners(bound, Arc::clone(&metrics)));
        if let Some(exposition) = &exposition {
            server.add_service(exposition.service());
        }
        let status = StatusLine::new(Arc::clone(&service), Arc::clone(&state), Arc::clone(&listeners));
        server.add_service(background_service("status", status));
        let housekeeping = Housekeeping::new(Arc::clone(&state), certificates.clone());
        server.add_service(background_service("housekeeping", housekeeping));
        server.add_service(background_service("health", HealthWatch::new(Arc::clone(&state))));
        if let Some(certificates) = &certificates {
            server.add_service(background_service("certificates", CertificateWatch::new(Arc::clone(certificates))));
        }
        let (reload, wanted) = mpsc::channel(1);
        let synapse_watch = SynapseWatch::new(Arc::clone(&state), reload.clone());
        server.add_service(background_service("synapse configuration", synapse_watch));
        let (control, guest) = (sockets.control.map(Arc::new), Arc::new(Guest::default()));
        let door = Arc::new(Door::default());
        if let Some(bound) = control.clone() {
            let (state, listeners, guest) = (Arc::clone(&state), Arc::clone(&listeners), Arc::clone(&guest));
            let controls = Controls { state, listeners, reload, guest, started };
            server.add_service(background_service("control", ControlService::new(bound, controls, Arc::clone(&door))));
        }
        let operation = Operation {
            orders: Mutex::new((orders, wanted)),
            reread,
            settled,
            state,
            certificates,
            listeners,
            exposition,
            proxy,
            metrics,
            service,
            control,
            door,
            guest,
            program,
            arrival: StdMutex::default(),
        };
        Ok(Self { server, operation, shelf })
    }

    fn serve(self, predecessor: Option<Predecessor>) -> anyhow::Result<()> {
        let Self { server, operation, shelf } = self;
        let state = Arc::clone(&operation.state);
        let room = state.running().gateway.rendezvous.room();
        match predecessor {
            Some(predecessor) => {
                let (sessions, arrival) = predecessor.sessions().context("the gateway before this one")?;
                store::move_in(&state.store, &sessions, room);
                *operation.arrival.lock().unwrap_or_else(PoisonError::into_inner) = Some(arrival);
            }
            None => store::start(&state.store, shelf.as_ref(), room),
        }
        server.run(RunArgs { shutdown_signal: Box::new(operation) });
        if let Store::Memory(store) = &state.store {
            store::put_away(store, shelf.as_ref());
        }
        if !state.access_log.flush(LAST_LINES) {
            warn!("the last lines of the access log could not be written");
        }
        Ok(())
    }
}

/// The sockets that a configuration wants.
struct Sockets {
    listeners: Vec<BoundListener>,
    exposition: Option<BoundListener>,
    control: Option<BoundListener>,
}

impl Sockets {
    /// Those of a process that takes another's place, or of one that the service manager has started.
    fn of_process(
        config: &Config,
        predecessor: Option<&mut Predecessor>,
    ) -> Result<(Arc<ServiceManager>, Self), BindError> {
        if let Some(predecessor) = predecessor {
            let Predecessor { reach, kept, pid, sockets, .. } = predecessor;
            let service = ServiceManager::silent(reach.clone(), kept.clone());
            let sockets = Self::obtain(config, std::mem::take(sockets), |_| ());
            return Ok((Arc::new(service), sockets.map_err(|error| error.beside(*pid))?));
        }
        let service = ServiceManager::new(Reach::given());
        // Nobody accepts on these any more, so that an address of theirs is free once they are closed.
        let sockets = Self::obtain(config, Inherited::given(), |rest| service.discard(&rest.close()))?;
        Ok((Arc::new(service), sockets))
    }

    /// Takes those that are there already, does with the rest what `release` does, and binds what is missing. All of them
    /// or none.
    fn obtain(
        config: &Config,
        mut inherited: Inherited,
        release: impl FnOnce(&mut Inherited),
    ) -> Result<Self, BindError> {
        let exposition = config.metrics.address.map(exposition::listener);
        let control = control::listener(&config.control);
        let mut take = |listener: Listener| (inherited.take(&listener), listener);
        let listeners: Vec<_> = config.listeners.iter().cloned().map(&mut take).collect();
        let (exposition, control) = (exposition.map(&mut take), control.map(&mut take));
        release(&mut inherited);
        let bind = |(taken, listener): (Option<BoundListener>, Listener)| match taken {
            Some(bound) => Ok(bound),
            None => BoundListener::bind_beside(listener, inherited.rest()),
        };
        let sockets = Self {
            listeners: listeners.into_iter().map(bind).collect::<Result<_, _>>()?,
            exposition: exposition.map(bind).transpose()?,
            control: control.map(bind).transpose()?,
        };
        inherited.close();
        Ok(sockets)
    }
}

fn server_conf(threads: usize, settled: &Settled) -> ServerConf {
    ServerConf {
        threads,
        upstream_keepalive_pool_size: settled.upstream_idle,
        max_retries: MAX_ATTEMPTS,
        // What has a grace period has had it by then.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(DROP_WITHIN.as_secs()),
        // Neither is used yet, and a predictable name in /tmp is an invitation.
        pid_file: "/run/synapse-gateway/pid".to_owned(),
        upgrade_sock: "/run/synapse-gateway/upgrade.sock".to_owned(),
        ..ServerConf::default()
    }
}

fn threads(config: &Config) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    config.threads.map_or_else(cores, usize::from)
}

pub(super) fn tls_server(
    config: &Config,
    certificates: Option<&Arc<Certificates>>,
) -> anyhow::Result<Option<Arc<TlsServer>>> {
    let Some((tls, certificates)) = config.tls.as_ref().zip(certificates) else { return Ok(None) };
    let server = TlsServer::new(tls, Arc::clone(certificates)).context("TLS cannot be set up")?;
    Ok(Some(Arc::new(server)))
}

pub(super) fn accept_policy(config: &Config) -> AcceptPolicy {
    let handshake = config.gateway.timeouts.handshake;
    AcceptPolicy {
        deadlines: AcceptDeadlines { proxy_header: handshake, handshake },
        max_connections: config.gateway.limits.connections,
        proxies: config.gateway.forwarding.trusted().to_vec(),
    }
}

pub(super) fn running(config: Config) -> Running {
    let timeouts = config.gateway.timeouts;
    let pools = Pools::new(&config.gateway.upstreams, &timeouts);
    let hsts = config.tls.as_ref().and_then(|tls| tls.hsts);
    let hsts = hsts.and_then(|age| HeaderValue::try_from(format!("max-age={}", age.as_secs())).ok());
    let names = config.gateway.upstreams.as_slice().iter().map(|upstream| upstream.name.clone()).collect();
    Running {
        counters: ProcessCounters::new(names),
        recognition: Recognition::default(),
        hidden: config.gateway.rendezvous.secret_paths().to_vec(),
        throttle: Throttle::new(config.gateway.rendezvous.allowance()),
        gateway: config.gateway,
        pools,
        hsts,
        client_addresses: config.log.client_ip,
        synapse_files: config.synapse.map(Watched::new),
    }
}

fn resolve_first(state: &State, runtime: &Runtime) {
    let running = state.running();
    runtime.block_on(async {
        for pool in running.pools.iter() {
            if timeout(FIRST_RESOLVE, pool.resolve()).await.is_err() {
                warn!("upstream {}: its name is still being resolved", pool.name());
            }
        }
    });
}

/// Serves accepted connections. Drains on a signal of its own, which comes before Pingora's.
struct FrontDoor {
    front: Front,
    stop: ShutdownWatch,
}

#[async_trait]
impl Connected for FrontDoor {
    async fn serve(&self, stream: Stream, _arrival: Arc<Arrival>, _shutdown: &ShutdownWatch) {
        self.front.serve(stream, &self.stop).await;
    }
}
