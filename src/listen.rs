//! Where the gateway listens, what each listener serves, and which certificate answers for which name.
//!
//! Nothing here opens a socket or a file: a [`Listener`] says what is to be bound, [`Tls`] what is to be loaded, and
//! [`Names`] finds the certificates for a name among those that somebody else has read.

mod address;
mod control;
mod names;
mod section;
mod tls;

pub use address::{Address, AddressError};
pub use control::{Control, ControlSection};
pub use names::Names;
pub use section::{Group, Listener, ListenerSection, Transport, build_listeners};
pub use tls::{CertificateSection, Hsts, MinVersion, PairPaths, Reload, Tls, TlsSection, UnknownSni};

#[cfg(test)]
mod tests;
