//! Selectors in queries: labels and fields (`staging/src/k8s.io/apimachinery/pkg/{labels,fields}/selector.go`).

use crate::document::Node;

use super::resource::Resource;
use super::validate::{is_label_key, label_value_faults};

/// A selector of labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Greater,
    Less,
}

impl LabelSelector {
    pub(super) fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object with these labels is selected.
    pub(super) fn matches(&self, labels: Option<&Node>) -> bool {
        self.requirements.iter().all(|requirement| {
            let found = labels.and_then(|labels| labels.get(&requirement.key)).and_then(Node::as_str);
            let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
            let wanted = || number(requirement.values.first().map(String::as_str));
            match requirement.operator {
                Operator::In => found.is_some_and(|found| requirement.values.iter().any(|v| v == found)),
                Operator::NotIn => found.is_none_or(|found| requirement.values.iter().all(|v| v != found)),
                Operator::Exists => found.is_some(),
                Operator::DoesNotExist => found.is_none(),
                Operator::Greater => matches!((number(found), wanted()), (Some(a), Some(b)) if a > b),
                Operator::Less => matches!((number(found), wanted()), (Some(a), Some(b)) if a < b),
            }
        })
    }

    /// Reads the selector of a query.
    ///
    /// # Errors
    /// What is wrong with it, in upstream's words.
    pub(super) fn parse(text: &str) -> Result<LabelSelector, String> {
        let mut parser = Parser { tokens: tokens(text), at: 0 };
        let mut requirements = Vec::new();
        loop {
            match parser.peek() {
                Token::Word(_) | Token::Not => {
                    let found = parser.requirement();
                    requirements
                        .push(found.map_err(|error| format!("unable to parse requirement: {error}"))?);
                    match parser.next() {
                        Token::End => return Ok(LabelSelector { requirements }),
                        Token::Comma if matches!(parser.peek(), Token::Word(_) | Token::Not) => {}
                        Token::Comma => {
                            return Err(format!(
                                "found '{}', expected: identifier after ','",
                                parser.peek().text()
                            ));
                        }
                        other => {
                            return Err(format!(
                                "found '{}', expected: ',' or 'end of string'",
                                other.text()
                            ));
                        }
                    }
                }
                Token::End => return Ok(LabelSelector { requirements }),
                other => {
                    return Err(format!(
                        "found '{}', expected: !, identifier, or 'end of string'",
                        other.text()
                    ));
                }
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Not,
    Comma,
    Open,
    Close,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
    End,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Token::Word(text) => text,
            Token::Not => "!",
            Token::Comma => ",",
            Token::Open => "(",
            Token::Close => ")",
            Token::Equals => "=",
            Token::DoubleEquals => "==",
            Token::NotEquals => "!=",
            Token::Greater => ">",
            Token::Less => "<",
            Token::End => "",
        }
    }
}

fn is_special(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = if is_special(first) {
            // The longest run that is a symbol; a run of others is one thing that nobody knows.
            let pair = rest.get(..2).filter(|pair| matches!(*pair, "==" | "!="));
            pair.map_or(first.len_utf8(), str::len)
        } else {
            rest.find(|c: char| is_special(c) || c.is_ascii_whitespace()).unwrap_or(rest.len())
        };
        let (token, after) = rest.split_at(end);
        out.push(match token {
            "=" => Token::Equals,
            "==" => Token::DoubleEquals,
            "!=" => Token::NotEquals,
            "!" => Token::Not,
            "(" => Token::Open,
            ")" => Token::Close,
            "," => Token::Comma,
            ">" => Token::Greater,
            "<" => Token::Less,
            word => Token::Word(word.to_owned()),
        });
        rest = after.trim_start();
    }
    out.push(Token::End);
    out
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Token {
        self.tokens.get(self.at).cloned().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let negated = self.peek() == Token::Not;
        if negated {
            self.next();
        }
        let key = match self.next() {
            Token::Word(key) => key,
            other => return Err(format!("found '{}', expected: identifier", other.text())),
        };
        if let Some(fault) = is_label_key(&key) {
            return Err(fault);
        }
        let plain = matches!(self.peek(), Token::End | Token::Comma);
        if negated || plain {
            let operator = if negated { Operator::DoesNotExist } else { Operator::Exists };
            return Ok(Requirement { key, operator, values: Vec::new() });
        }
        let operator = match self.next() {
            Token::Equals | Token::DoubleEquals => Operator::In,
            Token::NotEquals => Operator::NotIn,
            Token::Greater => Operator::Greater,
            Token::Less => Operator::Less,
            Token::Word(word) if word == "in" => return self.with_set(key, Operator::In),
            Token::Word(word) if word == "notin" => return self.with_set(key, Operator::NotIn),
            other => {
                return Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", other.text()));
            }
        };
        let value = match self.peek() {
            Token::End | Token::Comma => String::new(),
            Token::Word(word) => {
                self.next();
                word
            }
            other => return Err(format!("found '{}', expected: identifier", other.text())),
        };
        if matches!(operator, Operator::Greater | Operator::Less) && value.parse::<i64>().is_err() {
            return Err(format!(
                "values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
            ));
        }
        self.judged(Requirement { key, operator, values: vec![value] })
    }

