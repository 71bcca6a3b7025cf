//! Binds the listeners before anything else starts, and says who is in the way.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use procfs::net::TcpState;
use procfs::process::FDTarget;
use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use xxhash_rust::xxh3::xxh3_64;

use crate::listen::{Address, Listener};

/// Connections that wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 65535;
/// Finds a client that vanished without a word after 90 s, before most NATs would have forgotten it.
const KEEPALIVE_IDLE: Duration = Duration::from_mins(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;
/// What the names of sockets begin with.
const TCP: &str = "tcp-";
const UNIX: &str = "unix-";

/// A listener with its socket, which has a backlog from the moment of binding.
pub struct BoundListener {
    settings: ArcSwap<Listener>,
    port: Option<u16>,
    /// The name that the service manager, or another process of the service, knows the socket by.
    name: String,
    pub(super) socket: BoundSocket,
}

#[derive(Debug)]
pub(super) enum BoundSocket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// Why a listener cannot be bound. The operator's fault, mostly another program's.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has the port and was found.
    #[error("cannot listen on {address}: {holder} has it; stop that program or choose another port")]
    Held {
        /// The address.
        address: Address,
        /// Who has it.
        holder: Holder,
    },
    /// This very process has the port, with other settings of the socket.
    #[error(
        "cannot listen on {0}: the gateway itself has that port at another address; choose another port or restart it"
    )]
    Ours(Address),
    /// Somebody has the port, and the system does not tell this user who.
    #[error(
        "cannot listen on {0}: another program has it; find it with `ss -ltnp` as root and stop it, or choose another"
    )]
    InUse(Address),
    /// A port that needs a capability.
    #[error(
        "cannot listen on {0}: not permitted; ports below 1024 need CAP_NET_BIND_SERVICE, which the systemd unit gives \
         (AmbientCapabilities=), or `setcap cap_net_bind_service=+ep` on the program"
    )]
    Privileged(Address),
    /// Not an address of this host.
    #[error("cannot listen on {0}: no interface of this host has that address; see `ip address`, or write a wildcard")]
    NotLocal(Address),
    /// A live server on a Unix socket.
    #[error("cannot listen on {0}: another program answers there; stop it or choose another path")]
    Answered(Address),
    /// Something else than a socket at the path.
    #[error("cannot listen on {0}: the file there is not a socket; remove it or choose another path")]
    NotASocket(Address),
    /// Anything else.
    #[error("cannot listen on {address}: {error}{}", hint(address))]
    Io {
        /// The address.
        address: Address,
        /// What the system says.
        error: io::Error,
    },
}

impl BindError {
    /// What it means where the process with this id hands its sockets over.
    pub(super) fn beside(self, other: Option<u32>) -> Self {
        let is_other = |holder: &Holder| other.is_some() && u32::try_from(holder.pid).ok() == other;
        if let Self::Held { address, holder } = &self
            && is_other(holder)
        {
            return Self::Ours(address.clone());
        }
        self
    }
}

/// A process that has a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The name of its program.
    pub name: String,
    /// Its process id.
    pub pid: i32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

impl BoundListener {
    /// Binds one listener.
    pub fn bind(settings: Listener) -> Result<Self, BindError> {
        Self::bind_beside::<OwnedFd>(settings, &[])
    }

    /// Binds one listener while the sockets that are `leaving` still accept: they may have its port, as that of
    /// `127.0.0.1` has where `0.0.0.0` is wanted.
    pub(super) fn bind_beside<S: AsFd>(settings: Listener, leaving: &[S]) -> Result<Self, BindError> {
        let refused = |error: io::Error| refusal(&settings.address, error);
        let (socket, port) = match &settings.address {
            Address::Tcp(address) => {
                let leaving =
                    leaving.iter().map(SockRef::from).filter(|socket| port_of(socket) == Some(address.port()));
                let listener = bind_tcp(*address, settings.v6_only, &leaving.collect::<Vec<_>>()).map_err(refused)?;
                let port = listener.local_addr().map_err(refused)?.port();
                (BoundSocket::Tcp(listener), Some(port))
            }
            Address::Unix(path) => {
                clear(path, &settings.address)?;
                let (listener, file) = bind_unix(path, settings.mode).map_err(refused)?;
                (BoundSocket::Unix(listener, file), None)
            }
        };
        let name = name(&socket).map_err(refused)?;
        Ok(Self { settings: ArcSwap::from_pointee(settings), port, name, socket })
    }

