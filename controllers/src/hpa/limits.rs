//! From what the metrics ask for to what is done: stabilisation windows, rates and bounds.

use seatrial_api::autoscaling::{PolicyUnit, ScalingBehavior, ScalingRules, SelectPolicy};
use seatrial_api::units::{SimTime, Span};

/// The window over which nothing is scaled down below the highest recommendation.
const DOWNSCALE_WINDOW: Span = Span::from_secs(300);
/// Without behaviour, one sync at most doubles the size, or reaches this.
const SCALE_UP_MINIMUM: i32 = 4;

/// A size that was recommended or an amount that was changed, and when.
type At = (SimTime, i32);

/// What is remembered of an autoscaler; forgotten when the controller restarts.
#[derive(Clone, Debug, Default)]
pub struct History {
    recommendations: Vec<At>,
    added: Vec<At>,
    removed: Vec<At>,
}

/// The bounds and the sizes of one decision.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The size as specified.
    pub current: i32,
    /// The size that the metrics ask for.
    pub desired: i32,
    /// The least size.
    pub min: i32,
    /// The greatest size.
    pub max: i32,
}

// A condition's reason and message.
type Reason = (&'static str, &'static str);

/// A decision and the reasons of its conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The size.
    pub replicas: i32,
    /// Why the size is able to change: AbleToScale.
    pub stabilized: (&'static str, &'static str),
    /// Whether a limit was met: ScalingLimited.
    pub is_limited: bool,
    /// Which one.
    pub limit: (&'static str, &'static str),
}

const READY: Reason = ("ReadyForNewScale", "recommended size matches current size");
const UP_STABILIZED: Reason = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const DOWN_STABILIZED: Reason = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const WITHIN: Reason = ("DesiredWithinRange", "the desired count is within the acceptable range");
const UP_LIMIT: Reason =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const DOWN_LIMIT: Reason =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
const TOO_MANY: Reason =
    ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: Reason =
    ("TooFewReplicas", "the desired replica count is less than the minimum replica count");

impl History {
    /// Notes the size that the first sync has found, so that nothing goes down in the first window.
    pub fn begin(&mut self, now: SimTime, current: i32) {
        if self.recommendations.is_empty() {
            self.recommendations.push((now, current));
        }
    }

    /// Decides on the size.
    pub fn decide(&mut self, now: SimTime, request: Request, behavior: Option<&ScalingBehavior>) -> Decision {
        let (recommended, reason) = match behavior {
            None => self.stabilize(now, request),
            Some(behavior) => self.stabilize_both(now, request, behavior),
        };
        let stabilized = if recommended == request.desired { READY } else { reason };
        let request = Request { desired: recommended, ..request };
        let (replicas, limit) = match behavior {
            None => limit(request),
            Some(behavior) => self.limit_rates(now, request, behavior),
        };
        Decision { replicas, stabilized, is_limited: replicas != recommended, limit }
    }

    /// Notes that the size was changed.
    pub fn record(&mut self, now: SimTime, from: i32, to: i32, behavior: Option<&ScalingBehavior>) {
        let Some(behavior) = behavior else { return };
        let (events, rules) = if to > from {
            (&mut self.added, &behavior.scale_up)
        } else {
            (&mut self.removed, &behavior.scale_down)
        };
        let longest = rules.policies.iter().map(|policy| policy.period_seconds).max().unwrap_or(0);
        let cutoff = now - Span::from_secs(i64::from(longest));
        replace_old(events, (now, (to - from).abs()), |at| at < cutoff);
    }

    /// Without behaviour: the highest recommendation of the window, also upwards.
    fn stabilize(&mut self, now: SimTime, request: Request) -> (i32, Reason) {
        let cutoff = now - DOWNSCALE_WINDOW;
        let recent = self.recommendations.iter().filter(|row| row.0 >= cutoff).map(|row| row.1);
        let highest = recent.fold(request.desired, i32::max);
        replace_old(&mut self.recommendations, (now, request.desired), |at| at < cutoff);
        (highest, DOWN_STABILIZED)
    }

    /// With behaviour: raised to the lowest of the upward window, lowered to the highest of the
    /// downward one.
    fn stabilize_both(
        &mut self,
        now: SimTime,
        request: Request,
        behavior: &ScalingBehavior,
    ) -> (i32, Reason) {
        let cutoff = |rules: &ScalingRules, default: Span| {
            let window =
                rules.stabilization_window_seconds.map(|seconds| Span::from_secs(i64::from(seconds)));
            now - window.unwrap_or(default)
        };
        let up_cutoff = cutoff(&behavior.scale_up, Span::ZERO);
        let down_cutoff = cutoff(&behavior.scale_down, DOWNSCALE_WINDOW);
        let (mut up, mut down) = (request.desired, request.desired);
        for &(at, size) in &self.recommendations {
            if at > up_cutoff {
                up = up.min(size);
            }
            if at > down_cutoff {
                down = down.max(size);
            }
        }
        replace_old(&mut self.recommendations, (now, request.desired), |at| {
            at < up_cutoff && at < down_cutoff
        });
        let recommended = request.current.max(up).min(down);
        let reason = if request.desired >= request.current { UP_STABILIZED } else { DOWN_STABILIZED };
        (recommended, reason)
    }