    fn with_set(&mut self, key: String, operator: Operator) -> Result<Requirement, String> {
        let open = self.next();
        if open != Token::Open {
            return Err(format!("found '{}' expected: '('", open.text()));
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                Token::Word(word) => {
                    values.push(word);
                    match self.next() {
                        Token::Comma if self.peek() == Token::Close => values.push(String::new()),
                        Token::Comma => continue,
                        Token::Close => break,
                        other => return Err(format!("found '{}', expected: ',' or ')'", other.text())),
                    }
                }
                Token::Comma => values.push(String::new()),
                Token::Close if values.is_empty() => {
                    values.push(String::new());
                    break;
                }
                Token::Close => break,
                other => return Err(format!("found '{}', expected: ',', ')' or identifier", other.text())),
            }
        }
        self.judged(Requirement { key, operator, values })
    }

    fn judged(&self, requirement: Requirement) -> Result<Requirement, String> {
        for (index, value) in requirement.values.iter().enumerate() {
            if let Some(fault) = label_value_faults(value).into_iter().next() {
                return Err(format!(
                    "values[{index}][{}]: Invalid value: {value:?}: {fault}",
                    requirement.key
                ));
            }
        }
        Ok(requirement)
    }
}

/// A selector of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSelector {
    terms: Vec<(String, bool, String)>,
}

