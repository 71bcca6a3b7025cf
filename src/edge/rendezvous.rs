//! Carries rendezvous requests out on a store.

use uuid::Uuid;

use crate::edge::store::Store;
use crate::rendezvous::session::{Session, Timestamp, Write};
use crate::rendezvous::{Command, Done, Operation, Refusal, Request, Revision, SessionId};

/// Carries out a request.
///
/// `account` is whether the client has an account, where [`Request::needs_account`]. `body` is what it sent, read up to
/// one byte past [`Request::body_limit`]. `draw` gives random UUIDs (version 4) that it never gives twice.
pub async fn carry_out(
    store: &Store,
    request: &Request,
    account: Result<(), Refusal>,
    body: &[u8],
    now: Timestamp,
    draw: impl Fn() -> Uuid + Send,
) -> Result<Done, Refusal> {
    let protocol = request.protocol();
    if let Err(refusal) = account {
        return match (&request.operation, refusal) {
            (Operation::Discover, Refusal::NoToken | Refusal::UnknownToken) => {
                Ok(Done::Discovered { create_available: false })
            }
            (_, refusal) => Err(refusal),
        };
    }
    match request.command(body)? {
        Command::Discover => Ok(Done::Discovered { create_available: true }),
        Command::Create(content) => {
            let id = SessionId::new(draw());
            let session = Session::open(protocol, content, Revision::new(draw()), now, request.limits.ttl);
            let stamp = session.stamp();
            store.create(id, session, request.limits.max_entries, now).await?;
            Ok(Done::Created(id, stamp))
        }
        Command::Read { id, known } => {
            let session = store.read(id, protocol, now).await?;
            let stamp = session.stamp();
            Ok(if known.include(stamp.revision) { Done::Unchanged(stamp) } else { Done::Found(session) })
        }
        Command::Write { id, expected, content, retry } => {
            let write = Write { protocol, expected, content, revision: Revision::new(draw()), retry };
            Ok(Done::Written(store.write(id, write, now).await?))
        }
        Command::Remove { id } => {
            store.remove(id, protocol, now).await?;
            Ok(Done::Removed)
        }
    }
}

#[cfg(test)]
mod tests;
