//! What a decision takes from the heap: nothing. Counted by an allocator, hence a program of its own.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

#[path = "../bench/requests.rs"]
mod requests;

use allocation_counter::measure;
use requests::{SYNAPSE, all, arrival, gateway};
use synapse_gateway::decide::Action;

#[test]
fn whatever_is_forwarded_is_decided_on_without_allocating() {
    let counted = measure(|| drop(std::hint::black_box(vec![0_u8])));
    assert_eq!(counted.count_total, 1, "this test cannot fail otherwise");
    let (gateway, arrival) = (gateway(), arrival());
    let mut forwarded = 0;
    let mut wrong = Vec::new();
    for sent in &all() {
        let mut is_forwarded = false;
        let taken = measure(|| {
            let inbound = sent.inbound(&gateway, &arrival);
            let decision = gateway.decide(&inbound, SYNAPSE);
            if let Action::Forward(forward) = &decision.action {
                is_forwarded = true;
                let _ = std::hint::black_box(gateway.choice(forward.destination));
            }
        });
        forwarded += u32::from(is_forwarded);
        if is_forwarded && taken.count_total > 0 {
            wrong.push(format!("{} allocations, {} bytes: {}", taken.count_total, taken.bytes_total, sent.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(forwarded > 300, "only {forwarded} requests were forwarded");
}