impl FieldSelector {
    pub(super) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Reads the selector of a query about a resource.
    ///
    /// # Errors
    /// What is wrong with it, in upstream's words.
    pub(super) fn parse(text: &str, resource: &Resource) -> Result<FieldSelector, String> {
        let mut terms = Vec::new();
        for term in split_terms(text).iter().filter(|term| !term.is_empty()) {
            let split = ["!=", "==", "="].iter().filter_map(|sign| term.find(sign).map(|at| (at, *sign)));
            let Some((at, sign)) = split.min_by_key(|(at, sign)| (*at, std::cmp::Reverse(sign.len()))) else {
                return Err(format!("invalid selector: '{text}'; can't understand '{term}'"));
            };
            let (field, value) = (&term[..at], &term[at + sign.len()..]);
            if !is_known_field(resource, field) {
                return Err(match fields_of(resource) {
                    Some(_) => format!("field label not supported: {field}"),
                    None => format!(
                        "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                    ),
                });
            }
            terms.push((field.to_owned(), sign != "!=", unescaped_value(value)));
        }
        Ok(FieldSelector { terms })
    }

    /// Whether an object is selected.
    pub(super) fn matches(&self, object: &Node) -> bool {
        self.terms.iter().all(|(field, equal, wanted)| (field_of(object, field) == *wanted) == *equal)
    }

    /// The name that an object must have, if the selector says it.
    pub(super) fn name(&self) -> Option<&str> {
        self.terms
            .iter()
            .find(|(field, equal, _)| field == "metadata.name" && *equal)
            .map(|(_, _, name)| name.as_str())
    }
}

/// Terms between commas that are not escaped.
fn split_terms(text: &str) -> Vec<String> {
    let mut terms = vec![String::new()];
    let mut escaped = false;
    for character in text.chars() {
        match character {
            ',' if !escaped => terms.push(String::new()),
            other => {
                if let Some(last) = terms.last_mut() {
                    last.push(other);
                }
            }
        }
        escaped = character == '\\' && !escaped;
    }
    terms
}

fn unescaped_value(text: &str) -> String {
    let mut out = String::new();
    let mut escaped = false;
    for character in text.chars() {
        if character == '\\' && !escaped {
            escaped = true;
        } else {
            out.push(character);
            escaped = false;
        }
    }
    out
}

/// The fields by which a kind can be selected, beside name and namespace; `None` if by no others.
fn fields_of(resource: &Resource) -> Option<&'static [&'static str]> {
    Some(match (resource.group, resource.kind) {
        ("", "Pod") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        ("", "Node") => &["spec.unschedulable"],
        ("", "Namespace") => &["status.phase"],
        ("", "Secret") => &["type"],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        ("", "ReplicationController") => &["status.replicas"],
        ("batch", "Job") => &["status.successful"],
        ("", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("events.k8s.io", "Event") => &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        _ => return None,
    })
}

fn is_known_field(resource: &Resource, field: &str) -> bool {
    matches!(field, "metadata.name" | "metadata.namespace")
        || fields_of(resource).is_some_and(|fields| fields.contains(&field))
}

/// The value of a field as selectors see it.
fn field_of(object: &Node, field: &str) -> String {
    let (field, absent) = match field {
        "spec.unschedulable" | "spec.hostNetwork" => (field, "false"),
        "status.successful" => ("status.succeeded", "0"),
        "status.replicas" => (field, "0"),
        "source" => ("source.component", ""),
        _ => (field, ""),
    };
    let keys: Vec<&str> = field.split('.').collect();
    match object.at(&keys) {
        None => absent.to_owned(),
        Some(node) if node.is_null() => absent.to_owned(),
        Some(node) => node.as_str().map_or_else(|| node.value.to_string(), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::resource::resource;

    #[test]
    fn label_selectors_select_and_faults_are_told() {
        let labels = Node::object([("app", Node::text("web")), ("n", Node::text("5"))]);
        for (text, selected) in [
            ("", true),
            ("app=web,n", true),
            ("app in (db, web),!x", true),
            ("app notin (web)", false),
            ("app!=web", false),
            ("x!=y", true),
            ("n>4,n<6", true),
            ("app==", false),
            ("app in ()", false),
        ] {
            assert_eq!(LabelSelector::parse(text).map(|s| s.matches(Some(&labels))), Ok(selected), "{text}");
        }
        for (text, fault) in [
            ("a b c", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a=b=c", "found '=', expected: ',' or 'end of string'"),
            ("a,", "found '', expected: identifier after ','"),
            ("=a", "found '=', expected: !, identifier, or 'end of string'"),
            ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ] {
            assert_eq!(LabelSelector::parse(text), Err(fault.to_owned()), "{text}");
        }
    }

    #[test]
    fn field_selectors_know_the_fields_of_each_kind() {
        let pods = resource("", "v1", "pods").unwrap();
        let sets = resource("apps", "v1", "replicasets").unwrap();
        let pod = Node::object([("spec", Node::object([("nodeName", Node::text("n1"))]))]);
        let selects = |text: &str| FieldSelector::parse(text, pods).map(|selector| selector.matches(&pod));
        assert_eq!(selects("spec.nodeName=n1,status.phase!=Failed"), Ok(true));
        assert_eq!(selects("spec.hostNetwork=true"), Ok(false));
        assert_eq!(selects("spec.foo=x"), Err("field label not supported: spec.foo".into()));
        assert_eq!(
            FieldSelector::parse("status.replicas=0", sets),
            Err("\"status.replicas\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"".into())
        );
        assert!(FieldSelector::parse("spec", pods).is_err());
    }
}