    /// Serves a listener with a socket that came from elsewhere under this name.
    pub(super) fn inherited(settings: Listener, socket: BoundSocket, name: String) -> io::Result<Self> {
        let port = match &socket {
            BoundSocket::Tcp(listener) => Some(listener.local_addr()?.port()),
            BoundSocket::Unix(..) => None,
        };
        let bound = Self { settings: ArcSwap::from_pointee(settings.clone()), port, name, socket };
        // Others have it too until this process serves.
        bound.outlive();
        bound.update(settings);
        Ok(bound)
    }

    /// The name under which the socket goes to another process.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The name under which the service manager is to keep the socket; None if a socket unit of its own has it.
    pub(super) fn kept_as(&self) -> Option<String> {
        name(&self.socket).ok().filter(|name| *name == self.name)
    }

    /// Leaves the file of a Unix socket where it is: the socket lives on elsewhere.
    pub(super) fn outlive(&self) {
        self.file_stays(true);
    }

    /// The file of a Unix socket goes with this listener again.
    pub(super) fn own(&self) {
        self.file_stays(false);
    }

    fn file_stays(&self, stays: bool) {
        if let BoundSocket::Unix(_, file) = &self.socket {
            file.stays.store(stays, Ordering::Relaxed);
        }
    }

    /// The port that connections come to, also where the kernel chose it.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// What to do with connections that come now.
    #[must_use]
    pub fn settings(&self) -> Arc<Listener> {
        self.settings.load_full()
    }

    /// Whether this socket serves a listener of a new configuration.
    pub(super) fn fits(&self, listener: &Listener) -> bool {
        let settings = self.settings.load();
        settings.address == listener.address && settings.v6_only == listener.v6_only
    }

    /// Takes new settings for connections to come.
    pub(super) fn update(&self, listener: Listener) {
        if let BoundSocket::Unix(_, file) = &self.socket
            && let Err(error) = std::fs::set_permissions(&file.path, PermissionsExt::from_mode(listener.mode))
        {
            log::warn!("{} keeps its permissions: {error}", listener.address);
        }
        self.settings.store(Arc::new(listener));
    }
}

impl AsFd for BoundListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            BoundSocket::Tcp(listener) => listener.as_fd(),
            BoundSocket::Unix(listener, _) => listener.as_fd(),
        }
    }
}

impl fmt::Display for BoundListener {
    /// The address in use.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.settings.load().address, self.port) {
            (Address::Tcp(address), Some(port)) => SocketAddr::new(address.ip(), port).fmt(f),
            (address @ (Address::Tcp(_) | Address::Unix(_)), _) => address.fmt(f),
        }
    }
}

/// The file of a Unix socket, which goes with its listener unless another process has put its own in its place, or the
/// socket lives on.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
    stays: AtomicBool,
}

impl SocketFile {
    /// The file of a socket that is bound already.
    pub(super) fn of(socket: &UnixListener) -> io::Result<Self> {
        let path = socket.local_addr()?.as_pathname().ok_or(io::ErrorKind::NotFound)?.to_owned();
        Ok(Self { inode: inode(&path)?, path, stays: AtomicBool::new(false) })
    }

    fn name(&self) -> String {
        name_of_file(&self.path, self.inode)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.stays.load(Ordering::Relaxed) {
            return;
        }
        let ours = inode(&self.path).is_ok_and(|inode| inode == self.inode);
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            log::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// A name for a socket that no other has at the same time, of the characters that the service manager allows.
fn name(socket: &BoundSocket) -> io::Result<String> {
    Ok(match socket {
        BoundSocket::Tcp(listener) => {
            let address = listener.local_addr()?;
            format!("{TCP}{}-{}", address.ip().to_string().replace(':', "_"), address.port())
        }
        BoundSocket::Unix(_, file) => file.name(),
    })
}

fn name_of_file(path: &Path, (device, number): (u64, u64)) -> String {
    format!("{UNIX}{:016x}-{device}-{number}", xxh3_64(path.as_os_str().as_bytes()))
}

/// Whether the file at a path is that of the socket with this name. Names that are not ours do not tell.
pub(super) fn leads_to(path: &Path, name: &str) -> bool {
    inode(path).is_ok_and(|inode| !name.starts_with(UNIX) || name == name_of_file(path, inode))
}

/// Makes a listening socket of whatever origin like one of our own.
pub(super) fn adopt(socket: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_cloexec(true)?;
    socket.set_nonblocking(true)?;
    if socket.domain()? != Domain::UNIX {
        set_options(&socket)?;
    }
    // Whoever made it may have been content with less.
    socket.listen(BACKLOG)
}

/// Accepted sockets inherit the options from the listener (tcp(7)), which saves four system calls a connection.
fn set_options(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE);
    socket.set_tcp_keepalive(&keepalive.with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES))
}

