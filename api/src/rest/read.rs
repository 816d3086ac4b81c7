//! GET: one object, or a list of those that a client selects.

use super::machine::{Outcome, Rest};
use super::request::{Query, Target};
use super::selector::{FieldSelector, LabelSelector};
use super::status::Refusal;
use super::{errors::Errors, errors::Path, json};
use crate::base64;
use crate::document::Node;
use crate::object::Object;

/// Which objects of a resource a request is about.
pub(super) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    pub(super) fn parse(target: &Target, query: &Query) -> Result<Selection, Refusal> {
        let labels = LabelSelector::parse(query.get("labelSelector")).map_err(Refusal::bad_request)?;
        let fields = FieldSelector::parse(query.get("fieldSelector"), target.resource)
            .map_err(Refusal::bad_request)?;
        Ok(Selection { labels, fields })
    }

    fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}

/// Where a list goes on, as a client hands it back.
struct Continue {
    revision: u64,
    /// The namespace and name of the last object that was listed.
    after: (String, String),
}

impl Continue {
    const VERSION: &'static str = "meta.k8s.io/v1";

    fn parse(token: &str) -> Result<Continue, Refusal> {
        let bad = |why: String| {
            Refusal::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
        };
        let standard = token.replace('-', "+").replace('_', "/");
        let padded = format!("{standard}{}", "=".repeat((4 - standard.len() % 4) % 4));
        // A token has no padding, and the bits that padding stands for may be anything.
        let bytes =
            decode_loosely(&padded).map_err(|at| bad(format!("illegal base64 data at input byte {at}")))?;
        let parsed = json::parse(&bytes).map_err(|error| bad(error.to_string()))?;
        let node = parsed.node;
        if node.str("v") != Continue::VERSION {
            return Err(bad(format!("server does not recognize this encoded version {:?}", node.str("v"))));
        }
        let start = node.str("start").trim_end_matches('\0');
        let (namespace, name) = start.split_once('/').unwrap_or(("", start));
        let revision = node.number("rv").and_then(|rv| u64::try_from(rv).ok()).unwrap_or(0);
        if start.is_empty() || revision == 0 {
            return Err(bad("incorrect encoded start key".into()));
        }
        Ok(Continue { revision, after: (namespace.to_owned(), name.to_owned()) })
    }

    fn text(&self) -> String {
        let start = format!("{}/{}\0", self.after.0, self.after.1);
        let node = Node::object([
            ("v", Node::text(Continue::VERSION)),
            ("rv", Node::int(i64::try_from(self.revision).unwrap_or(i64::MAX))),
            ("start", Node::text(start)),
        ]);
        let encoded = base64::encode(node.value.to_string().as_bytes());
        encoded.trim_end_matches('=').replace('+', "-").replace('/', "_")
    }
}

