//! Two listeners in one place, of which Synapse could open only the first.

use std::collections::BTreeMap;

use super::listener::{Listener, Place, is_wildcard};
use super::process::{Process, Processes};
use super::report::Report;

pub(super) fn check(processes: &Processes, report: &mut Report) {
    let mut ports: BTreeMap<u16, Vec<(&Process, &Listener)>> = BTreeMap::new();
    let mut sockets: BTreeMap<&str, (&Process, &Listener)> = BTreeMap::new();
    let all = processes.all().flat_map(|process| process.listeners.iter().map(move |listener| (process, listener)));
    for (process, listener) in all {
        let other = match &listener.place {
            Place::Unix { path, .. } => {
                let other = sockets.get(path).copied();
                sockets.entry(path).or_insert((process, listener));
                other
            }
            Place::Tcp { port, .. } => {
                let others = ports.entry(*port).or_default();
                let clashing = |(other, it): &&(&Process, &Listener)| {
                    other.elsewhere == process.elsewhere && overlap(&it.place, &listener.place)
                };
                let other = others.iter().find(clashing).copied();
                others.push((process, listener));
                other
            }
        };
        if let Some((owner, taken)) = other {
            let at = report.place(taken.mark);
            let message = format!("`{}` listens here already, with {} at {at}", owner.name, taken.path);
            let remedy = "give each listener a place of its own, or name the hosts of the processes in `instance_map`";
            report.error(listener.mark, &listener.path, message, remedy);
        }
    }
}

fn overlap(one: &Place, other: &Place) -> bool {
    let (Place::Tcp { addresses: ours, .. }, Place::Tcp { addresses: theirs, .. }) = (one, other) else { return false };
    let is_wide = |list: &[(&str, _)]| list.is_empty() || list.iter().any(|(address, _)| is_wildcard(address));
    let near = |address: &str| if address == "localhost" { "127.0.0.1".to_owned() } else { address.to_owned() };
    is_wide(ours) || is_wide(theirs) || ours.iter().any(|(ours, _)| theirs.iter().any(|(it, _)| near(it) == near(ours)))
}
