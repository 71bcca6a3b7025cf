//! Sessions across a change of process: where they wait, and what is said of those that are lost.

use std::time::SystemTime;

use anyhow::Context as _;
use log::{info, warn};

use super::{Kept, MemoryStore, Password, RedisStore, Resident, Shelf, Store};
use crate::rendezvous::session::Timestamp;
use crate::rendezvous::{Keeping, Room};

/// Makes the store. What waited for the memory of this process is in it.
pub(in crate::edge) fn open(
    keeping: &Keeping,
    password: Option<&Password>,
    room: Option<Room>,
) -> anyhow::Result<(Store, Option<Shelf>)> {
    match keeping {
        Keeping::Redis(server) => {
            let store = RedisStore::new(server, password).context("the Redis of the rendezvous sessions")?;
            Ok((Store::Redis(Box::new(store)), None))
        }
        Keeping::Memory { state_dir } => {
            let given = std::env::var_os("RUNTIME_DIRECTORY");
            let shelf = Shelf::new(state_dir.as_deref(), given.as_deref());
            let store = MemoryStore::default();
            if let Some((shelf, room)) = shelf.as_ref().zip(room) {
                take_over(&store, shelf, room);
            }
            Ok((Store::Memory(store), shelf))
        }
    }
}

/// Nothing that is wrong here is worth not to start.
fn take_over(store: &MemoryStore, shelf: &Shelf, room: Room) {
    let now = Timestamp::from(SystemTime::now());
    let residents = match shelf.take(now) {
        Ok(residents) => residents,
        Err(error) => {
            warn!("the rendezvous sessions from before the restart are lost: {}: {error}", shelf.file().display());
            return;
        }
    };
    let found = residents.len();
    let enters = |Resident { id, visitor, session }| store.create(id, session, visitor, room, now).is_ok();
    let taken = residents.into_iter().map(enters).filter(|entered| *entered).count();
    if taken < found {
        warn!("{} rendezvous sessions from before the restart are lost: there are too many", found - taken);
    }
    if taken > 0 {
        info!("{taken} rendezvous sessions go on from before the restart");
    }
}

/// Puts the sessions away for the next process.
pub(in crate::edge) fn put_away(store: &MemoryStore, shelf: Option<&Shelf>) {
    let residents = store.live(Timestamp::from(SystemTime::now()));
    let live = residents.len();
    if live == 0 {
        return;
    }
    let Some(shelf) = shelf else {
        warn!("{live} rendezvous sessions end with the process: there is no rendezvous.state_dir");
        return;
    };
    match shelf.keep(residents) {
        Ok(Kept { left_out: 0, written }) => info!("{written} rendezvous sessions wait in {}", shelf.file().display()),
        Ok(Kept { left_out, .. }) => warn!("{left_out} rendezvous sessions end with the process: they are too large"),
        Err(error) => warn!("{live} rendezvous sessions end with the process: {}: {error}", shelf.file().display()),
    }
}