/// The bytes of a text in base64, or the place of the first character that is none.
fn decode_loosely(text: &str) -> Result<Vec<u8>, usize> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut out, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for (index, byte) in text.bytes().take_while(|byte| *byte != b'=').enumerate() {
        bits = bits << 6 | u32::from(digit(byte).ok_or(index)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Ok(out)
}

impl Rest {
    pub(super) fn get(&self, target: &Target) -> Outcome {
        let object = self.find(target).ok_or_else(|| Refusal::not_found(target.resource, &target.name))?;
        Ok((200, self.document(target.resource, &object)))
    }

    /// The selected objects with their documents, in the order of namespaces and names.
    pub(super) fn selected(&self, target: &Target, selection: &Selection) -> Vec<(Object, Node)> {
        let in_namespace =
            |object: &Object| target.namespace.is_empty() || object.meta().namespace == *target.namespace;
        let named = |object: &Object| selection.fields.name().is_none_or(|name| object.meta().name == name);
        let mut objects = self.all(target.resource);
        objects.retain(|object| in_namespace(object) && named(object));
        objects.sort_by(|one, two| {
            let key =
                |object: &Object| (object.meta().namespace.as_str().to_owned(), object.meta().name.clone());
            key(one).cmp(&key(two))
        });
        let documents = objects.into_iter().map(|object| {
            let document = self.document(target.resource, &object);
            (object, document)
        });
        documents
            .filter(|(_, document)| {
                selection.labels.matches(document.at(&["metadata", "labels"]))
                    && selection.fields.matches(document)
            })
            .collect()
    }

    /// Model: pages of a list are of the state at the moment of each request, not of the first page's
    /// revision; only the revision that they tell is the first page's.
    pub(super) fn list(&self, target: &Target, query: &Query) -> Outcome {
        let limit = usize::try_from(query.number("limit")?).unwrap_or(0);
        query.number("timeoutSeconds")?;
        let token = query.get("continue");
        let start = if token.is_empty() { None } else { Some(Continue::parse(token)?) };
        self.check_version(query, start.is_some())?;
        let selection = Selection::parse(target, query)?;
        let revision = start.as_ref().map_or(self.server.revision(), |start| start.revision);
        let mut objects = self.selected(target, &selection);
        if let Some(start) = &start {
            objects.retain(|(object, _)| {
                (object.meta().namespace.as_str(), object.meta().name.as_str())
                    > (start.after.0.as_str(), start.after.1.as_str())
            });
        }
        let cached = query.get("resourceVersion") == "0" && start.is_none();
        let mut meta = vec![("resourceVersion", Node::text(revision.to_string()))];
        if limit > 0 && objects.len() > limit && !cached {
            let remaining = objects.len() - limit;
            objects.truncate(limit);
            if let Some((last, _)) = objects.last() {
                let after = (last.meta().namespace.to_string(), last.meta().name.to_string());
                meta.push(("continue", Node::text(Continue { revision, after }.text())));
            }
            if selection.is_empty() {
                meta.push(("remainingItemCount", Node::int(i64::try_from(remaining).unwrap_or(i64::MAX))));
            }
        }
        // Items of a list say neither kind nor version: the list does.
        let items = objects.into_iter().map(|(_, mut document)| {
            document.remove("kind");
            document.remove("apiVersion");
            document
        });
        let resource = target.resource;
        let list = Node::object([
            ("kind", Node::text(format!("{}List", resource.kind))),
            ("apiVersion", Node::text(resource.api_version())),
            ("metadata", Node::object(meta)),
            ("items", Node::list(items)),
        ]);
        Ok((200, list))
    }

    /// Which version a list asks for, and whether it can be had.
    fn check_version(&self, query: &Query, continues: bool) -> Result<(), Refusal> {
        let (text, how) = (query.get("resourceVersion"), query.get("resourceVersionMatch"));
        let mut errors = Errors::new();
        let path = Path::new("resourceVersionMatch");
        if !how.is_empty() {
            if text.is_empty() {
                errors
                    .forbidden(&path, "resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            if continues {
                errors.forbidden(&path, "resourceVersionMatch is forbidden when continue is provided");
            }
            if !matches!(how, "Exact" | "NotOlderThan") {
                errors.unsupported(&path, how, &["Exact", "NotOlderThan", ""]);
            }
            if how == "Exact" && text == "0" {
                let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.forbidden(&path, detail);
            }
        }
        if !errors.is_empty() {
            return Err(Refusal::invalid("meta.k8s.io", "ListOptions", "", &errors));
        }
        if text.is_empty() {
            return Ok(());
        }
        if continues && text != "0" {
            let message = "specifying resource version is not allowed when using continue";
            return Err(Refusal::bad_request(message));
        }
        let Ok(wanted) = text.parse::<u64>() else {
            return Err(Refusal::bad_request(format!(
                "invalid resource version: strconv.ParseUint: parsing {text:?}: invalid syntax"
            )));
        };
        let current = self.server.revision();
        if wanted > current {
            return Err(Refusal::too_new(wanted, current));
        }
        // Old versions are not kept: exactly one of the past cannot be told any more.
        if wanted != 0 && wanted < current && how == "Exact" {
            return Err(Refusal::expired("The resourceVersion for the provided list is too old."));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_where_a_list_stopped() {
        let token = Continue { revision: 7, after: ("ns".into(), "web".into()) }.text();
        let back = Continue::parse(&token).expect("a token");
        assert_eq!((back.revision, back.after), (7, ("ns".to_owned(), "web".to_owned())));
        assert_eq!(
            Continue::parse("xxx").err().map(|refusal| refusal.message),
            Some("invalid continue token: continue key is not valid: invalid character 'Ç' looking for beginning of value".into())
        );
        assert!(Continue::parse("x?x").is_err());
    }
}
