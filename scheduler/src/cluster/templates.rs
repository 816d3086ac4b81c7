//! Templates: pods that are equal in all that other pods' placement can depend on, namely
//! specification, labels, namespace and owner.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use seatrial_api::pod::Pod;
use seatrial_api::stream::mix64;
use smallvec::SmallVec;

use super::pod_sets::SetId;

/// The row of a template in [`Templates`].
pub(crate) type TemplateId = u32;

const END: TemplateId = TemplateId::MAX;

/// A template.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// One of its pods.
    pub(crate) pod: Arc<Pod>,
    /// Tells templates apart that had the same row one after the other.
    pub(crate) serial: u64,
    hash: u64,
    next: TemplateId,
    /// How many of its pods are on nodes.
    pub(crate) placed: u32,
    /// The sets to which its pods belong, and whether only while they are not terminating.
    pub(crate) member_of: SmallVec<[(SetId, bool); 4]>,
    /// Sets of pods that carry a term which looks for pods like these.
    pub(crate) looked_for_by: Vec<SetId>,
    /// Sets of pods that carry the same terms as these.
    pub(crate) carries: Vec<SetId>,
    /// Sets that its plans ask about.
    pub(crate) asks: Vec<SetId>,
}

/// All templates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Templates {
    rows: Vec<Option<Template>>,
    by_hash: FxHashMap<u64, TemplateId>,
    vacant: Vec<TemplateId>,
    next_serial: u64,
}

impl Templates {
    pub(crate) fn get(&self, id: TemplateId) -> &Template {
        self.rows[id as usize].as_ref().expect("invariant: a template in use exists")
    }

    pub(crate) fn get_mut(&mut self, id: TemplateId) -> &mut Template {
        self.rows[id as usize].as_mut().expect("invariant: a template in use exists")
    }

    /// All templates with their rows.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (TemplateId, &mut Template)> + '_ {
        let rows = self.rows.iter_mut().enumerate();
        rows.filter_map(|(id, row)| row.as_mut().map(|template| (id as TemplateId, template)))
    }

    /// How many templates there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() - self.vacant.len()
    }

    /// The template of a pod and whether it is new.
    pub(crate) fn intern(&mut self, pod: &Arc<Pod>) -> (TemplateId, bool) {
        let hash = hash(pod);
        let first = self.by_hash.get(&hash).copied().unwrap_or(END);
        let mut id = first;
        while id != END {
            let template = self.get(id);
            if is_alike(&template.pod, pod) {
                return (id, false);
            }
            id = template.next;
        }
        self.next_serial += 1;
        let template = Template {
            pod: pod.clone(),
            serial: self.next_serial,
            hash,
            next: first,
            placed: 0,
            member_of: SmallVec::new(),
            looked_for_by: Vec::new(),
            carries: Vec::new(),
            asks: Vec::new(),
        };
        let id = self.vacant.pop().unwrap_or(self.rows.len() as TemplateId);
        if id as usize == self.rows.len() {
            self.rows.push(Some(template));
        } else {
            self.rows[id as usize] = Some(template);
        }
        self.by_hash.insert(hash, id);
        (id, true)
    }

    /// Takes templates away that have no pods on nodes; answers with them.
    pub(crate) fn sweep(&mut self) -> Vec<Template> {
        let mut gone = Vec::new();
        for id in 0..self.rows.len() {
            if self.rows[id].as_ref().is_some_and(|template| template.placed == 0)
                && let Some(template) = self.rows[id].take()
            {
                self.vacant.push(id as TemplateId);
                gone.push(template);
            }
        }
        self.by_hash.clear();
        for id in 0..self.rows.len() {
            if let Some(template) = &mut self.rows[id] {
                let first = self.by_hash.insert(template.hash, id as TemplateId);
                template.next = first.unwrap_or(END);
            }
        }
        gone
    }
}

/// Whether two pods have one template. Specifications are compared by address: those of one source
/// share theirs, and others merely get templates of their own.
fn is_alike(a: &Pod, b: &Pod) -> bool {
    let owner = |pod: &Pod| pod.meta.controller().map(|owner| (owner.kind, owner.name.clone()));
    let same_owners = match (&a.meta.owners, &b.meta.owners) {
        (None, None) => true,
        (Some(x), Some(y)) => Arc::ptr_eq(x, y) || owner(a) == owner(b),
        _ => owner(a) == owner(b),
    };
    Arc::ptr_eq(&a.spec, &b.spec)
        && a.meta.namespace == b.meta.namespace
        && same_owners
        && (a.meta.labels.same_allocation(&b.meta.labels) || a.meta.labels == b.meta.labels)
}

fn hash(pod: &Pod) -> u64 {
    let mut hash = mix64(Arc::as_ptr(&pod.spec) as usize as u64);
    let mut add = |word: u64| hash = (hash.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95);
    add(pod.meta.namespace.text_hash());
    for (key, value) in pod.meta.labels.iter() {
        add(key.text_hash());
        add(value.text_hash());
    }
    if let Some(owner) = pod.meta.controller() {
        for chunk in owner.name.as_bytes().chunks(8) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            add(u64::from_le_bytes(bytes));
        }
    }
    mix64(hash)
}
