//! What stands beside Synapse: Matrix Authentication Service, and the services that calls need.

mod calls;
mod mas;
