//! Carries rendezvous requests out on a store.

use uuid::Uuid;

use crate::edge::store::Store;
use crate::rendezvous::session::{Content, Session, Timestamp, Write};
use crate::rendezvous::{Done, Operation, Refusal, Request, Revision, SessionId};
use crate::reply::Reply;

/// Carries out a request and makes the answer.
///
/// `body` is what the client sent, read up to one byte past [`Request::body_limit`]; it is ignored where there is no
/// limit. `draw` gives random UUIDs (version 4) that it never gives twice.
pub async fn serve(
    store: &Store,
    request: Request,
    body: &[u8],
    now: Timestamp,
    draw: impl Fn() -> Uuid + Send,
) -> Reply {
    let outcome = carry_out(store, &request, body, now, draw).await;
    request.answer(outcome)
}

async fn carry_out(
    store: &Store,
    request: &Request,
    body: &[u8],
    now: Timestamp,
    draw: impl Fn() -> Uuid + Send,
) -> Result<Done, Refusal> {
    let Request { limits, operation, .. } = request;
    let protocol = request.protocol();
    if let Some(limit) = request.body_limit().filter(|&limit| body.len() as u64 > limit) {
        return Err(Refusal::TooLarge(limit));
    }
    match operation {
        Operation::Create { media_type } => {
            let id = SessionId::new(draw());
            let content = Content::new(body, media_type.clone());
            let session = Session::open(protocol, content, Revision::new(draw()), now, limits.ttl);
            let stamp = session.stamp();
            store.create(id, session, limits.max_entries, now).await?;
            Ok(Done::Created(id, stamp))
        }
        Operation::Read { id, known } => {
            let session = store.read(*id, protocol, now).await?;
            let stamp = session.stamp();
            Ok(if known.include(stamp.revision) { Done::Unchanged(stamp) } else { Done::Found(session) })
        }
        Operation::Write { id, expected, media_type } => {
            let content = Content::new(body, media_type.clone());
            let write = Write { protocol, expected: expected.clone(), content, revision: Revision::new(draw()) };
            Ok(Done::Written(store.write(*id, write, now).await?))
        }
        Operation::Remove { id } => {
            store.remove(*id, protocol, now).await?;
            Ok(Done::Removed)
        }
    }
}

#[cfg(test)]
mod tests;
