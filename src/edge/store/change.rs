//! Sessions across a change of process: where they wait, and what is said of those that are lost.

use std::time::SystemTime;

use anyhow::Context as _;
use log::{info, warn};

use super::{Kept, MemoryStore, Password, RedisStore, Resident, Shelf, Store, unpack};
use crate::rendezvous::session::Timestamp;
use crate::rendezvous::{Keeping, Room};

/// Makes the store, with nothing in it yet where it is the memory of this process.
pub(in crate::edge) fn open(keeping: &Keeping, password: Option<&Password>) -> anyhow::Result<(Store, Option<Shelf>)> {
    match keeping {
        Keeping::Redis(server) => {
            let store = RedisStore::new(server, password).context("the Redis of the rendezvous sessions")?;
            Ok((Store::Redis(Box::new(store)), None))
        }
        Keeping::Memory { state_dir } => {
            let given = std::env::var_os("RUNTIME_DIRECTORY");
            let shelf = Shelf::new(state_dir.as_deref(), given.as_deref());
            Ok((Store::Memory(MemoryStore::default()), shelf))
        }
    }
}

/// Puts in what waited for the memory of this process. Nothing that is wrong there is worth not to start.
pub(in crate::edge) fn start(store: &Store, shelf: Option<&Shelf>, room: Option<Room>) {
    let (Store::Memory(store), Some(shelf), Some(room)) = (store, shelf, room) else { return };
    let now = Timestamp::from(SystemTime::now());
    match shelf.take(now) {
        Ok(residents) => enter(store, residents, room, now, "from before the restart"),
        Err(error) => {
            warn!("the rendezvous sessions from before the restart are lost: {}: {error}", shelf.file().display());
        }
    }
}

/// Puts in what the process had whose place this one takes, as [`super::pack`] wrote it.
pub(in crate::edge) fn move_in(store: &Store, bytes: &[u8], room: Option<Room>) {
    let now = Timestamp::from(SystemTime::now());
    match (unpack(bytes, now), store, room) {
        (Ok(residents), _, _) if residents.is_empty() => {}
        (Ok(residents), Store::Memory(store), Some(room)) => {
            enter(store, residents, room, now, "from the process before");
        }
        (Ok(residents), Store::Redis(_), _) | (Ok(residents), Store::Memory(_), None) => {
            warn!("{} rendezvous sessions end: they are no longer kept in memory", residents.len());
        }
        (Err(error), _, _) => warn!("the rendezvous sessions of the process before are lost: {error}"),
    }
}

fn enter(store: &MemoryStore, residents: Vec<Resident>, room: Room, now: Timestamp, since: &str) {
    let found = residents.len();
    let enters = |Resident { id, visitor, session }| store.create(id, session, visitor, room, now).is_ok();
    let taken = residents.into_iter().map(enters).filter(|entered| *entered).count();
    if taken < found {
        warn!("{} rendezvous sessions {since} are lost: there are too many", found - taken);
    }
    if taken > 0 {
        info!("{taken} rendezvous sessions go on {since}");
    }
}

/// Puts the sessions away for the next process.
pub(in crate::edge) fn put_away(store: &MemoryStore, shelf: Option<&Shelf>) {
    if store.is_elsewhere() {
        return;
    }
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
