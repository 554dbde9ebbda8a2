//! The metrics of the contract. Labels come from configured names and closed sets only.

use std::time::Duration;

use jiff::Timestamp;
use prometheus::{Registry, TextEncoder};

use super::Attempted;
use super::families::{House, Inward, Lanes, Outward, Sources, gauges};
use crate::model::{EventType, LaneState, Name, State};
use crate::source::known_type;

/// Every metric, in a registry of its own.
pub struct Metrics {
    registry: Registry,
    inward: Inward,
    outward: Outward,
    lanes: Lanes,
    sources: Sources,
    house: House,
}

/// What a scrape tells of one lane.
#[derive(Clone, Debug)]
pub struct LaneGauges {
    pub destination: Name,
    pub state: LaneState,
    pub waiting: u64,
    /// Since when the oldest delivery that may go out has been due.
    pub oldest_due: Option<Timestamp>,
    /// When the oldest waiting delivery was created.
    pub oldest_created: Option<Timestamp>,
}

/// What a scrape tells of one source.
#[derive(Clone, Debug)]
pub struct SourceGauges {
    pub source: Name,
    /// None where no `silent_after` is set.
    pub silent: Option<bool>,
    pub last_event_at: Option<Timestamp>,
    /// None where no `stuck_after` is set.
    pub stuck: Option<u64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let build = gauges(
            &registry,
            ("relay_build_info", "Always 1; the version is in the label"),
            &["version"],
        );
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            inward: Inward::new(&registry),
            outward: Outward::new(&registry),
            lanes: Lanes::new(&registry),
            sources: Sources::new(&registry),
            house: House::new(&registry),
            registry,
        }
    }
}

impl Metrics {
    /// Every metric in the Prometheus text format (version 0.0.4).
    pub fn text(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }

    /// A body was received. A type that only the sender knows is counted as `other`.
    pub fn event(&self, source: &str, event_type: &EventType, outcome: &str) {
        self.inward
            .events
            .with_label_values(&[source, known_type(event_type), outcome])
            .inc();
    }

    /// A request was answered with an error. `source` is a configured name, or empty.
    pub fn refused(&self, source: &str, status: u16) {
        self.inward
            .refusals
            .with_label_values(&[source, &status.to_string()])
            .inc();
        if !source.is_empty() {
            self.inward
                .events
                .with_label_values(&[source, "", "refused"])
                .inc();
        }
    }

    /// An admin request was refused for want of the token, or for where it came from.
    pub fn turned_away(&self, status: u16) {
        self.inward
            .turned_away
            .with_label_values(&[status.to_string()])
            .inc();
    }

    /// A sender was let in by the secret at `position`, counted from 0.
    pub fn secret_used(&self, source: &str, position: usize) {
        self.inward
            .secret_uses
            .with_label_values(&[source, &position.to_string()])
            .inc();
    }

    /// A delivery reached a final state.
    pub fn delivery(&self, destination: &str, state: State) {
        if state.is_final() {
            self.outward
                .deliveries
                .with_label_values(&[destination, state.as_str()])
                .inc();
        }
    }

    pub(super) fn attempted(&self, attempted: &Attempted) {
        if let Some(verdict) = attempted.verdict {
            self.outward
                .attempts
                .with_label_values(&[&*attempted.destination, verdict.as_str()])
                .inc();
            let seconds = Duration::from_millis(attempted.duration_ms).as_secs_f64();
            self.outward
                .attempt_duration
                .with_label_values(&[&*attempted.destination])
                .observe(seconds);
        }
        self.delivery(&attempted.destination, attempted.state);
        if let Some(took) = attempted.end_to_end {
            self.outward
                .end_to_end
                .with_label_values(&[&*attempted.destination])
                .observe(took.as_secs_f64());
        }
    }

    /// A body was taken, so long after it had arrived whole.
    pub fn accepted(&self, took: Duration) {
        self.inward.accept_duration.observe(took.as_secs_f64());
    }

    /// The store committed `batch` writes in one go.
    pub fn committed(&self, took: Duration, batch: usize) {
        self.house.store_commit.observe(took.as_secs_f64());
        self.house
            .store_batch
            .observe(f64::from(u32::try_from(batch).unwrap_or(u32::MAX)));
    }

    /// A route's `when` failed for an event.
    pub fn expression_error(&self, route: &str) {
        self.inward
            .expression_errors
            .with_label_values(&[route])
            .inc();
    }

    /// Whether the store takes a write at the moment of a scrape.
    pub fn set_writable(&self, writable: bool) {
        self.house.store_writable.set(i64::from(writable));
    }

