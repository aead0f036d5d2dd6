//! One test for each rule of the policy.

use std::num::NonZeroU32;

use super::*;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);
const PERIOD: Duration = Duration::from_secs(60);
const AT_ONCE: Duration = Duration::ZERO;

fn policy(limit: u32, at_limit: LimitAction) -> RestartPolicy {
    let limit = NonZeroU32::new(limit).unwrap();
    RestartPolicy::new(SupervisionConfig { limit, at_limit, ..SupervisionConfig::default() })
}

fn is_jittered(pause: Duration, base: Duration) -> bool {
    pause >= base && pause <= base * 2
}

#[test]
fn pauses_of_quick_failures_double_up_to_the_longest() {
    let (mut policy, now) = (policy(30, LimitAction::Exit), Instant::now());
    for base in [50, 100, 200, 400, 800, 1000, 1000].map(Duration::from_millis) {
        let pause = policy.record_failure(ActorName::Token, AT_ONCE, now).pause;
        assert!(is_jittered(pause, base), "{base:?}: {pause:?}");
    }
}

#[test]
fn a_child_that_came_to_work_begins_with_the_first_pause_again() {
    let (mut policy, now) = (policy(30, LimitAction::Exit), Instant::now());
    for _ in 0..5 {
        policy.record_failure(ActorName::Token, AT_ONCE, now);
    }
    assert!(is_jittered(policy.record_failure(ActorName::Token, STABLE_AFTER, now).pause, FIRST));
    assert!(is_jittered(policy.record_failure(ActorName::Token, AT_ONCE, now).pause, FIRST * 2));
}

#[test]
fn one_child_s_failures_do_not_slow_down_another() {
    let (mut policy, now) = (policy(30, LimitAction::Exit), Instant::now());
    for _ in 0..5 {
        policy.record_failure(ActorName::Health, AT_ONCE, now);
    }
    assert!(is_jittered(policy.record_failure(ActorName::KeyVault, AT_ONCE, now).pause, FIRST));
}

#[test]
fn the_limit_counts_the_failures_of_all_children_in_the_period() {
    let (mut policy, start) = (policy(4, LimitAction::Exit), Instant::now());
    for (second, child) in [(0, ActorName::Token), (1, ActorName::Health)] {
        for _ in 0..2 {
            let now = start + Duration::from_secs(second);
            assert!(policy.record_failure(child, STABLE_AFTER, now).passed_limit.is_none());
        }
    }
    let decision = policy.record_failure(ActorName::KeyVault, STABLE_AFTER, start + Duration::from_secs(59));
    assert_eq!(decision.passed_limit.unwrap(), "more than 4 restarts in 60s");
}

#[test]
fn failures_as_old_as_the_period_are_forgotten() {
    let (mut policy, start) = (policy(2, LimitAction::Exit), Instant::now());
    for second in (0..600).step_by(30) {
        let now = start + Duration::from_secs(second);
        assert!(
            policy.record_failure(ActorName::Token, STABLE_AFTER, now).passed_limit.is_none(),
            "{second}"
        );
    }
}

#[test]
fn a_fault_every_three_seconds_never_passes_the_default_limit() {
    let (mut policy, start) = (policy(30, LimitAction::Exit), Instant::now());
    let children = [ActorName::Token, ActorName::KeyVault, ActorName::Health, ActorName::Reload];
    for fault in 0..1000 {
        let now = start + Duration::from_secs(3) * fault;
        let decision = policy.record_failure(children[fault as usize % 4], STABLE_AFTER, now);
        assert!(decision.passed_limit.is_none() && is_jittered(decision.pause, FIRST), "{decision:?}");
    }
}

#[test]
fn a_crash_loop_passes_the_default_limit_within_a_minute() {
    let (mut policy, start) = (policy(30, LimitAction::Exit), Instant::now());
    let mut now = start;
    while policy.last_report.is_none() {
        now += policy.record_failure(ActorName::Token, AT_ONCE, now).pause;
    }
    assert!(now - start < PERIOD + LONGEST * 2, "{:?}", now - start);
}

#[test]
fn a_child_that_never_comes_to_work_passes_the_limit_however_slowly_it_fails() {
    let (mut policy, start) = (policy(3, LimitAction::Exit), Instant::now());
    let mut fail = |hours: u32| {
        policy.record_failure(ActorName::Token, AT_ONCE, start + PERIOD * 60 * hours).passed_limit
    };
    assert!((0..3).all(|hours| fail(hours).is_none()));
    assert_eq!(fail(3).unwrap(), "4 failures in a row within 1s of a start");
}

#[test]
fn to_retry_is_to_go_on_with_the_longest_pause_until_it_is_quiet() {
    let (mut policy, start) = (policy(2, LimitAction::Retry), Instant::now());
    for _ in 0..2 {
        policy.record_failure(ActorName::Token, STABLE_AFTER, start);
    }
    for _ in 0..100 {
        let pause = policy.record_failure(ActorName::Token, STABLE_AFTER, start).pause;
        assert!(is_jittered(pause, LONGEST), "{pause:?}");
    }
    let pause = policy.record_failure(ActorName::Token, STABLE_AFTER, start + PERIOD).pause;
    assert!(is_jittered(pause, FIRST), "{pause:?}");
}

#[test]
fn a_passed_limit_is_reported_once_in_a_period() {
    let (mut policy, start) = (policy(1, LimitAction::Retry), Instant::now());
    let mut reported = (0..180).filter(|second| {
        let now = start + Duration::from_secs(*second);
        policy.record_failure(ActorName::Token, STABLE_AFTER, now).passed_limit.is_some()
    });
    let seconds: Vec<u64> = reported.by_ref().collect();
    assert_eq!(seconds, [1, 61, 121]);
}
