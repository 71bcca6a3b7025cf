//! Which certificates answer for the name that a client asks for.

use std::collections::HashMap;

/// Values filed under the DNS names of certificates, found by the name in a client's hello (SNI, RFC 6066, section 3).
///
/// One name may hold several values, such as an ECDSA and an RSA certificate. A wildcard stands for exactly one label
/// (RFC 9525, section 6.3).
#[derive(Clone, Debug)]
pub struct Names<T> {
    exact: HashMap<String, Vec<T>>,
    below: HashMap<String, Vec<T>>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), below: HashMap::new() }
    }
}

impl<T> Names<T> {
    /// Files a value under one name of its certificate: `example.com` or `*.example.com`.
    pub fn add(&mut self, name: &str, value: T) {
        let name = name.to_ascii_lowercase();
        let (map, key) = match name.strip_prefix("*.") {
            Some(parent) => (&mut self.below, parent.to_owned()),
            None => (&mut self.exact, name),
        };
        map.entry(key).or_default().push(value);
    }

    /// The values for a name: those filed under the name itself first, in the order in which they were added.
    pub fn candidates(&self, name: &str) -> impl Iterator<Item = &T> {
        let name = name.to_ascii_lowercase();
        let below = name.split_once('.').and_then(|(_, parent)| self.below.get(parent));
        self.exact.get(&name).into_iter().chain(below).flatten()
    }
}
