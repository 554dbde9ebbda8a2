//! What others ask of the rules in force: jobs, alerts and reloads.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::{Intake, replan};
use crate::destination::{Destination, Revisions};
use crate::model::{ALERTS, Name, Refusal};
use crate::store::{EventDetail, NewDelivery};

impl Intake {
    /// Destinations that want the latest revision alone.
    pub fn latest(&self) -> HashSet<Name> {
        let rules = self.rules.load();
        let all = rules.destinations.values();
        let latest = all.filter(|one| one.revisions() == Revisions::Latest);
        latest.map(|one| one.name().clone()).collect()
    }

    /// Every source that is configured.
    pub fn source_names(&self) -> BTreeSet<Name> {
        self.rules.load().sources.keys().cloned().collect()
    }

    /// The destination that is configured under `name`.
    pub fn destination(&self, name: &str) -> Option<Arc<Destination>> {
        self.rules.load().destinations.get(name).cloned()
    }

    /// The deliveries that an event which was kept would get if it came now, or why that cannot be said.
    pub fn reroute(
        &self,
        kept: &EventDetail,
        previous: Option<&EventDetail>,
    ) -> Result<Vec<NewDelivery>, Refusal> {
        // Alerts are nobody's business but theirs whom `alerts.to` names.
        if &*kept.event.source == ALERTS {
            return Ok(Vec::new());
        }
        let rules = self.rules.load();
        let payload = kept.payload.as_ref().ok_or(Refusal::NoPayload)?;
        let short = |one: &EventDetail| {
            let fields = one.kept.as_ref();
            fields.is_some_and(|fields| !rules.suffices(&kept.event.source, fields))
        };
        if short(kept) || previous.is_some_and(short) {
            return Err(Refusal::Minimised);
        }
        let payloads = (payload, previous.and_then(|one| one.payload.as_ref()));
        // It was read when it was accepted.
        Ok(replan(&rules, &kept.event, payloads, self.parts.clock.now()).unwrap_or_default())
    }
}
