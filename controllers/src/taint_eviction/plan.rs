//! When a pod must leave a tainted node.

use seatrial_api::scheduling::{Taint, TaintEffect, Toleration};
use seatrial_api::units::Span;

/// When a pod must leave its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At once.
    Now,
    /// After this time, counted from when the taint was seen; zero is at once, unless a deletion
    /// is scheduled already.
    After(Span),
    /// It may stay.
    Never,
}

fn no_execute(taints: &[Taint]) -> impl Iterator<Item = &Taint> {
    taints.iter().filter(|taint| taint.effect == TaintEffect::NoExecute)
}

/// Whether both lists have the same NoExecute taints in the same order.
pub(super) fn same_no_execute(old: &[Taint], new: &[Taint]) -> bool {
    no_execute(old).eq(no_execute(new))
}

/// Judges a pod with `tolerations` on a node with `taints`, of which only those with the effect
/// NoExecute count. For each taint the first toleration that matches is used; the shortest time
/// of those used decides.
pub fn judge(taints: &[Taint], tolerations: &[Toleration]) -> Verdict {
    let mut shortest: Option<Span> = None;
    for taint in no_execute(taints) {
        let Some(used) = tolerations.iter().find(|toleration| toleration.tolerates(taint)) else {
            return Verdict::Now;
        };
        if let Some(span) = used.span() {
            shortest = Some(shortest.map_or(span, |shortest| shortest.min(span)));
        }
    }
    shortest.map_or(Verdict::Never, Verdict::After)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seatrial_api::scheduling::TolerationOperator;

    fn taint(key: &str, effect: TaintEffect) -> Taint {
        Taint { key: key.into(), value: "".into(), effect }
    }

    fn toleration(key: &str, seconds: Option<i64>) -> Toleration {
        let (operator, effect) = (TolerationOperator::Exists, Some(TaintEffect::NoExecute));
        Toleration { key: key.into(), operator, value: "".into(), effect, seconds }
    }

    #[test]
    fn the_first_matching_toleration_of_each_taint_decides() {
        use TaintEffect::{NoExecute, NoSchedule};
        let after = |seconds| Verdict::After(Span::from_secs(seconds));
        let (a, b) = (taint("a", NoExecute), taint("b", NoExecute));
        let rows = [
            (vec![], vec![], Verdict::Never),
            (vec![taint("a", NoSchedule)], vec![], Verdict::Never),
            (vec![a.clone()], vec![], Verdict::Now),
            (vec![a.clone()], vec![toleration("b", None)], Verdict::Now),
            (vec![a.clone()], vec![toleration("a", None)], Verdict::Never),
            (vec![a.clone()], vec![toleration("a", Some(300))], after(300)),
            (vec![a.clone()], vec![toleration("a", Some(0))], after(0)),
            (vec![a.clone()], vec![toleration("a", Some(-5))], after(0)),
            (vec![a.clone()], vec![toleration("", Some(8)), toleration("a", Some(2))], after(8)),
            (
                vec![a.clone(), b.clone()],
                vec![toleration("a", Some(300)), toleration("b", Some(10))],
                after(10),
            ),
            (vec![a.clone(), b.clone()], vec![toleration("a", None), toleration("b", Some(10))], after(10)),
            (vec![a, b], vec![toleration("a", Some(10))], Verdict::Now),
        ];
        for (taints, tolerations, expected) in rows {
            assert_eq!(judge(&taints, &tolerations), expected, "{taints:?} {tolerations:?}");
        }
    }
}
