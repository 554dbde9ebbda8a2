//! The metrics of the contract. Labels come from configured names and closed sets only.

use std::time::Duration;

use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

use super::Attempted;
use crate::model::{EventType, LaneState, Name, State};
use crate::source::INTERVIEW_TYPES;

/// Every metric, in a registry of its own.
pub struct Metrics {
    registry: Registry,
    inward: Inward,
    outward: Outward,
    lanes: Lanes,
    sources: Sources,
    house: House,
}

/// What comes in.
struct Inward {
    events: IntCounterVec,
    refusals: IntCounterVec,
    accept_duration: Histogram,
    secret_uses: IntCounterVec,
    expression_errors: IntCounterVec,
}

/// What goes out.
struct Outward {
    deliveries: IntCounterVec,
    attempts: IntCounterVec,
    attempt_duration: HistogramVec,
    end_to_end: HistogramVec,
}

/// How the lanes stand at the moment of a scrape.
struct Lanes {
    waiting: IntGaugeVec,
    oldest_waiting: GaugeVec,
    oldest_undelivered: GaugeVec,
    state: IntGaugeVec,
}

/// How the senders stand at the moment of a scrape.
struct Sources {
    silent: IntGaugeVec,
    last_event: GaugeVec,
    stuck: IntGaugeVec,
}

/// The relay itself.
struct House {
    store_commit: Histogram,
    store_batch: Histogram,
    store_writable: IntGauge,
    waiting_limit: IntGauge,
    last_reload: IntGauge,
    reload_success: Gauge,
    reloads: IntCounterVec,
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

const FAST: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];
const SLOW: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
const LONG: &[f64] = &[
    0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0, 21600.0, 86400.0,
];
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

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

impl Inward {
    fn new(r: &Registry) -> Self {
        let events = ("relay_events_total", "Bodies received, by outcome");
        let refusals = (
            "relay_requests_refused_total",
            "Requests answered with an error",
        );
        let accept = (
            "relay_accept_duration_seconds",
            "Whole body to durable commit",
        );
        let secrets = (
            "relay_source_secret_uses_total",
            "Requests let in, by the position of the secret they used",
        );
        let expressions = (
            "relay_expression_errors_total",
            "Events for which a route's `when` failed",
        );
        Self {
            events: counter(r, events, &["source", "type", "outcome"]),
            refusals: counter(r, refusals, &["source", "status"]),
            accept_duration: histogram(r, accept, FAST),
            secret_uses: counter(r, secrets, &["source", "position"]),
            expression_errors: counter(r, expressions, &["route"]),
        }
    }
}

impl Outward {
    fn new(r: &Registry) -> Self {
        let deliveries = (
            "relay_deliveries_total",
            "Deliveries that reached a final state",
        );
        let attempts = ("relay_attempts_total", "Requests sent, by verdict");
        let duration = (
            "relay_attempt_duration_seconds",
            "One request, first byte to verdict",
        );
        let end_to_end = ("relay_end_to_end_seconds", "Accepted to delivered");
        Self {
            deliveries: counter(r, deliveries, &["destination", "state"]),
            attempts: counter(r, attempts, &["destination", "verdict"]),
            attempt_duration: histograms(r, duration, SLOW),
            end_to_end: histograms(r, end_to_end, LONG),
        }
    }
}

impl Lanes {
    fn new(r: &Registry) -> Self {
        let waiting = ("relay_waiting", "Deliveries waiting");
        let due = (
            "relay_oldest_waiting_seconds",
            "How long the oldest delivery has been due",
        );
        let created = (
            "relay_oldest_undelivered_seconds",
            "Age of the oldest waiting delivery",
        );
        let state = ("relay_destination_state", "1 for the state the lane is in");
        Self {
            waiting: gauges(r, waiting, &["destination"]),
            oldest_waiting: seconds(r, due, "destination"),
            oldest_undelivered: seconds(r, created, "destination"),
            state: gauges(r, state, &["destination", "state"]),
        }
    }
}

impl Sources {
    fn new(r: &Registry) -> Self {
        let silent = (
            "relay_source_silent",
            "1 where no event came for longer than silent_after",
        );
        let last = (
            "relay_source_last_event_timestamp_seconds",
            "When the last event of a source was received",
        );
        let stuck = (
            "relay_subjects_stuck",
            "Interviews collected and not submitted within stuck_after",
        );
        Self {
            silent: gauges(r, silent, &["source"]),
            last_event: seconds(r, last, "source"),
            stuck: gauges(r, stuck, &["source"]),
        }
    }
}

impl House {
    fn new(r: &Registry) -> Self {
        let commit = ("relay_store_commit_seconds", "One commit of the store");
        let batch = ("relay_store_batch_size", "Writes that shared one commit");
        let success = (
            "relay_config_reload_success_timestamp_seconds",
            "When the configuration in force was loaded",
        );
        let reloads = ("relay_config_reloads_total", "Reloads of the configuration");
        let writable = (
            "relay_store_writable",
            "1 where a write succeeded at this scrape",
        );
        let limit = (
            "relay_waiting_limit",
            "Deliveries waiting above which senders get 503",
        );
        let last = (
            "relay_config_last_reload_successful",
            "0 where the files hold what was refused",
        );
        Self {
            store_commit: histogram(r, commit, FAST),
            store_batch: histogram(r, batch, SIZES),
            store_writable: gauge(r, writable),
            waiting_limit: gauge(r, limit),
            last_reload: gauge(r, last),
            reload_success: registered(r, Gauge::new(success.0, success.1)),
            reloads: counter(r, reloads, &["outcome"]),
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
        let known = INTERVIEW_TYPES
            .into_iter()
            .find(|known| *known == event_type.as_str());
        self.inward
            .events
            .with_label_values(&[source, known.unwrap_or("other"), outcome])
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

type Named = (&'static str, &'static str);

fn counter(registry: &Registry, (name, help): Named, labels: &[&str]) -> IntCounterVec {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauge(registry: &Registry, (name, help): Named) -> IntGauge {
    registered(registry, IntGauge::new(name, help))
}

fn gauges(registry: &Registry, (name, help): Named, labels: &[&str]) -> IntGaugeVec {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn seconds(registry: &Registry, (name, help): Named, label: &str) -> GaugeVec {
    registered(registry, GaugeVec::new(Opts::new(name, help), &[label]))
}

/// As Prometheus writes times.
fn unix(at: Timestamp) -> f64 {
    crate::model::after(Timestamp::UNIX_EPOCH, at).as_secs_f64()
}

fn histogram(registry: &Registry, (name, help): Named, buckets: &[f64]) -> Histogram {
    registered(
        registry,
        Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())),
    )
}

fn histograms(registry: &Registry, (name, help): Named, buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    registered(registry, HistogramVec::new(options, &["destination"]))
}

fn registered<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> M {
    let metric = metric.expect("names and labels are well-formed");
    registry
        .register(Box::new(metric.clone()))
        .expect("each name is registered once");
    metric
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
