//! Carries rendezvous requests out on a store.

use uuid::Uuid;

use crate::edge::store::Store;
use crate::edge::throttle::Throttle;
use crate::rendezvous::session::{Session, Timestamp, Write};
use crate::rendezvous::{Command, Done, Operation, Refusal, Request, Revision, SessionId, Visitor};

/// Where rendezvous requests are carried out.
#[derive(Clone, Copy, Debug)]
pub struct Desk<'a> {
    /// Where the sessions are.
    pub store: &'a Store,
    /// How often clients may ask.
    pub throttle: &'a Throttle,
}

impl Desk<'_> {
    /// Whether the client may ask at all, as far as that does not depend on its account. Asked once for each request,
    /// before anything else is done about it.
    pub fn admit(&self, request: &Request, visitor: Visitor) -> Result<(), Refusal> {
        match request.operation {
            Operation::Create { .. } | Operation::CreateFromJson => self.throttle.create(visitor),
            // Synapse may have to be asked whose token it is.
            Operation::Discover if request.needs_account() => self.throttle.create(visitor),
            Operation::Write { id, .. } | Operation::WriteFromJson { id, .. } => self.throttle.write(id),
            Operation::Discover | Operation::Read { .. } | Operation::Remove { .. } => Ok(()),
        }
    }

    /// Carries out a request.
    ///
    /// `admitted` is what [`Desk::admit`] says, and whether the client has an account where [`Request::needs_account`].
    /// `body` is what it sent, read up to one byte past [`Request::body_limit`]. `draw` gives random UUIDs (version 4)
    /// that it never gives twice.
    pub async fn carry_out(
        &self,
        request: &Request,
        (visitor, admitted): (Visitor, Result<(), Refusal>),
        body: &[u8],
        now: Timestamp,
        draw: impl Fn() -> Uuid + Send,
    ) -> Result<Done, Refusal> {
        let protocol = request.protocol();
        if let Err(refusal) = admitted {
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
                self.store.create(id, session, visitor, request.limits.room, now).await?;
                Ok(Done::Created(id, stamp))
            }
            Command::Read { id, known } => {
                let session = self.store.read(id, protocol, now).await?;
                // Counted only now, so that nobody is counted for what does not exist.
                self.throttle.read(id)?;
                let stamp = session.stamp();
                Ok(if known.include(stamp.revision) { Done::Unchanged(stamp) } else { Done::Found(session) })
            }
            Command::Write { id, expected, content, retry } => {
                let write = Write { protocol, expected, content, revision: Revision::new(draw()), retry };
                Ok(Done::Written(self.store.write(id, write, now).await?))
            }
            Command::Remove { id } => {
                self.store.remove(id, protocol, now).await?;
                Ok(Done::Removed)
            }
        }
    }
}

#[cfg(test)]
mod tests;
