//! The chain of events behind a pod.

use seatrial_reports::explain::{EventRecord, NotExplained, PodRecord, Recorded, chain, explain_chain};

use crate::made_up::at;

fn event(
    millis: i64,
    kind: &str,
    name: &str,
    event: &str,
    reason: &str,
    message: &str,
    cause: Option<u32>,
) -> EventRecord {
    let namespace = if kind == "Fault" { "" } else { "shop" };
    EventRecord {
        time: at(millis),
        kind: kind.into(),
        namespace: namespace.into(),
        name: name.into(),
        event: event.into(),
        reason: reason.into(),
        message: message.into(),
        cause,
    }
}

fn pod(namespace: &str, name: &str) -> PodRecord {
    PodRecord {
        namespace: namespace.into(),
        name: name.into(),
        owner: "ReplicaSet/cart".into(),
        node: "b1".into(),
        phase: "Running".into(),
        created: at(900_020),
        reason: "".into(),
        message: "".into(),
        deleted: false,
    }
}

fn recorded() -> Recorded {
    let per_node = "0/2 nodes are available\na1: had untolerated taint\nb1: Insufficient cpu";
    Recorded {
        events: vec![
            event(600_000, "Fault", "loss", "FaultBegin", "Crash", "zone a", None),
            event(600_000, "Pod", "cart-x", "Added", "", "", None),
            event(900_000, "Pod", "cart-x", "Deleted", "TaintEviction", "", Some(0)),
            event(
                900_010,
                "ReplicaSet",
                "cart",
                "Normal",
                "SuccessfulCreate",
                "Created pod: cart-y",
                Some(2),
            ),
            event(900_020, "Pod", "cart-y", "Added", "", "", Some(3)),
            event(900_030, "Pod", "cart-y", "Warning", "FailedScheduling", per_node, Some(4)),
            event(
                960_000,
                "Pod",
                "cart-y",
                "Normal",
                "Scheduled",
                "Successfully assigned shop/cart-y to b1",
                Some(4),
            ),
        ],
        pods: vec![pod("shop", "cart-x"), pod("shop", "cart-y"), pod("other", "cart-x")],
    }
}

#[test]
fn the_chain_goes_from_the_root_to_the_last_event_of_the_pod() {
    let expected = "\
shop/cart-y of ReplicaSet/cart: Running on b1, created at 15m00.02s

What led there:
!     10m00s  Fault loss            Crash: zone a
      15m00s  Pod shop/cart-x       TaintEviction
   15m00.01s  ReplicaSet shop/cart  SuccessfulCreate: Created pod: cart-y
   15m00.02s  Pod shop/cart-y       Added
      16m00s  Pod shop/cart-y       Scheduled: Successfully assigned shop/cart-y to b1

What else happened to it:
!  15m00.03s  Pod shop/cart-y  FailedScheduling: 0/2 nodes are available
                               a1: had untolerated taint
                               b1: Insufficient cpu
";
    let found = explain_chain(&recorded(), "cart-y").expect("the pod is there");
    assert_eq!(found, expected);
    assert_eq!(explain_chain(&recorded(), "shop/cart-y"), Ok(found));
}

#[test]
fn a_cause_that_is_not_earlier_ends_the_chain() {
    let mut events = recorded().events;
    events[0].cause = Some(0);
    events[2].cause = Some(6);
    assert_eq!(chain(&events, 6), [2, 3, 4, 6]);
    assert_eq!(chain(&events, 0), [0]);
    assert_eq!(chain(&events, 99), [99]);
}

#[test]
fn an_unknown_or_ambiguous_name_is_answered_with_what_there_is() {
    let ambiguous = explain_chain(&recorded(), "cart-x").expect_err("two namespaces have it");
    assert_eq!(ambiguous.to_string(), "'cart-x' could be other/cart-x or shop/cart-x: give namespace/name");
    let unknown = explain_chain(&recorded(), "cart-z").expect_err("nobody has it");
    let similar = vec!["shop/cart-x".to_owned(), "shop/cart-y".to_owned(), "other/cart-x".to_owned()];
    assert_eq!(unknown, NotExplained::Unknown { asked: "cart-z".to_owned(), similar });
}
