//! Listening sockets that this process did not bind: those that the service manager passes (`sd_listen_fds(3)`), from a
//! socket unit or because it has kept them since another process of the service, and those of the process whose place
//! this one takes.
//!
//! Which listener a socket is for shows in its own address; names only tell whose it is.

use std::env;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use log::{info, warn};
use socket2::{Domain, SockRef, Type};

use super::bind::{BoundListener, BoundSocket, SocketFile, adopt, leads_to};
use crate::listen::{Address, Listener};

/// A listening socket, and the name under which it came.
#[derive(Debug)]
pub(super) struct Heirloom {
    name: String,
    socket: Either,
}

#[derive(Debug)]
enum Either {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What there is to be taken.
#[derive(Debug, Default)]
pub(super) struct Inherited(Vec<Heirloom>);

impl Inherited {
    /// What the service manager has passed to this process.
    pub(super) fn given() -> Self {
        // A process that was started by the one it was meant for finds the variables too.
        if env::var("LISTEN_PID").ok().and_then(|pid| pid.parse().ok()) != Some(std::process::id()) {
            return Self::default();
        }
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(str::to_owned);
        let mut given = ListenFd::from_env();
        let mut list = Vec::with_capacity(given.len());
        for index in 0..given.len() {
            let name = names.next().unwrap_or_default();
            let tcp = given.take_tcp_listener(index).map(|socket| socket.map(Either::Tcp));
            match tcp.or_else(|_| given.take_unix_listener(index).map(|socket| socket.map(Either::Unix))) {
                Ok(socket) => list.extend(socket.map(|socket| Heirloom { name, socket })),
                Err(error) => warn!("the service manager has passed `{name}`, which is of no use here: {error}"),
            }
        }
        Self(list)
    }

    /// Adds a socket of the process that was there before.
    pub(super) fn add(&mut self, name: String, socket: OwnedFd) -> io::Result<()> {
        let looked = SockRef::from(&socket);
        let unix = looked.domain()? == Domain::UNIX;
        if looked.r#type()? != Type::STREAM || !looked.is_listener()? {
            return Err(io::Error::other("not a listening socket"));
        }
        let socket = if unix { Either::Unix(socket.into()) } else { Either::Tcp(socket.into()) };
        self.0.push(Heirloom { name, socket });
        Ok(())
    }

    /// Takes the socket that serves a listener, if there is one.
    pub(super) fn take(&mut self, listener: &Listener) -> Option<BoundListener> {
        let index = self.0.iter().position(|heirloom| heirloom.fits(listener))?;
        let Heirloom { name, socket } = self.0.swap_remove(index);
        let address = &listener.address;
        let taken = match socket {
            Either::Tcp(socket) => adopt(&socket).map(|()| BoundSocket::Tcp(socket)),
            Either::Unix(socket) => {
                adopt(&socket).and_then(|()| SocketFile::of(&socket)).map(|file| BoundSocket::Unix(socket, file))
            }
        };
        let bound = taken.and_then(|socket| BoundListener::inherited(listener.clone(), socket, name));
        bound.inspect_err(|error| warn!("the socket of {address} that is there already cannot be used: {error}")).ok()
    }

    /// What nobody has taken.
    pub(super) fn rest(&self) -> &[Heirloom] {
        &self.0
    }

    /// Closes what nobody has taken; its names.
    pub(super) fn close(&mut self) -> Vec<String> {
        let names = self.0.drain(..).map(|heirloom| {
            info!("no listener is for the socket `{}` any more: closing it", heirloom.name);
            heirloom.name
        });
        names.collect()
    }
}

impl AsFd for Heirloom {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Either::Tcp(socket) => socket.as_fd(),
            Either::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Heirloom {
    fn fits(&self, listener: &Listener) -> bool {
        match (&self.socket, &listener.address) {
            (Either::Tcp(socket), Address::Tcp(wanted)) => {
                let Ok(address) = socket.local_addr() else { return false };
                let same_port = wanted.port() == 0 || wanted.port() == address.port();
                let looked = SockRef::from(socket);
                let same_family = !wanted.is_ipv6() || looked.only_v6().ok() == Some(listener.v6_only);
                address.ip() == wanted.ip() && same_port && same_family && looked.is_listener().unwrap_or(false)
            }
            // A socket whose file was removed or replaced can be reached by nobody.
            (Either::Unix(socket), Address::Unix(wanted)) => {
                let path = socket.local_addr().ok().and_then(|address| address.as_pathname().map(ToOwned::to_owned));
                path.as_ref() == Some(wanted) && leads_to(wanted, &self.name)
            }
            (Either::Tcp(_), Address::Unix(_)) | (Either::Unix(_), Address::Tcp(_)) => false,
        }
    }
}
