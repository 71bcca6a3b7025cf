//! A Redis for the tests.

#[path = "../../../../tests/loopback/support/redis.rs"]
mod server;

use redis::aio::MultiplexedConnection;

pub(in crate::edge::store) use self::server::RedisServer;
use super::{Password, RedisStore};
use crate::edge::store::Store;
use crate::rendezvous::{RedisEndpoint, RedisServer as Address};

fn address(server: &RedisServer) -> Address {
    Address { endpoint: RedisEndpoint::Unix(server.socket()), database: 0, password_file: None }
}

/// A gateway's store on that server.
pub(in crate::edge::store) fn store(server: &RedisServer) -> Store {
    store_with(server, None)
}

/// A store that has this password.
pub(super) fn store_with(server: &RedisServer, password: Option<&Password>) -> Store {
    Store::Redis(Box::new(RedisStore::new(&address(server), password).unwrap()))
}

/// A connection of the test's own.
pub(super) async fn connection(server: &RedisServer) -> MultiplexedConnection {
    let url = format!("unix://{}", server.socket().display());
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}