fn port_of(socket: &SockRef<'_>) -> Option<u16> {
    Some(socket.local_addr().ok()?.as_socket()?.port())
}

fn bind_tcp(address: SocketAddr, v6_only: bool, leaving: &[SockRef<'_>]) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    socket.set_reuse_address(true)?;
    set_options(&socket)?;
    socket.set_nonblocking(true)?;
    // The kernel lets sockets of one user have one port if all of them want it that way (socket(7), `SO_REUSEPORT`). For
    // this moment only: otherwise a second gateway that is started by mistake would share ours.
    let share = |share: bool| {
        if leaving.is_empty() {
            return Ok(());
        }
        let mut sockets = leaving.iter().map(|socket| &**socket).chain([&socket]);
        sockets.try_for_each(|socket| socket.set_reuse_port(share))
    };
    share(true)?;
    let bound = socket.bind(&address.into()).and_then(|()| socket.listen(BACKLOG));
    share(false)?;
    bound?;
    Ok(socket.into())
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile { path: path.to_owned(), inode: inode(path)?, stays: AtomicBool::new(false) };
    // Before `listen`: until then nobody can connect, so there is no moment with the wrong permissions.
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok((socket.into(), file))
}

/// Removes a socket that nobody answers any more: what a killed process leaves behind.
fn clear(path: &Path, address: &Address) -> Result<(), BindError> {
    let failed = |error| BindError::Io { address: address.clone(), error };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(BindError::NotASocket(address.clone())),
        Ok(_) => {}
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    // A full backlog must not make us wait; it is an answer too.
    probe.set_nonblocking(true).map_err(failed)?;
    match probe.connect(&SockAddr::unix(path).map_err(failed)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            log::info!("removing the socket {} that nobody answers", path.display());
            std::fs::remove_file(path).map_err(failed)
        }
        Ok(()) => Err(BindError::Answered(address.clone())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(BindError::Answered(address.clone())),
        Err(error) => Err(failed(error)),
    }
}

fn refusal(address: &Address, error: io::Error) -> BindError {
    let owned = address.clone();
    let privileged = address.port().is_some_and(|port| port < 1024);
    match (error.kind(), address) {
        (io::ErrorKind::AddrInUse, Address::Tcp(socket)) => match holder(*socket) {
            Some(holder) if i32::try_from(std::process::id()) == Ok(holder.pid) => BindError::Ours(owned),
            Some(holder) => BindError::Held { address: owned, holder },
            None => BindError::InUse(owned),
        },
        (io::ErrorKind::PermissionDenied, Address::Tcp(_)) if privileged => BindError::Privileged(owned),
        (io::ErrorKind::AddrNotAvailable, Address::Tcp(_)) => BindError::NotLocal(owned),
        (_, Address::Tcp(_) | Address::Unix(_)) => BindError::Io { address: owned, error },
    }
}

fn hint(address: &Address) -> String {
    match address {
        Address::Tcp(SocketAddr::V6(address)) if address.ip().is_unspecified() => {
            format!("; if this host has no IPv6, write `0.0.0.0:{}`", address.port())
        }
        Address::Tcp(_) => String::new(),
        Address::Unix(_) => "; see whether the directory exists and this user may write to it".to_owned(),
    }
}

/// Finds the process that listens on an address, among those that this user may look into.
fn holder(wanted: SocketAddr) -> Option<Holder> {
    let meets = |ip: IpAddr| ip == wanted.ip() || ip.is_unspecified() || wanted.ip().is_unspecified();
    let tables = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
    let inodes: Vec<u64> = tables
        .filter(|entry| entry.state == TcpState::Listen && entry.local_address.port() == wanted.port())
        .filter(|entry| meets(entry.local_address.ip()))
        .map(|entry| entry.inode)
        .collect();
    let holds = |target: &FDTarget| matches!(target, FDTarget::Socket(inode) if inodes.contains(inode));
    procfs::process::all_processes().ok()?.flatten().find_map(|process| {
        process.fd().ok()?.flatten().find(|file| holds(&file.target))?;
        Some(Holder { name: process.stat().ok()?.comm, pid: process.pid() })
    })
}

#[cfg(test)]
mod tests;