    /// The rates of the behaviour and the bounds.
    fn limit_rates(&self, now: SimTime, request: Request, behavior: &ScalingBehavior) -> (i32, Reason) {
        let Request { current, desired, min, max } = request;
        if desired > current {
            let rate = self.reach(now, current, &behavior.scale_up, 1).max(current);
            let (most, reason) = if max > rate { (rate, UP_LIMIT) } else { (max, TOO_MANY) };
            if desired > most {
                return (most, reason);
            }
        } else if desired < current {
            let rate = self.reach(now, current, &behavior.scale_down, -1).min(current);
            let (least, reason) = if min < rate { (rate, DOWN_LIMIT) } else { (min, TOO_FEW) };
            if desired < least {
                return (least, reason);
            }
        }
        (desired, WITHIN)
    }

    /// How far the policies of one direction (`sign`) let the size go.
    fn reach(&self, now: SimTime, current: i32, rules: &ScalingRules, sign: i32) -> i32 {
        if rules.select_policy == SelectPolicy::Disabled {
            return current;
        }
        let in_period = |events: &[At], seconds: i32| {
            let cutoff = now - Span::from_secs(i64::from(seconds));
            events.iter().filter(|row| row.0 > cutoff).map(|row| row.1).sum::<i32>()
        };
        let proposals = rules.policies.iter().map(|policy| {
            let added = in_period(&self.added, policy.period_seconds);
            let removed = in_period(&self.removed, policy.period_seconds);
            let start = current - added + removed;
            match policy.unit {
                PolicyUnit::Pods => start + sign * policy.value,
                PolicyUnit::Percent => {
                    let size = f64::from(start) * (1.0 + f64::from(sign) * f64::from(policy.value) / 100.0);
                    if sign > 0 { size.ceil() as i32 } else { size as i32 }
                }
            }
        });
        // The largest change is the largest size upwards and the smallest one downwards.
        let largest = (rules.select_policy == SelectPolicy::Max) == (sign > 0);
        let reached = if largest { proposals.max() } else { proposals.min() };
        reached.unwrap_or(if largest { i32::MIN } else { i32::MAX })
    }
}

/// Without behaviour: at most twice the size or four, and the bounds.
fn limit(Request { current, desired, min, max }: Request) -> (i32, Reason) {
    let rate = current.saturating_mul(2).max(SCALE_UP_MINIMUM);
    let (most, reason) = if max > rate { (rate, UP_LIMIT) } else { (max, TOO_MANY) };
    if desired < min {
        (min, TOO_FEW)
    } else if desired > most {
        (most, reason)
    } else {
        (desired, WITHIN)
    }
}

