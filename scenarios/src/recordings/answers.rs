//! API answers: a request of HTTP, and what the API server said to it.
//!
//! A line stands for itself, in a namespace of its own without objects, or it is one of a sequence:
//! those of a file are sent to one server, in the order of the file.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use seatrial_api::calendar::Calendar;
use seatrial_api::document::{FieldPath, Node};
use seatrial_api::rest::{Body, HttpAnswer, HttpRequest, Method, Rest};
use seatrial_api::store::ApiServer;
use seatrial_api::units::{SimTime, Span};
use seatrial_api::version::KubernetesVersion;
use serde_json::{Value, json};

use super::json::plain;
use super::tally::{Comparison, Difference, Fact};
use crate::schema::Reader;

/// The namespaces that exist, the last of them for the recordings.
const NAMESPACES: [&str; 5] = ["default", "kube-system", "kube-public", "kube-node-lease", "val"];
/// The time between two requests of a sequence.
const STEP: Span = Span::from_millis(50);
/// A body that is told instead of recorded, as it is a megabyte.
const TOLD: (&str, &str) = ("(a ConfigMap with one value of ", " bytes)");

/// A part of an answer: the name under which it is counted, and how it is taken.
type Part = (&'static str, fn(&Value) -> Value);

/// What is compared.
const PARTS: [Part; 8] = [
    ("code", |answer| answer["code"].clone()),
    ("status", |answer| answer["status"]["status"].clone()),
    ("reason", |answer| answer["status"]["reason"].clone()),
    ("message", |answer| first_line(&answer["status"]["message"])),
    ("causes", causes),
    ("details", details),
    ("warnings", |answer| answer["warnings"].clone()),
    ("raw", |answer| answer["raw"].clone()),
];

/// A recorded answer.
pub struct ApiAnswer {
    id: String,
    expected: Option<Value>,
    asked: Asked,
    version: KubernetesVersion,
}

/// How it is asked for.
enum Asked {
    Alone(Request),
    /// The place in a sequence.
    Among(usize, Arc<Sequence>),
}

struct Request {
    method: Method,
    path: String,
    query: String,
    content_type: String,
    body: Vec<u8>,
}

/// The requests of a file that build on each other, and the answers to them.
#[derive(Default)]
struct Sequence {
    requests: OnceLock<Vec<Request>>,
    answers: OnceLock<Vec<Value>>,
}

/// The sequence of a file that is being read.
#[derive(Default)]
pub(super) struct SequenceReader {
    requests: Vec<Request>,
    sequence: Arc<Sequence>,
}

impl Drop for SequenceReader {
    /// The file has been read.
    fn drop(&mut self) {
        drop(self.sequence.requests.set(std::mem::take(&mut self.requests)));
    }
}

impl ApiAnswer {
    /// Reads a line.
    pub(super) fn read(
        node: &Node,
        version: KubernetesVersion,
        sequence: &mut SequenceReader,
        reader: &mut Reader<'_>,
    ) -> Option<ApiAnswer> {
        let path = FieldPath::ROOT.key("request");
        let request = node.get("request")?;
        let Some(request) = Request::read(request) else {
            return reader.wrong(request, &path, "a request, with a method and a path");
        };
        let asked = if node.flag("sequence") {
            sequence.requests.push(request);
            Asked::Among(sequence.requests.len() - 1, sequence.sequence.clone())
        } else {
            Asked::Alone(request)
        };
        let stable = node.get("stable").and_then(Node::as_bool) != Some(false);
        Some(ApiAnswer {
            id: node.str("id").to_owned(),
            expected: node.get("expected").filter(|_| stable).map(plain),
            asked,
            version,
        })
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The answer here.
    fn found(&self) -> Value {
        match &self.asked {
            Asked::Alone(request) => Server::new(self.version).answer(request),
            Asked::Among(index, sequence) => {
                sequence.answers(self.version).get(*index).cloned().unwrap_or_default()
            }
        }
    }

    /// What the API server answers: `{"id": …, "code": …, "status": …, "warnings": …, "raw": …}`.
    pub(super) fn answer(&self) -> String {
        let mut found = self.found();
        found["id"] = self.id.as_str().into();
        found.to_string()
    }

    /// Compares with the recorded answer.
    pub(super) fn compare(&self) -> Option<Comparison> {
        let expected = self.expected.as_ref()?;
        let found = self.found();
        let area = self.id.split('-').next().unwrap_or_default();
        let mut comparison = Comparison { features: vec![area.to_owned()], ..Comparison::default() };
        for (name, part) in PARTS {
            let (found, recorded) = (part(&found), part(expected));
            let equal = found == recorded || is_nothing(&found) && is_nothing(&recorded);
            comparison.facts.entry(Fact::Answer(name)).or_default().add(equal);
            if !equal {
                comparison.differences.push(Difference {
                    subject: self.id.clone(),
                    fact: Fact::Answer(name),
                    at: name.to_owned(),
                    found: found.to_string(),
                    recorded: recorded.to_string(),
                });
            }
        }
        comparison.subjects.add(comparison.differences.is_empty());
        Some(comparison)
    }
}

impl Request {
    fn read(node: &Node) -> Option<Request> {
        let text = |field: &str| node.get(field).and_then(Node::as_str);
        let body = match (text("rawBody"), node.get("body")) {
            (Some(raw), _) => raw.to_owned(),
            (None, Some(body)) => body.as_str().and_then(told).unwrap_or_else(|| body.value.to_string()),
            (None, None) => String::new(),
        };
        Some(Request {
            method: Method::parse(text("method")?)?,
            path: text("path")?.to_owned(),
            query: text("query").unwrap_or_default().to_owned(),
            content_type: text("contentType").unwrap_or("application/json").to_owned(),
            body: body.into_bytes(),
        })
    }

    fn as_http(&self) -> HttpRequest<'_> {
        HttpRequest {
            method: self.method,
            path: &self.path,
            query: &self.query,
            content_type: &self.content_type,
            body: &self.body,
        }
    }
}

/// The body that is told by `text`.
fn told(text: &str) -> Option<String> {
    let bytes = text.strip_prefix(TOLD.0)?.strip_suffix(TOLD.1)?.parse().ok()?;
    // No more than what a server takes at all.
    let value = "x".repeat(std::cmp::min(bytes, 1 << 22));
    Some(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": value}})
            .to_string(),
    )
}

impl Sequence {
    fn answers(&self, version: KubernetesVersion) -> &[Value] {
        self.answers.get_or_init(|| {
            let mut server = Server::new(version);
            let requests = self.requests.get().map_or(&[][..], Vec::as_slice);
            requests.iter().map(|request| server.answer(request)).collect()
        })
    }
}

/// The server that answers.
struct Server {
    rest: Rest,
    now: SimTime,
    /// Identities that it has given.
    uids: BTreeSet<String>,
}

impl Server {
    fn new(version: KubernetesVersion) -> Server {
        let rest = Rest::new(ApiServer::new(version, 1), Calendar::default());
        let mut server = Server { rest, now: SimTime::ZERO, uids: BTreeSet::new() };
        for namespace in NAMESPACES {
            let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            server.send(&HttpRequest {
                method: Method::Post,
                path: "/api/v1/namespaces",
                query: "",
                content_type: "application/json",
                body: body.to_string().as_bytes(),
            });
        }
        server
    }

    fn send(&mut self, request: &HttpRequest<'_>) -> HttpAnswer {
        self.now += STEP;
        let answer = self.rest.handle(self.now, request, &mut Vec::new());
        if let Body::Document(document) = &answer.body
            && let Some(uid) =
                document.get("metadata").map(|meta| meta.str("uid")).filter(|uid| !uid.is_empty())
        {
            self.uids.insert(uid.to_owned());
        }
        answer
    }

    /// The answer in the schema of the recordings.
    fn answer(&mut self, request: &Request) -> Value {
        let answer = self.send(&request.as_http());
        let mut line = json!({"code": answer.code});
        match &answer.body {
            Body::Text(text) => line["raw"] = text.as_str().into(),
            Body::Document(document) if document.str("kind") == "Status" => {
                line["status"] = self.masked(plain(document));
                if let Some(fields) = line["status"].as_object_mut() {
                    for field in ["kind", "apiVersion", "metadata"] {
                        fields.remove(field);
                    }
                }
            }
            Body::Document(_) => {}
        }
        if !answer.warnings.is_empty() {
            line["warnings"] = answer.warnings.into();
        }
        line
    }

    /// With placeholders for what is another in every run.
    fn masked(&self, value: Value) -> Value {
        match value {
            Value::String(mut text) => {
                for uid in &self.uids {
                    text = text.replace(uid.as_str(), "{uid}");
                }
                Value::String(without_version(&text))
            }
            Value::Array(values) => values.into_iter().map(|value| self.masked(value)).collect(),
            Value::Object(fields) => {
                Value::Object(fields.into_iter().map(|(key, value)| (key, self.masked(value))).collect())
            }
            value => value,
        }
    }
}

/// With a placeholder for the version that the server is at.
fn without_version(text: &str) -> String {
    const BEFORE: &str = "Too large resource version: ";
    match text.split_once(", current: ") {
        Some((start, end)) if start.contains(BEFORE) && end.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{start}, current: {{resourceVersion}}")
        }
        _ => text.to_owned(),
    }
}

/// Messages go on with a printed object or difference after a line break, which is not compared.
fn first_line(text: &Value) -> Value {
    text.as_str().and_then(|text| text.split('\n').next()).map_or(Value::Null, Value::from)
}

/// The causes without order and repetition.
fn causes(answer: &Value) -> Value {
    let causes = answer["status"]["details"]["causes"].as_array();
    let texts: BTreeSet<String> = causes
        .into_iter()
        .flatten()
        .map(|cause| json!([cause["reason"], first_line(&cause["message"]), cause["field"]]).to_string())
        .collect();
    texts.into_iter().collect()
}

/// What the answer is about, without the causes.
fn details(answer: &Value) -> Value {
    let mut details = answer["status"]["details"].clone();
    if let Some(fields) = details.as_object_mut() {
        fields.remove("causes");
    }
    details
}

/// Absent, null and empty are the same.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}
