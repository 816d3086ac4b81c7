//! ResourceQuota admission (upstream `apiserver/pkg/admission/plugin/resourcequota`): the last step
//! before an object is stored, which charges it to the quotas of its namespace.

use std::sync::Arc;

use super::ApiServer;
use crate::object::{Kind, Object};
use crate::quota::{self, Amounts, ResourceQuota};
use crate::request::{ApiError, WatchEvent};
use crate::symbol::Symbol;
use crate::units::SimTime;

impl ApiServer {
    /// Charges an object that is about to be written in place of `old` to the quotas that count it.
    /// What they have used rises before the object is stored, and stays so if that fails.
    pub(super) fn charge_quotas(
        &mut self,
        now: SimTime,
        old: Option<&Object>,
        object: &Object,
        events: &mut Vec<WatchEvent>,
    ) -> Result<(), ApiError> {
        let namespace = object.meta().namespace;
        if !self.policies.contains_key(&(Kind::ResourceQuota, namespace)) {
            return Ok(());
        }
        let quotas = self.concerned(object)?;
        if quotas.is_empty() {
            return Ok(());
        }
        let used = quota::usage(object, now);
        let more = old.map_or_else(|| used.clone(), |old| used.less(&quota::usage(old, now)));
        let more = more.filtered(|_, amount| !amount.is_zero());
        let mut charged = Vec::new();
        for quota in &quotas {
            charged.extend(charge(quota, object, &more)?);
        }
        for quota in charged {
            self.replace(Object::ResourceQuota(Arc::new(quota)), events);
        }
        Ok(())
    }

    /// The quotas that count the object, if it says what they want to know of it.
    fn concerned(&self, object: &Object) -> Result<Vec<Arc<ResourceQuota>>, ApiError> {
        let mut concerned = Vec::new();
        for quota in self.policies::<ResourceQuota>(object.meta().namespace) {
            let Some(hard) =
                quota.status.hard.as_ref().filter(|hard| quota::is_charged(object, &quota, hard))
            else {
                continue;
            };
            let counted = hard.filtered(|name, _| quota::tracks(object.kind(), name));
            let refuse = |detail| Err(ApiError::forbidden(object.kind(), &object.meta().name, detail));
            if let Object::Pod(pod) = object
                && let Some(missing) = quota::missing_amounts(&pod.spec, &counted)
            {
                return refuse(format!("failed quota: {}: {missing}", quota.meta.name));
            }
            let known =
                |name: Symbol| quota.status.used.as_ref().is_some_and(|used| used.get(name).is_some());
            if !counted.names().all(known) {
                let names: Vec<&str> = counted.names().map(Symbol::as_str).collect();
                let (quota, names) = (&quota.meta.name, names.join(","));
                return refuse(format!("status unknown for quota: {quota}, resources: {names}"));
            }
            concerned.push(quota);
        }
        Ok(concerned)
    }
}

/// The quota after so much more was used of it; `None` if that is nothing.
fn charge(quota: &ResourceQuota, object: &Object, more: &Amounts) -> Result<Option<ResourceQuota>, ApiError> {
    let (Some(hard), Some(used)) = (&quota.status.hard, &quota.status.used) else { return Ok(None) };
    let requested = more.filtered(|name, _| hard.get(name).is_some());
    if requested.is_empty() {
        return Ok(None);
    }
    let mut after = used.clone();
    after.add_all(&requested);
    let exceeds =
        |name: Symbol| matches!((after.get(name), hard.get(name)), (Some(sum), Some(hard)) if sum > hard);
    let of_exceeded =
        |amounts: &Amounts| amounts.filtered(|name, _| requested.get(name).is_some() && exceeds(name));
    let limited = of_exceeded(hard);
    if !limited.is_empty() {
        let detail = format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {limited}",
            quota.meta.name,
            of_exceeded(&requested),
            of_exceeded(used)
        );
        return Err(ApiError::forbidden(object.kind(), &object.meta().name, detail));
    }
    let mut charged = quota.clone();
    charged.status.used = Some(after);
    Ok(Some(charged))
}
