//! Mutation of inputs on stable Rust: whatever is put into a file, a reader answers with a value
//! or with a message, and never with a panic.
//!
//! Each reader gets `SEATRIAL_FUZZ_SECONDS` (default 2) of mutated inputs, made from the corpus in
//! `tests/corpus`. The inputs follow from a seed (`SEATRIAL_FUZZ_SEED`, default 1) and a number, so
//! the command that is printed with a failure replays it.

mod fuzzing;

use fuzzing::fuzz;
use seatrial_api::calendar::{Calendar, Timestamp};
use seatrial_api::decode::{Decoder, Mode, newest_time};
use seatrial_api::document::{
    Diagnostic, Diagnostics, DuplicateKeys, Node, ObjectReader, Position, read_documents,
};
use seatrial_api::duration;
use seatrial_api::quantity::Quantity;
use seatrial_api::rest::{Body, HttpRequest, Method, Rest};
use seatrial_api::store::ApiServer;
use seatrial_api::units::SimTime;
use seatrial_api::version::KubernetesVersion;

#[test]
fn documents_are_read_or_refused() {
    fuzz("document", "documents_are_read_or_refused", |input| {
        let mut findings = Diagnostics::new();
        let mut reader = ObjectReader::new("input", input);
        let mut objects = 0;
        while let Some(object) = reader.next(&mut findings) {
            assert!(object.as_mapping().is_some(), "an object is a mapping");
            assert_reads_back(&object);
            objects += 1;
            assert!(objects <= input.len(), "more objects than bytes");
        }
        assert!(reader.next(&mut findings).is_none(), "the end is the end");
        let lines = input.iter().filter(|&&byte| byte == b'\n' || byte == b'\r').count() + 1;
        for finding in findings.iter() {
            assert_placed(finding, lines);
        }
        let mut strict = Diagnostics::new();
        read_documents("input", input, DuplicateKeys::Refused, &mut strict);
    });
}

#[test]
fn objects_are_decoded_or_refused() {
    fuzz("decode", "objects_are_decoded_or_refused", |input| {
        for mode in [Mode::Manifest, Mode::State] {
            let mut decoder = Decoder::new(mode, Calendar::default(), KubernetesVersion::default());
            let mut reader = ObjectReader::new("input", input);
            let mut findings = Diagnostics::new();
            while let Some(node) = reader.next(&mut findings) {
                let (file, before) = (reader.file().clone(), findings.error_count());
                let object = decoder.decode(&node, &file, &mut findings);
                assert_eq!(
                    object.is_none(),
                    findings.error_count() > before,
                    "an object, or why not: {findings}"
                );
                let _ = newest_time(&node);
            }
        }
    });
}

/// One request a line: method, path with query, content type and body, with tabs between them.
#[test]
fn requests_are_answered_or_refused() {
    fuzz("rest", "requests_are_answered_or_refused", |input| {
        let mut rest = Rest::new(ApiServer::new(KubernetesVersion::default(), 1), Calendar::default());
        let default = HttpRequest {
            method: Method::Post,
            path: "/api/v1/namespaces",
            query: "",
            content_type: "application/json",
            body: br#"{"metadata":{"name":"default"}}"#,
        };
        rest.handle(SimTime::ZERO, &default, &mut Vec::new());
        for (second, line) in (1..).zip(input.split(|&byte| byte == b'\n')) {
            let mut parts = line.splitn(4, |&byte| byte == b'\t').map(String::from_utf8_lossy);
            let mut part = || parts.next().unwrap_or_default().into_owned();
            let Some(method) = Method::parse(&part()) else { continue };
            let (target, content_type, body) = (part(), part(), part());
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let body = body.as_bytes();
            let request = HttpRequest { method, path, query, content_type: &content_type, body };
            let answer = rest.handle(SimTime::from_secs(second), &request, &mut Vec::new());
            assert!((200..600).contains(&answer.code), "{}", answer.code);
            let Body::Document(document) = &answer.body else { continue };
            assert_reads_back(document);
            if answer.code < 300 {
                assert_ne!(document.get("status").and_then(Node::as_str), Some("Failure"));
            } else {
                assert_eq!(document.get("code").and_then(Node::as_int), Some(i64::from(answer.code)));
            }
        }
    });
}

/// A tree written as JSON means the same.
fn assert_reads_back(node: &Node) {
    let text = node.value.to_string();
    let mut findings = Diagnostics::new();
    let nodes = read_documents("again", text.as_bytes(), DuplicateKeys::Refused, &mut findings);
    assert!(findings.is_empty() || text.len() > 100_000, "{findings}");
    if let [again] = nodes.as_slice() {
        assert_eq!(again.value.to_string(), text);
    }
}

fn assert_placed(finding: &Diagnostic, lines: usize) {
    assert!(finding.position != Position::NONE, "no place: {finding}");
    assert!((1..=lines + 1).contains(&(finding.position.line as usize)), "a line beyond the end: {finding}");
    let texts = [&finding.message, &finding.expected, &finding.found];
    assert!(texts.iter().any(|text| !text.is_empty()), "nothing said");
}

#[test]
fn quantities_are_read_or_refused() {
    fuzz("quantity", "quantities_are_read_or_refused", |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        if let Ok(quantity) = Quantity::parse(text) {
            let again = Quantity::parse(&quantity.to_string()).expect("the canonical form is a quantity");
            assert_eq!(again, quantity);
            assert!(quantity.ceil_units() <= quantity.ceil_millis() || quantity.is_negative());
        }
    });
}

#[test]
fn durations_are_read_or_refused() {
    fuzz("duration", "durations_are_read_or_refused", |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        if let Ok(span) = duration::parse(text) {
            assert_eq!(duration::parse(&duration::to_text(span)), Ok(span));
        }
    });
}

#[test]
fn dates_are_read_or_refused() {
    fuzz("timestamp", "dates_are_read_or_refused", |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        if let Ok(timestamp) = Timestamp::parse(text) {
            let _ = Calendar::default().instant(timestamp);
            assert_eq!(Timestamp::parse(&timestamp.to_string()), Ok(timestamp));
        }
    });
}
