use super::{PatchError, PatchType, patch};
use crate::document::{Diagnostics, DuplicateKeys, Node, read_documents};

fn read(text: &str) -> Node {
    let mut findings = Diagnostics::new();
    let documents =
        read_documents(&std::sync::Arc::from("test"), text.as_bytes(), DuplicateKeys::Refused, &mut findings);
    assert!(findings.is_empty(), "{text}");
    documents.into_iter().next().expect("a document")
}

fn patched(document: &str, body: &str, how: PatchType) -> Result<Node, PatchError> {
    patch(&read(document), &read(body), how)
}

#[track_caller]
fn check(how: PatchType, document: &str, body: &str, expected: &str) {
    let found = patched(document, body, how).expect("it applies");
    assert!(found.says_the_same_as(&read(expected)), "{} instead of {expected}", found.value);
}

#[track_caller]
fn check_strategic(spec: &str, body: &str, expected: &str) {
    let whole = |spec: &str| format!("{{apiVersion: v1, kind: Pod, spec: {spec}}}");
    let body = format!("{{spec: {body}}}");
    let found = patched(&whole(spec), &body, PatchType::Strategic).expect("it applies");
    // Here the order of lists counts, which says_the_same_as compares.
    assert!(found.says_the_same_as(&read(&whole(expected))), "{} instead of {expected}", found.value);
}

