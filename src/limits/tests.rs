use super::*;
use crate::problem::Problems;
use crate::quantity::{Size, Span};

fn timeouts() -> Timeouts {
    TimeoutsSection::default().build(&mut Problems::default()).unwrap()
}

#[test]
fn a_long_poll_waits_as_long_as_the_client_asked_and_a_margin() {
    let check = |asked: Option<&str>, seconds: u64| {
        assert_eq!(timeouts().silence(RouteClass::LongPoll, asked), Duration::from_secs(seconds), "{asked:?}");
    };
    check(Some("30000"), 90);
    check(Some("60000"), 120);
    check(Some("0"), 90);
    check(None, 90);
    check(Some("nonsense"), 90);
    check(Some("-5"), 90);
    check(Some("86400000"), 900);
    check(Some("18446744073709551615"), 900);
}

#[test]
fn the_defaults_are_accepted_without_a_remark() {
    let mut problems = Problems::default();
    assert!(TimeoutsSection::default().build(&mut problems).is_some());
    assert!(LimitsSection::default().build(&mut problems).is_some());
    assert_eq!(problems.as_slice(), []);
}

#[test]
fn the_index_of_a_class_is_its_place_among_all() {
    for (index, class) in RouteClass::ALL.into_iter().enumerate() {
        assert_eq!(class.index(), index, "{}", class.as_str());
    }
}

#[test]
fn all_time_limits_out_of_range_are_reported_at_once() {
    let mut problems = Problems::default();
    let section = TimeoutsSection {
        connect: Span(Duration::ZERO),
        join: Span(Duration::from_hours(48)),
        ..TimeoutsSection::default()
    };
    assert_eq!(section.build(&mut problems), None);
    let paths: Vec<&str> = problems.as_slice().iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["timeouts.connect", "timeouts.join"]);
}

#[test]
fn a_small_upload_limit_leaves_synapses_own_limit_for_the_rest() {
    let section = LimitsSection { body: Size(1 << 20), ..LimitsSection::default() };
    let limits = section.build(&mut Problems::default()).unwrap();
    assert_eq!((limits.upload, limits.body), (1 << 20, SYNAPSE_BODY));
}

#[test]
fn the_rate_of_a_body_counts_only_after_the_grace() {
    let limits = LimitsSection::default().build(&mut Problems::default()).unwrap();
    assert!(!limits.is_too_slow(0, Duration::from_secs(10)));
    assert!(limits.is_too_slow(255, Duration::from_secs(11)));
    assert!(!limits.is_too_slow(256, Duration::from_secs(11)));
}
