//! `kubectl rollout`.

use std::sync::Arc;

use seatrial_api::labels::Labels;
use seatrial_api::meta::ObjectMeta;
use seatrial_api::object::{Kind, Object, Typed};
use seatrial_api::pod::PodTemplate;
use seatrial_api::request::{Patch, Request, Subresource};
use seatrial_api::symbol::Symbol;
use seatrial_api::workload::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use serde_json::json;

use super::{Command, Failure, Outcome, Play, Subject, shown_kind};

/// The number of a Deployment's rollout.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// The label by which the pods of a rollout are told apart.
const HASH: &str = "pod-template-hash";
/// Why a rollout was made.
const CAUSE: &str = "kubernetes.io/change-cause";
/// When a rollout was asked for.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";
/// Annotations that a rollback leaves to the Deployment.
const KEPT: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];
/// The width of a column and of the space behind it.
const COLUMN: usize = "REVISION".len() + 2;

/// A rollout that can be gone back to.
struct Rollout {
    number: i64,
    template: Arc<PodTemplate>,
    annotations: Labels,
}

impl Play<'_> {
    pub(super) fn rollout(&mut self, verb: &str, words: &[&str], command: &Command) -> Outcome {
        let mut out = String::new();
        for subject in self.subjects(words)?.0 {
            let text = match verb {
                "undo" => self.undo(&subject, command.number("to-revision").unwrap_or(0)),
                "history" => self.history(&subject),
                "pause" => self.pause(&subject, true),
                "resume" => self.pause(&subject, false),
                "restart" => self.restart(&subject),
                "status" => self.status(&subject),
                _ => Err(Failure(format!("error: unknown command \"rollout {verb}\"\n"))),
            };
            out.push_str(&text?);
        }
        Ok(out)
    }

    /// The rollouts of an object, the oldest first.
    fn rollouts(&self, subject: &Subject) -> Vec<Rollout> {
        let uid = self.server.get(subject.target).map(|object| object.meta().uid);
        let is_owned = |meta: &ObjectMeta| meta.controller().is_some_and(|owner| Some(owner.uid) == uid);
        let mut rollouts = Vec::new();
        if subject.target.kind == Kind::Deployment {
            for set in self.server.list_typed::<ReplicaSet>().filter(|set| is_owned(&set.meta)) {
                let number = set.meta.annotations.get(Symbol::new(REVISION));
                let Some(number) = number.and_then(|number| number.as_str().parse().ok()) else { continue };
                let mut template = PodTemplate::clone(&set.template);
                template.labels = template.labels.without(Symbol::new(HASH));
                let annotations = set.meta.annotations.clone();
                rollouts.push(Rollout { number, template: Arc::new(template), annotations });
            }
        } else {
            let revisions = self.server.list_typed::<ControllerRevision>();
            for revision in revisions.filter(|revision| is_owned(&revision.meta)) {
                let (template, annotations) = (revision.template.clone(), revision.meta.annotations.clone());
                rollouts.push(Rollout { number: revision.revision, template, annotations });
            }
        }
        rollouts.sort_by_key(|rollout| rollout.number);
        rollouts
    }

    fn undo(&mut self, subject: &Subject, to: i64) -> Outcome {
        let rollouts = self.rollouts(subject);
        let (kind, name) = (subject.target.kind, &subject.name);
        let missing =
            || Failure(format!("error: no rollout history found for {} \"{name}\"\n", super::singular(kind)));
        let wanted = match to {
            0 if rollouts.len() < 2 => return Err(missing()),
            0 => rollouts.len() - 2,
            to => rollouts.iter().position(|rollout| rollout.number == to).ok_or_else(|| {
                Failure(format!("error: unable to find specified revision {to} in history\n"))
            })?,
        };
        let rollout = &rollouts[wanted];
        let Some(object) = self.server.get(subject.target).cloned() else { return Err(missing()) };
        let next = match &object {
            Object::Deployment(deployment) if deployment.paused => {
                return Err(Failure(
                    "error: you cannot rollback a paused deployment; resume it first with 'kubectl rollout \
                     resume' and try again\n"
                        .to_owned(),
                ));
            }
            Object::Deployment(deployment) if deployment.template == rollout.template => None,
            Object::Deployment(deployment) => {
                let mut next = Deployment::clone(deployment);
                next.template = rollout.template.clone();
                let kept = deployment.meta.annotations.iter().filter(|pair| KEPT.contains(&pair.0.as_str()));
                let taken = rollout.annotations.iter().filter(|pair| !KEPT.contains(&pair.0.as_str()));
                next.meta.annotations = Labels::new(kept.chain(taken).copied().collect());
                next.meta.resource_version = 0;
                Some(Deployment::wrap(Arc::new(next)))
            }
            Object::DaemonSet(set) if set.template == rollout.template => None,
            Object::DaemonSet(set) => {
                let mut next = DaemonSet::clone(set);
                next.template = rollout.template.clone();
                next.meta.resource_version = 0;
                Some(DaemonSet::wrap(Arc::new(next)))
            }
            Object::StatefulSet(set) if set.template == rollout.template => None,
            Object::StatefulSet(set) => {
                let mut next = StatefulSet::clone(set);
                next.template = rollout.template.clone();
                next.meta.resource_version = 0;
                Some(StatefulSet::wrap(Arc::new(next)))
            }
            _ => return Err(Failure(format!("error: no rollbacker has been implemented for \"{kind}\"\n"))),
        };
        let Some(object) = next else {
            let number = rollout.number;
            let why = format!("current template already matches revision {number}");
            return Ok(format!("{} skipped rollback ({why})\n", subject.shown()));
        };
        self.kubectl_asks(Request::Update { object, subresource: Subresource::Main })?;
        Ok(format!("{} rolled back\n", subject.shown()))
    }

    fn history(&mut self, subject: &Subject) -> Outcome {
        let rollouts = self.rollouts(subject);
        if rollouts.is_empty() {
            return Ok("No rollout history found.\n".to_owned());
        }
        let mut out = format!("{} \n{:COLUMN$}CHANGE-CAUSE\n", subject.shown(), "REVISION");
        for rollout in &rollouts {
            let cause = rollout.annotations.get(Symbol::new(CAUSE)).map_or("<none>", Symbol::as_str);
            out.push_str(&format!("{:<COLUMN$}{cause}\n", rollout.number));
        }
        Ok(out + "\n")
    }

    fn pause(&mut self, subject: &Subject, paused: bool) -> Outcome {
        let done = if paused { "paused" } else { "resumed" };
        let Some(Object::Deployment(deployment)) = self.server.get(subject.target) else {
            let kind = subject.target.kind.qualified_plural();
            return Err(Failure(format!("error: {kind} \"{}\" {done} is not supported\n", subject.name)));
        };
        if deployment.paused == paused {
            let state = if paused { "already paused" } else { "not paused" };
            let kind = subject.target.kind.qualified_plural();
            return Err(Failure(format!("error: {kind} \"{}\" is {state}\n", subject.name)));
        }
        self.kubectl_patches(subject.target, Patch::Paused(paused))?;
        Ok(format!("{} {done}\n", subject.shown()))
    }

    fn restart(&mut self, subject: &Subject) -> Outcome {
        if let Some(Object::Deployment(deployment)) = self.server.get(subject.target)
            && deployment.paused
        {
            let kind = subject.target.kind.qualified_plural();
            let why = "can't restart paused deployment (run rollout resume first)";
            return Err(Failure(format!("error: {kind} \"{}\" {why}\n", subject.name)));
        }
        let now = self.manifests.date(self.now);
        let body = json!({"spec": {"template": {"metadata": {"annotations": {RESTARTED: now}}}}});
        self.kubectl_patches_document(subject.target, &body)?;
        Ok(format!("{} restarted\n", subject.shown()))
    }

    /// How far a rollout is, as it is at once: kubectl would wait for more.
    fn status(&mut self, subject: &Subject) -> Outcome {
        let (kind, name) = (shown_kind(subject.target.kind), &subject.name);
        let kind = kind.split('.').next().unwrap_or(&kind);
        let (waits, done) = match self.server.get(subject.target) {
            Some(Object::Deployment(deployment)) => {
                (deployment_waits(deployment, name), "successfully rolled out")
            }
            Some(Object::DaemonSet(set)) => {
                let status = &set.status;
                let desired = status.desired_number_scheduled;
                let rollout = format!("Waiting for daemon set \"{name}\" rollout to finish: ");
                let waits = if status.observed_generation < set.meta.generation {
                    Some("Waiting for daemon set spec update to be observed...".to_owned())
                } else if status.updated_number_scheduled < desired {
                    let updated = status.updated_number_scheduled;
                    Some(format!("{rollout}{updated} out of {desired} new pods have been updated..."))
                } else if status.number_available < desired {
                    let available = status.number_available;
                    Some(format!("{rollout}{available} of {desired} updated pods are available..."))
                } else {
                    None
                };
                (waits, "successfully rolled out")
            }
            Some(Object::StatefulSet(set)) => {
                let status = &set.status;
                let waits = if status.observed_generation < set.meta.generation {
                    Some("Waiting for statefulset spec update to be observed...".to_owned())
                } else if status.ready_replicas < set.replicas {
                    Some(format!("Waiting for {} pods to be ready...", set.replicas - status.ready_replicas))
                } else {
                    None
                };
                (waits, "rolling update complete")
            }
            _ => (Some(format!("no status viewer has been implemented for {kind}")), ""),
        };
        match waits {
            Some(text) => Ok(format!("{text}\n")),
            None if subject.target.kind == Kind::DaemonSet => Ok(format!("daemon set \"{name}\" {done}\n")),
            None => Ok(format!("{kind} \"{name}\" {done}\n")),
        }
    }
}

/// What a Deployment's rollout waits for.
fn deployment_waits(deployment: &Deployment, name: &str) -> Option<String> {
    let status = &deployment.status;
    let rollout = format!("Waiting for deployment \"{name}\" rollout to finish: ");
    if status.observed_generation < deployment.meta.generation {
        return Some("Waiting for deployment spec update to be observed...".to_owned());
    }
    let (updated, replicas) = (status.updated_replicas, deployment.replicas);
    if updated < replicas {
        return Some(format!("{rollout}{updated} out of {replicas} new replicas have been updated..."));
    }
    if status.replicas > updated {
        let old = status.replicas - updated;
        return Some(format!("{rollout}{old} old replicas are pending termination..."));
    }
    let available = status.available_replicas;
    (available < updated)
        .then(|| format!("{rollout}{available} of {updated} updated replicas are available..."))
}