#[test]
fn json_patches_change_what_they_point_at() {
    let document = r#"{"a": {"b/c": [1, 2, 3]}, "d~e": "x"}"#;
    let cases = [
        (r#"[{"op":"add","path":"/a/b~1c/-","value":4}]"#, r#"{"a": {"b/c": [1, 2, 3, 4]}, "d~e": "x"}"#),
        (r#"[{"op":"add","path":"/a/b~1c/0","value":0}]"#, r#"{"a": {"b/c": [0, 1, 2, 3]}, "d~e": "x"}"#),
        (r#"[{"op":"replace","path":"/a/b~1c/1","value":9}]"#, r#"{"a": {"b/c": [1, 9, 3]}, "d~e": "x"}"#),
        (r#"[{"op":"remove","path":"/d~0e"}]"#, r#"{"a": {"b/c": [1, 2, 3]}}"#),
        (r#"[{"op":"move","from":"/d~0e","path":"/a/f"}]"#, r#"{"a": {"b/c": [1, 2, 3], "f": "x"}}"#),
        (
            r#"[{"op":"copy","from":"/a/b~1c/0","path":"/g"}]"#,
            r#"{"a": {"b/c": [1, 2, 3]}, "d~e": "x", "g": 1}"#,
        ),
        (
            r#"[{"op":"test","path":"/d~0e","value":"x"},{"op":"add","path":"/d~0e","value":null}]"#,
            r#"{"a": {"b/c": [1, 2, 3]}, "d~e": null}"#,
        ),
    ];
    for (body, expected) in cases {
        check(PatchType::Json, document, body, expected);
    }
    for body in [
        r#"[{"op":"remove","path":"/nope"}]"#,
        r#"[{"op":"replace","path":"/nope","value":1}]"#,
        r#"[{"op":"test","path":"/d~0e","value":"y"}]"#,
        r#"[{"op":"add","path":"/a/b~1c/9","value":1}]"#,
        r#"[{"op":"add","path":"/nope/x","value":1}]"#,
        r#"[{"op":"swap","path":"/a"}]"#,
        r#"[{"op":"add","path":"a","value":1}]"#,
        r#"[{"op":"remove","path":""}]"#,
    ] {
        let error = patched(document, body, PatchType::Json).expect_err(body);
        assert!(matches!(error, PatchError::DoesNotApply(_)), "{body}: {error:?}");
    }
    assert!(matches!(patched(document, "{}", PatchType::Json), Err(PatchError::Malformed(_))));
}

#[test]
fn merge_patches_are_laid_over() {
    let document = r#"{"a": {"b": 1, "c": [1, 2]}, "d": 1}"#;
    check(
        PatchType::Merge,
        document,
        r#"{"a": {"b": null, "c": [3], "e": {"f": null, "g": 1}}, "d": {"x": 1}, "n": null}"#,
        r#"{"a": {"c": [3], "e": {"g": 1}}, "d": {"x": 1}}"#,
    );
    assert!(matches!(patched(document, "[]", PatchType::Merge), Err(PatchError::Malformed(_))));
}

#[test]
fn strategic_patches_merge_lists_by_their_keys() {
    let spec = "{containers: [{name: a, image: x}, {name: b, image: y, args: [p, q]}], nodeSelector: {k: v}}";
    check_strategic(
        spec,
        "{containers: [{name: b, args: [r]}, {name: c, image: z}], nodeSelector: {k: null, l: w}}",
        "{containers: [{name: a, image: x}, {name: b, image: y, args: [r]}, {name: c, image: z}], nodeSelector: {l: w}}",
    );
    check_strategic(
        spec,
        "{containers: [{$patch: delete, name: a}]}",
        "{containers: [{name: b, image: y, args: [p, q]}], nodeSelector: {k: v}}",
    );
    check_strategic(
        spec,
        "{containers: [{$patch: replace}, {name: n}]}",
        "{containers: [{name: n}], nodeSelector: {k: v}}",
    );
    check_strategic(spec, "{$patch: replace, nodeName: n}", "{nodeName: n}");
    check_strategic(
        spec,
        "{$setElementOrder/containers: [{name: c}, {name: b}, {name: a}], containers: [{name: c, image: z}]}",
        "{containers: [{name: c, image: z}, {name: b, image: y, args: [p, q]}, {name: a, image: x}], nodeSelector: {k: v}}",
    );
    // Lists without a merge key are replaced.
    check_strategic("{tolerations: [{key: a}]}", "{tolerations: [{key: b}]}", "{tolerations: [{key: b}]}");
}

#[test]
fn strategic_directives_take_away_scalars_and_foreign_fields() {
    let pod =
        |finalizers: &str| format!("{{apiVersion: v1, kind: Pod, metadata: {{finalizers: {finalizers}}}}}");
    check(
        PatchType::Strategic,
        &pod("[a/b, c/d]"),
        "{metadata: {$deleteFromPrimitiveList/finalizers: [a/b, x/y]}}",
        &pod("[c/d]"),
    );
    check(
        PatchType::Strategic,
        &pod("[a/b]"),
        "{metadata: {finalizers: [c/d], $setElementOrder/finalizers: [c/d, a/b]}}",
        &pod("[c/d, a/b]"),
    );
    let owners = "{apiVersion: v1, kind: Pod, metadata: {uid: u, ownerReferences: [{uid: one}, {uid: two}]}}";
    check(
        PatchType::Strategic,
        owners,
        "{metadata: {uid: u, ownerReferences: [{$patch: delete, uid: one}]}}",
        "{apiVersion: v1, kind: Pod, metadata: {uid: u, ownerReferences: [{uid: two}]}}",
    );
    let deployment =
        |strategy: &str| format!("{{apiVersion: apps/v1, kind: Deployment, spec: {{strategy: {strategy}}}}}");
    check(
        PatchType::Strategic,
        &deployment("{type: RollingUpdate, rollingUpdate: {maxSurge: 1}}"),
        "{spec: {strategy: {$retainKeys: [type], type: Recreate}}}",
        &deployment("{type: Recreate}"),
    );
    check_strategic(
        "{volumes: [{name: v, emptyDir: {}}]}",
        "{volumes: [{name: v, $retainKeys: [name, secret], secret: {secretName: s}}]}",
        "{volumes: [{name: v, secret: {secretName: s}}]}",
    );
}

#[test]
fn misused_directives_are_refused() {
    let pod = "{apiVersion: v1, kind: Pod, spec: {containers: [{name: a}], nodeSelector: {a: b}}}";
    for (body, malformed) in [
        ("{spec: {containers: [{image: x}]}}", false),
        ("{spec: {$patch: other}}", false),
        ("{spec: {nosuch: {a: b}}}", true),
        ("{spec: {$retainKeys: [containers], nodeName: n}}", true),
        ("{spec: {$setElementOrder/containers: [{name: z}], containers: [{name: a}]}}", false),
        ("{spec: {$setElementOrder/nosuch: []}}", false),
        ("[]", true),
    ] {
        match patched(pod, body, PatchType::Strategic) {
            Ok(_) => assert!(body.contains("nosuch"), "{body}"),
            Err(error) => {
                assert_eq!(matches!(error, PatchError::Malformed(_)), malformed, "{body}: {error:?}")
            }
        }
    }
}