    /// `store.max_waiting`.
    pub fn set_waiting_limit(&self, limit: u64) {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.house.waiting_limit.set(limit);
    }

    /// The configuration was loaded, or a reload refused.
    pub fn reloaded(&self, at: Timestamp, accepted: bool) {
        self.house
            .reloads
            .with_label_values(&[if accepted { "accepted" } else { "refused" }])
            .inc();
        self.house.last_reload.set(i64::from(accepted));
        if accepted {
            self.house.reload_success.set(unix(at));
        }
    }

    /// Sets the gauges of all lanes; what is no lane any more is gone from the next scrape.
    pub fn set_lanes(&self, now: Timestamp, lanes: &[LaneGauges]) {
        self.lanes.waiting.reset();
        self.lanes.oldest_waiting.reset();
        self.lanes.oldest_undelivered.reset();
        self.lanes.state.reset();
        let since =
            |at: Option<Timestamp>| at.map_or(0.0, |at| crate::model::after(at, now).as_secs_f64());
        for lane in lanes {
            let name = &*lane.destination;
            self.lanes
                .waiting
                .with_label_values(&[name])
                .set(i64::try_from(lane.waiting).unwrap_or(i64::MAX));
            self.lanes
                .oldest_waiting
                .with_label_values(&[name])
                .set(since(lane.oldest_due));
            self.lanes
                .oldest_undelivered
                .with_label_values(&[name])
                .set(since(lane.oldest_created));
            // From zero: a first death is an increase only where there was a value before it.
            for state in State::ALL.into_iter().filter(|state| state.is_final()) {
                self.outward
                    .deliveries
                    .with_label_values(&[name, state.as_str()]);
            }
            for state in LaneState::ALL {
                let is = i64::from(state == lane.state);
                self.lanes
                    .state
                    .with_label_values(&[name, state.as_str()])
                    .set(is);
            }
        }
    }

    /// Sets the gauges of all sources; one that is gone from relay.toml is gone from the next scrape.
    pub fn set_sources(&self, sources: &[SourceGauges]) {
        self.sources.silent.reset();
        self.sources.last_event.reset();
        self.sources.stuck.reset();
        for source in sources {
            let name = [&*source.source];
            if let Some(silent) = source.silent {
                let silent = i64::from(silent);
                self.sources.silent.with_label_values(&name).set(silent);
            }
            if let Some(at) = source.last_event_at {
                let gauge = self.sources.last_event.with_label_values(&name);
                gauge.set(unix(at));
            }
            if let Some(stuck) = source.stuck {
                let stuck = i64::try_from(stuck).unwrap_or(i64::MAX);
                self.sources.stuck.with_label_values(&name).set(stuck);
            }
        }
    }
}

/// As Prometheus writes times.
fn unix(at: Timestamp) -> f64 {
    crate::model::after(Timestamp::UNIX_EPOCH, at).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_only_the_sender_knows_is_no_label() {
        let metrics = Metrics::default();
        metrics.event("crm", &EventType::new("order.paid.12345"), "accepted");
        metrics.event("jobmojito", &EventType::new("interview.failed"), "accepted");
        let text = metrics.text();
        assert!(
            text.contains(r#"relay_events_total{outcome="accepted",source="crm",type="other"} 1"#),
            "{text}"
        );
        assert!(text.contains(r#"type="interview.failed"#));
        assert!(!text.contains("12345"));
    }

    #[test]
    fn a_lane_that_is_gone_leaves_the_gauges() {
        let metrics = Metrics::default();
        let lane = |name: &str| LaneGauges {
            destination: name.into(),
            state: LaneState::Blocked,
            waiting: 3,
            oldest_due: Timestamp::from_second(10).ok(),
            oldest_created: None,
        };
        let now = Timestamp::from_second(70).expect("in range");
        metrics.set_lanes(now, &[lane("ats"), lane("old")]);
        metrics.set_lanes(now, &[lane("ats")]);
        let text = metrics.text();
        assert!(
            text.contains(r#"relay_oldest_waiting_seconds{destination="ats"} 60"#),
            "{text}"
        );
        assert!(text.contains(r#"relay_destination_state{destination="ats",state="blocked"} 1"#));
        // What was counted stays; how it stands is known no more.
        for gone in [
            "relay_waiting",
            "relay_oldest_waiting_seconds",
            "relay_destination_state",
        ] {
            assert!(
                !text.contains(&format!("{gone}{{destination=\"old\"")),
                "{text}"
            );
        }
    }
}
