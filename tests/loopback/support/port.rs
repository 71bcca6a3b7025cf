//! A port that stays the test's own while nobody listens on it.
//!
//! A gateway goes on looking for a process that has gone. If its port were free, it could become that of another test.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// Connections that may wait until they are accepted, where a test does not care.
const BACKLOG: i32 = 128;

/// Connections to it are refused unless [`Port::listen`] was called.
pub(crate) struct Port(Socket);

impl Port {
    pub(crate) fn reserve() -> Self {
        Self(bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap().as_socket().unwrap()
    }

    pub(crate) fn listen(&self) -> TcpListener {
        self.listen_before(BACKLOG)
    }

    /// Lets so many connections wait until they are accepted.
    pub(crate) fn listen_before(&self, backlog: i32) -> TcpListener {
        let socket = bind(self.address());
        socket.listen(backlog).unwrap();
        socket.into()
    }
}

/// Several sockets of one user can be bound to one address if all say so (socket(7)).
fn bind(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}