/// Puts `new` in the place of the last entry that is old, or at the end.
fn replace_old(entries: &mut Vec<At>, new: At, is_old: impl Fn(SimTime) -> bool) {
    match entries.iter_mut().rev().find(|entry| is_old(entry.0)) {
        Some(old) => *old = new,
        None => entries.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seatrial_api::autoscaling::ScalingPolicy;

    fn at(seconds: i64) -> SimTime {
        SimTime::from_secs(seconds)
    }

    fn request(current: i32, desired: i32) -> Request {
        Request { current, desired, min: 1, max: 10 }
    }

    fn rules(window: Option<i32>, select: SelectPolicy, policies: &[(PolicyUnit, i32, i32)]) -> ScalingRules {
        let policy = |&(unit, value, period_seconds): &(PolicyUnit, i32, i32)| ScalingPolicy {
            unit,
            value,
            period_seconds,
        };
        ScalingRules {
            stabilization_window_seconds: window,
            select_policy: select,
            policies: policies.iter().map(policy).collect(),
            tolerance: None,
        }
    }

    #[test]
    fn without_behaviour_a_jump_is_cut_and_completed_later() {
        let mut history = History::default();
        history.begin(at(0), 4);
        let first = history.decide(at(0), request(4, 16), None);
        assert_eq!((first.replicas, first.limit.0, first.is_limited), (8, "ScaleUpLimit", true));
        let second = history.decide(at(15), request(8, 8), None);
        assert_eq!((second.replicas, second.limit.0), (10, "TooManyReplicas"));
        assert_eq!(second.stabilized.0, "ScaleDownStabilized");
        assert_eq!(limit(request(1, 3)).0, 3);
        assert_eq!(limit(request(1, 9)).0, 4);
        assert_eq!(limit(Request { min: 3, ..request(5, 2) }), (3, TOO_FEW));
    }

    #[test]
    fn without_behaviour_nothing_goes_down_in_the_first_five_minutes() {
        let mut history = History::default();
        history.begin(at(0), 5);
        for seconds in (0..=300).step_by(15) {
            assert_eq!(history.decide(at(seconds), request(5, 1), None).replicas, 5, "at {seconds} s");
        }
        let decision = history.decide(at(315), request(5, 1), None);
        assert_eq!((decision.replicas, decision.stabilized), (1, READY));
    }

    #[test]
    fn with_behaviour_each_direction_has_its_window() {
        let behavior = ScalingBehavior {
            scale_up: rules(Some(60), SelectPolicy::Max, &[(PolicyUnit::Percent, 100, 15)]),
            scale_down: rules(Some(0), SelectPolicy::Max, &[(PolicyUnit::Percent, 100, 15)]),
        };
        let mut history = History::default();
        history.begin(at(0), 4);
        let held = history.decide(at(15), request(4, 8), Some(&behavior));
        assert_eq!((held.replicas, held.stabilized.0), (4, "ScaleUpStabilized"));
        assert_eq!(history.decide(at(61), request(4, 8), Some(&behavior)).replicas, 8);
        assert_eq!(history.decide(at(75), request(8, 2), Some(&behavior)).replicas, 2, "no window down");
    }

    #[test]
    fn rates_count_what_was_changed_in_their_period() {
        use PolicyUnit::{Percent, Pods};
        use SelectPolicy::{Disabled, Max, Min};
        // Select, policies, added, removed, and how far 10 may go up and down.
        type Row = (SelectPolicy, &'static [(PolicyUnit, i32, i32)], i32, i32, i32, i32);
        let rows: [Row; 8] = [
            (Max, &[(Pods, 4, 60)], 0, 0, 14, 6),
            (Max, &[(Percent, 50, 60)], 0, 0, 15, 5),
            (Max, &[(Pods, 4, 60), (Percent, 50, 60)], 0, 0, 15, 5),
            (Min, &[(Pods, 4, 60), (Percent, 50, 60)], 0, 0, 14, 6),
            (Disabled, &[(Pods, 4, 60)], 0, 0, 10, 10),
            (Max, &[(Pods, 4, 60)], 3, 0, 11, 3),
            (Max, &[(Pods, 4, 60)], 0, 3, 17, 9),
            (Max, &[(Percent, 15, 60)], 0, 0, 12, 8),
        ];
        for (select, policies, added, removed, up, down) in rows {
            let history = History {
                recommendations: vec![],
                added: vec![(at(30), added)],
                removed: vec![(at(30), removed)],
            };
            let rules = rules(None, select, policies);
            let reach = |sign| history.reach(at(60), 10, &rules, sign);
            assert_eq!((reach(1), reach(-1)), (up, down), "{select:?} {policies:?}");
            let later = |sign| history.reach(at(91), 10, &rules, sign);
            let without = History::default();
            assert_eq!(
                (later(1), later(-1)),
                (without.reach(at(91), 10, &rules, 1), without.reach(at(91), 10, &rules, -1))
            );
        }
    }

    #[test]
    fn only_changes_within_the_longest_period_are_remembered() {
        let behavior = ScalingBehavior {
            scale_up: rules(None, SelectPolicy::Max, &[(PolicyUnit::Pods, 1, 30)]),
            scale_down: rules(None, SelectPolicy::Max, &[(PolicyUnit::Pods, 1, 30)]),
        };
        let mut history = History::default();
        for (seconds, size) in [(0, 1), (15, 2), (60, 3), (120, 4)] {
            history.record(at(seconds), size, size + 1, Some(&behavior));
        }
        assert_eq!(history.added.len(), 2);
        history.record(at(130), 5, 3, Some(&behavior));
        assert_eq!(history.removed, [(at(130), 2)]);
    }

    proptest::proptest! {
        #[test]
        fn sizes_stay_within_bounds_and_never_move_against_what_is_asked(
            steps in proptest::collection::vec((0i32..40, 0i64..400), 1..40),
            with_behavior in proptest::bool::ANY,
            pods in 1i32..5,
            window in 0i32..120,
        ) {
            let behavior = ScalingBehavior {
                scale_up: rules(Some(window), SelectPolicy::Max, &[(PolicyUnit::Pods, pods, 30)]),
                scale_down: rules(None, SelectPolicy::Min, &[(PolicyUnit::Percent, 50, 30), (PolicyUnit::Pods, pods, 60)]),
            };
            let behavior = with_behavior.then_some(&behavior);
            let (mut history, mut current, mut now) = (History::default(), 5, SimTime::ZERO);
            history.begin(now, current);
            for (desired, pause) in steps {
                now += Span::from_secs(pause);
                let request = Request { current, desired, min: 2, max: 20 };
                let decision = history.decide(now, request, behavior);
                let asked = desired.clamp(2, 20);
                proptest::prop_assert!((2..=20).contains(&decision.replicas));
                proptest::prop_assert!(asked < current || decision.replicas >= current);
                if decision.replicas != current {
                    history.record(now, current, decision.replicas, behavior);
                    current = decision.replicas;
                }
            }
        }
    }
}
