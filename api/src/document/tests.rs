use super::sequence::{PACKED_FROM, Packer};
use super::*;
use proptest::prelude::*;
use std::borrow::Cow;

/// Reads `text` as a manifest: the objects as JSON, one a line, and the findings.
fn read(text: &str) -> (String, String) {
    let (mut reader, mut findings) = (ObjectReader::new("f", text.as_bytes()), Diagnostics::new());
    let mut objects = String::new();
    while let Some(object) = reader.next(&mut findings) {
        objects += &format!("{}\n", object.value);
    }
    (objects, findings.to_string())
}

/// Asserts that `text` is read without a finding as the objects `expected`.
#[track_caller]
fn reads(text: &str, expected: &[&str]) {
    let (objects, findings) = read(text);
    assert_eq!(findings, "", "{text}");
    assert_eq!(objects.lines().collect::<Vec<_>>(), expected, "{text}");
}

/// Asserts that reading `text` finds exactly `expected`, and returns the objects.
#[track_caller]
fn finds(text: &str, expected: &[&str]) -> String {
    let (objects, findings) = read(text);
    assert_eq!(findings.lines().collect::<Vec<_>>(), expected, "{text}");
    objects
}

#[test]
fn documents_hold_what_kubectl_sends() {
    for (text, expected) in [
        ("a: 1\nb: [x, 'y', \"z\\n\"]\n", r#"{"a":1,"b":["x","y","z\n"]}"#),
        (
            "mode: 0644\nuse: yes\nnot: off\nno: ~\nhex: 0x10\n",
            r#"{"mode":420,"use":true,"not":false,"false":null,"hex":16}"#,
        ),
        ("on: 1\n1: a\n1.5: b\n'2': c\n", r#"{"true":1,"1":"a","1.5":"b","2":"c"}"#),
        ("t: |\n  two\n  lines\nf: >-\n  one\n  line\n", r#"{"t":"two\nlines\n","f":"one line"}"#),
        ("t: |\n  no line feed at the end", r#"{"t":"no line feed at the end"}"#),
        ("when: 2030-01-01T00:00:00Z\n", r#"{"when":"2030-01-01T00:00:00Z"}"#),
        (
            "s: !!str 12\nf: !!float 1\nown: !mine 12\nbare: ! 12\n",
            r#"{"s":"12","f":1,"own":"12","bare":12}"#,
        ),
        ("a: &x {k: 1}\nb: *x\nc: &y text\nd: *y\n", r#"{"a":{"k":1},"b":{"k":1},"c":"text","d":"text"}"#),
        ("&k key: 1\nother: *k\n", r#"{"key":1,"other":"key"}"#),
        ("{a: 1, \"b\": [2,],}", r#"{"a":1,"b":[2]}"#),
        ("a: <<\n\"<<\": x\n", r#"{"a":"<<","<<":"x"}"#),
        ("# only a comment\na: b # and one here\n", r#"{"a":"b"}"#),
        ("\u{feff}a: b\n", r#"{"a":"b"}"#),
        ("a: b\r\nc:\r\n- d\r\n", r#"{"a":"b","c":["d"]}"#),
        ("%YAML 1.1\n---\na: 1e3\nb: 1_000\n", r#"{"a":1000,"b":1000}"#),
        (
            "{\"a\":1,\"b\":[true,null,-0.5],\"c\":\"\\u00e9\\ud83d\\ude00\\/\\n\"}",
            "{\"a\":1,\"b\":[true,null,-0.5],\"c\":\"é😀/\\n\"}",
        ),
        (
            "{\"a\": 1e3, \"b\": 18446744073709551615, \"<<\": 5}",
            r#"{"a":1000,"b":18446744073709551615,"<<":5}"#,
        ),
        ("\u{feff} {}", "{}"),
    ] {
        reads(text, &[expected]);
    }
}

#[test]
fn merge_keys_bring_fields_that_later_ones_override() {
    reads("b: &b {x: 1, z: 2}\nm:\n  <<: *b\n  z: 3\n", &[r#"{"b":{"x":1,"z":2},"m":{"x":1,"z":3}}"#]);
    reads(
        "a: &a {x: 1}\nb: &b {x: 2, w: 2}\nm:\n  <<: [*a, *b, {z: 3}]\n",
        &[r#"{"a":{"x":1},"b":{"x":2,"w":2},"m":{"z":3,"w":2,"x":1}}"#],
    );
    let objects = finds(
        "b: &b {x: 1}\nm:\n  x: 2\n  <<: *b\n",
        &["f:3:3: warning: m.x: the merge key below it replaces this by the value at 1:8, as with kubectl \
           (put `<<` before it)"],
    );
    assert_eq!(objects, "{\"b\":{\"x\":1},\"m\":{\"x\":1}}\n");
    finds("m:\n  <<: 5\n", &["f:2:7: m[<<]: expected a mapping, or a list of mappings, to merge, found 5"]);
}

#[test]
fn a_file_may_hold_several_documents_and_empty_ones_are_skipped() {
    reads("---\n# nothing\n---\na: 1\n...\n---\n~\n---\n\n--- {b: 2}\n---\n", &[r#"{"a":1}"#, r#"{"b":2}"#]);
    reads("{\"a\":1}{\"b\":2}\n{\"c\":3}", &[r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#]);
    reads("{\"a\":1}\n---\nb: 2\n---\n{\"c\": 3}\n", &[r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#]);
    for nothing in ["", " \n", "---\n", "# x", "\u{feff}", "null", "---\n---\n---"] {
        reads(nothing, &[]);
    }
}

#[test]
fn lists_are_expanded_wherever_their_kind_stands() {
    let items = [r#"{"kind":"Pod","apiVersion":"v1"}"#, r#"{"kind":"Node","apiVersion":"v1"}"#];
    reads("kind: List\nitems:\n- {kind: Pod, apiVersion: v1}\n- {kind: Node, apiVersion: v1}\n", &items);
    reads("items:\n- {kind: Pod, apiVersion: v1}\n- {kind: Node, apiVersion: v1}\nkind: List\n", &items);
    reads(
        "{\"items\":[{\"kind\":\"Pod\",\"apiVersion\":\"v1\"},{\"kind\":\"Node\",\"apiVersion\":\"v1\"}],\"x\":1}",
        &items,
    );
    reads("items: []\nkind: List\n---\nitems:\nkind: List\n---\na: 1\n", &[r#"{"a":1}"#]);
    // Items of typed lists take the list's type.
    let typed = [r#"{"m":1,"apiVersion":"v1","kind":"Pod"}"#, r#"{"m":2,"apiVersion":"v1","kind":"Pod"}"#];
    reads("apiVersion: v1\nkind: PodList\nitems: [{m: 1}, {m: 2}]\n", &typed);
    reads("items: [{m: 1}, {m: 2}]\nmetadata: {x: [{kind: No}]}\nkind: PodList\napiVersion: v1\n", &typed);
    reads("{\"items\":[{\"m\":1},{\"m\":2}],\"kind\":\"PodList\",\"apiVersion\":\"v1\"}", &typed);
    // Lists in lists, and lists behind anchors.
    reads(
        "items:\n- {kind: List, items: [{a: 1}, {items: [{b: 2}]}]}\n- {c: 3}\n",
        &[r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#],
    );
    reads("items: &i\n- {a: 1}\n", &[r#"{"a":1}"#]);
    reads("items:\n- &one {a: 1}\n- *one\n", &[r#"{"a":1}"#, r#"{"a":1}"#]);
}

#[test]
fn values_know_their_place() {
    let text = "a: 1\nbé:\n  - x\n  - {v:   \"ü\", z: q}\n";
    let mut findings = Diagnostics::new();
    let node = ObjectReader::new("f", text.as_bytes()).next(&mut findings).expect("an object");
    let fields = node.as_mapping().expect("a mapping");
    let entry = fields.entry("bé").expect("the key is there");
    assert_eq!(entry.position, Position::new(2, 1));
    let list: Vec<_> = entry.value.as_sequence().expect("a list").iter().collect();
    assert_eq!(entry.value.position, Position::new(3, 3));
    assert_eq!(list[0].position, Position::new(3, 5));
    let flow = list[1].as_mapping().expect("a mapping");
    assert_eq!(list[1].position, Position::new(4, 5));
    assert_eq!(flow.get("v").expect("v").position, Position::new(4, 11));
    assert_eq!(flow.entry("z").expect("z").position, Position::new(4, 16));
}

#[test]
fn duplicate_keys_are_named_with_both_places_and_the_last_one_wins() {
    for text in ["a: 1\nb: 2\na: 3\n", "{\"a\": 1,\n\"b\": 2,\n\"a\": 3}"] {
        let (objects, findings) = read(text);
        assert_eq!(objects, "{\"b\":2,\"a\":3}\n");
        let column = if text.starts_with('{') { 2 } else { 1 };
        assert_eq!(
            findings,
            format!("f:3:1: warning: a: the key occurs twice, first at 1:{column}; the last one wins\n")
        );
    }
    // The same among many keys, where another way of finding them is used.
    let many: String = (0..100).map(|i| format!("k{}: {i}\n", i % 90)).collect();
    let (objects, findings) = read(&many);
    assert_eq!(findings.lines().count(), 10);
    assert_eq!(
        findings.lines().next(),
        Some("f:91:1: warning: k0: the key occurs twice, first at 1:1; the last one wins")
    );
    assert!(objects.ends_with("\"k9\":99}\n") && !objects.contains("\"k0\":0,"));
    // In a format of our own it is an error, and whatever else is wrong can still be found.
    let mut findings = Diagnostics::new();
    let nodes = read_documents("f", b"s:\n  a: 1\n  a: 1\n", DuplicateKeys::Refused, &mut findings);
    assert_eq!(nodes.len(), 1);
    assert_eq!(findings.to_string(), "f:3:3: s.a: the key occurs twice, first at 2:3 (remove one of them)\n");
}

#[test]
fn faults_are_named_with_their_place_and_the_rest_of_the_file_is_read() {
    for (text, expected) in [
        (
            "a: [1, 2\n---\nok: 1\n",
            "f:1:4: a[1]: not valid YAML: unclosed bracket '[', found the line \"a: [1, 2\"",
        ),
        (
            "a: b: c\n---\nok: 1\n",
            "f:1:5: not valid YAML: mapping values are not allowed in this context, found the line \"a: b: c\" (a text that holds ': ' needs quotes; a key needs a colon)",
        ),
        (
            "a:\n\tb: 1\n---\nok: 1\n",
            "f:2:2: a: not valid YAML: tabs disallowed within this context (block indentation), found the line \"b: 1\" (indent with spaces)",
        ),
        ("a: *b\n---\nok: 1\n", "f:1:4: a: the alias *b has no anchor &b before it in this document"),
        ("a: &a [*a]\n---\nok: 1\n", "f:1:8: a[0]: this alias stands inside the value that it stands for"),
        (
            "a: .inf\n---\nok: 1\n",
            "f:1:4: a: infinity and NaN cannot be sent to an API server, expected a finite number, found \".inf\"",
        ),
        (
            "a: !!int x\n---\nok: 1\n",
            "f:1:10: a: the value is not of the type that its tag demands, expected a whole number, found \"x\"",
        ),
        ("? [a]\n: 1\n---\nok: 1\n", "f:1:3: a key must be a text, found a list or a mapping"),
        ("~: 1\n---\nok: 1\n", "f:1:1: a key must be a text, found null"),
        ("[1]\n---\nok: 1\n", "f:1:1: expected an object with apiVersion and kind, found a list of 1"),
        (
            "just text\n---\nok: 1\n",
            "f:1:1: expected an object with apiVersion and kind, found \"just text\"",
        ),
        ("items: {}\n---\nok: 1\n", "f:1:8: items: expected a list of objects, found an empty mapping"),
        ("items: [5]\n---\nok: 1\n", "f:1:9: expected an object with apiVersion and kind, found 5"),
    ] {
        assert_eq!(finds(text, &[expected]), "{\"ok\":1}\n", "{text}");
    }
}

#[test]
fn all_faults_of_a_file_are_found_at_once() {
    let objects = finds(
        "items:\n- {a: *no, b: .nan}\n- {a: 1}\n- {a: *nor}\nkind: List\n---\nx: [\n---\nok: 1\n",
        &[
            "f:2:7: items[0].a: the alias *no has no anchor &no before it in this document",
            "f:2:15: items[0].b: infinity and NaN cannot be sent to an API server, expected a finite number, found \".nan\"",
            "f:4:7: items[2].a: the alias *nor has no anchor &nor before it in this document",
            "f:7:4: x[0]: not valid YAML: unclosed bracket '[', found the line \"x: [\"",
        ],
    );
    assert_eq!(objects, "{\"a\":1}\n{\"ok\":1}\n");
}

#[test]
fn what_looks_like_json_and_is_none_may_still_be_yaml() {
    reads("{\"a\": b}", &[r#"{"a":"b"}"#]);
    reads("{\"a\": 1,}\n---\nb: 2\n", &[r#"{"a":1}"#, r#"{"b":2}"#]);
    // Warnings of the first attempt are not repeated.
    finds(
        "{\"a\": 1, \"a\": 2, \"b\": c}",
        &["f:1:10: warning: a: the key occurs twice, first at 1:2; the last one wins"],
    );
}

#[test]
fn faults_in_json_are_named_as_such() {
    for (text, expected) in [
        ("{\"a\": 1", "f:1:8: not valid JSON, expected ',' or '}', found the end of the file"),
        ("{\"a\" 1}", "f:1:6: not valid JSON, expected ':', found '1' in the line \"{\\\"a\\\" 1}\""),
        (
            "{\"a\": [\"x\" \"2\"]}",
            "f:1:12: a[1]: not valid JSON, expected ',' or ']', found '\"' in the line \"{\\\"a\\\": [\\\"x\\\" \\\"2\\\"]}\"",
        ),
        (
            "{\"a\": \"x",
            "f:1:9: a: not valid JSON, expected '\"' at the end of the string, found the end of the file",
        ),
    ] {
        finds(text, &[expected]);
    }
    // After the first item there is no way back.
    let objects = finds(
        "{\"items\":[{\"a\":1},\n{\"b\" 2}]}",
        &["f:2:6: items[1]: not valid JSON, expected ':', found '2' in the line \"{\\\"b\\\" 2}]}\""],
    );
    assert_eq!(objects, "{\"a\":1}\n");
}

#[test]
fn text_in_another_encoding_is_refused() {
    let mut findings = Diagnostics::new();
    let mut reader = ObjectReader::new("f", b"a: 1\nb\xc3\xa9: \xff\n");
    assert!(reader.next(&mut findings).is_none());
    assert_eq!(
        findings.to_string(),
        "f:2:5: the file is not text, expected UTF-8, found the byte 0xff (is it compressed?)\n"
    );
}

#[test]
fn nesting_without_end_is_refused() {
    let deep = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    assert_eq!(read(&deep(128)).1, "");
    for text in [
        deep(129),
        format!("a: {}", "[".repeat(100_000)),
        "[".repeat(100_000),
        "{".repeat(100_000),
        format!("{{\"a\":{}", "[".repeat(100_000)),
        (0..1_000).map(|i| format!("{}a:\n", " ".repeat(i))).collect(),
        "- ".repeat(10_000),
        "? ".repeat(10_000),
        format!("a: &x {}\nb: {}*x{}\n", deep(100), "[".repeat(100), "]".repeat(100)),
    ] {
        let (objects, findings) = read(&text);
        assert_eq!(objects, "");
        let start: String = text.chars().take(20).collect();
        assert!(!findings.is_empty(), "{start}");
        if !text.starts_with('?') {
            assert!(findings.contains("nested deeper than 128 levels"), "{start}: {findings}");
        }
    }
}

#[test]
fn alias_bombs_are_refused_without_being_expanded() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    let (objects, findings) = read(&bomb);
    assert_eq!(objects, "");
    assert!(findings.contains("aliases stand for more than 100 times the file"), "{findings}");
    // The same as mappings, with merge keys.
    let mut bomb = "a0: &a0 {k0: x, l0: x}\n".to_owned();
    for level in 1..30 {
        let before = level - 1;
        bomb +=
            &format!("a{level}: &a{level} {{<<: *a{before}, m: *a{before}, n: *a{before}, o: *a{before}}}\n");
    }
    assert!(read(&bomb).1.contains("aliases stand for more than 100 times the file"));
    // Honest aliases are not near the limit.
    let honest = format!(
        "base: &b {{x: 1, y: [1, 2, 3]}}\n{}",
        (0..500).map(|i| format!("k{i}: *b\n")).collect::<String>()
    );
    assert_eq!(read(&honest).1, "");
}

/// Trees with everything that JSON can say.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (i64::MAX as u64 + 1..=u64::MAX).prop_map(Value::Unsigned),
        (-1e300..1e300f64).prop_map(|value| Value::Float(value + 0.5)),
        "[ -~éß😀]{0,12}".prop_map(|text| Value::String(text.into())),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6)
                .prop_map(|list| Value::Sequence(list.into_iter().map(Node::unplaced).collect())),
            mapping_of(inner),
        ]
    })
}

fn mapping_of(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("[a-z/.]{1,8}", inner, 0..6).prop_map(|fields| {
        let entry = |(key, value): (String, Value)| Entry {
            key: key.into(),
            position: Position::NONE,
            value: Node::unplaced(value),
        };
        Value::Mapping(Mapping::new(fields.into_iter().map(entry)))
    })
}

proptest! {
    #[test]
    fn json_reads_back_as_what_was_written(value in mapping_of(any_value())) {
        let text = value.to_string();
        let mut findings = Diagnostics::new();
        let nodes = read_documents("f", text.as_bytes(), DuplicateKeys::Refused, &mut findings);
        prop_assert_eq!(findings.to_string(), "");
        prop_assert_eq!(nodes.len(), 1);
        prop_assert_eq!(nodes[0].value.to_string(), text);
    }

    #[test]
    fn json_and_yaml_readers_agree_on_json_and_its_places(value in mapping_of(any_value())) {
        let text = value.to_string();
        let mut findings = Diagnostics::new();
        let json = read_documents("f", text.as_bytes(), DuplicateKeys::Refused, &mut findings);
        // A document mark in front makes it YAML.
        let text = format!("---\n{text}");
        let yaml = read_documents("f", text.as_bytes(), DuplicateKeys::Refused, &mut findings);
        prop_assert_eq!(findings.to_string(), "");
        prop_assert_eq!(&json.iter().map(lines_down).collect::<Vec<_>>(), &yaml);
    }
}

proptest! {
    #[test]
    fn a_packed_list_holds_what_was_put_in(values in proptest::collection::vec(any_value(), 1..30)) {
        let place = |index: usize| Position::new(1 + index / 3, 1 + index * 7 % 50);
        let nodes = values.into_iter().enumerate().map(|(index, value)| Node { value, position: place(index) });
        let nodes: Vec<Node> = nodes.collect();
        let mut packer = Packer::default();
        nodes.iter().for_each(|node| packer.push(node));
        let packed = packer.finish();
        prop_assert_eq!(packed.len(), nodes.len());
        prop_assert!(packed.iter().map(Cow::into_owned).eq(nodes.iter().cloned()));
        prop_assert_eq!(&packed, &nodes.into_iter().collect::<Sequence>());
    }
}

#[test]
fn a_long_list_is_read_like_a_short_one() {
    let count = 2 * PACKED_FROM;
    let line = |index: usize| match index % 5 {
        0 => format!("- {index}\n"),
        1 => "- {a: [x, 'y'], b: ~}\n".to_owned(),
        2 => format!("- &anchor{index} [{index}, 1.5]\n"),
        3 => format!("- *anchor{}\n", index - 1),
        _ => "- text\n".to_owned(),
    };
    let text: String = (0..count).map(line).collect();
    let mut findings = Diagnostics::new();
    let nodes = read_documents("f", text.as_bytes(), DuplicateKeys::Refused, &mut findings);
    assert_eq!(findings.to_string(), "");
    let list = nodes[0].as_sequence().expect("a list");
    assert_eq!((list.len(), list.iter().len()), (count, count));
    for (index, element) in list.iter().enumerate() {
        let expected = match index % 5 {
            0 => format!("{index}"),
            1 => r#"{"a":["x","y"],"b":null}"#.to_owned(),
            2 => format!("[{index},1.5]"),
            3 => format!("[{},1.5]", index - 1),
            _ => r#""text""#.to_owned(),
        };
        assert_eq!(element.value.to_string(), expected);
        // An alias stands where its value does.
        assert_eq!(element.position.line as usize, if index % 5 == 3 { index } else { index + 1 });
    }
    assert_eq!(nodes[0].to_string(), format!("a list of {count}"));
}

/// The same tree one line further down.
fn lines_down(node: &Node) -> Node {
    let down = |position: Position| Position { line: position.line + 1, ..position };
    let value = match &node.value {
        Value::Sequence(elements) => {
            Value::Sequence(elements.iter().map(|element| lines_down(&element)).collect())
        }
        Value::Mapping(fields) => Value::Mapping(Mapping::new(fields.entries().iter().map(|entry| Entry {
            key: entry.key.clone(),
            position: down(entry.position),
            value: lines_down(&entry.value),
        }))),
        value => value.clone(),
    };
    Node { value, position: down(node.position) }
}
