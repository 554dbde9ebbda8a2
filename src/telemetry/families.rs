//! Which metrics there are: names, help, labels and buckets.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
};

/// What comes in.
pub(super) struct Inward {
    pub(super) events: IntCounterVec,
    pub(super) refusals: IntCounterVec,
    pub(super) turned_away: IntCounterVec,
    pub(super) accept_duration: Histogram,
    pub(super) secret_uses: IntCounterVec,
    pub(super) expression_errors: IntCounterVec,
}

/// What goes out.
pub(super) struct Outward {
    pub(super) deliveries: IntCounterVec,
    pub(super) attempts: IntCounterVec,
    pub(super) attempt_duration: HistogramVec,
    pub(super) end_to_end: HistogramVec,
}

/// How the lanes stand at the moment of a scrape.
pub(super) struct Lanes {
    pub(super) waiting: IntGaugeVec,
    pub(super) oldest_waiting: GaugeVec,
    pub(super) oldest_undelivered: GaugeVec,
    pub(super) state: IntGaugeVec,
}

/// How the senders stand at the moment of a scrape.
pub(super) struct Sources {
    pub(super) silent: IntGaugeVec,
    pub(super) last_event: GaugeVec,
    pub(super) stuck: IntGaugeVec,
}

/// The relay itself.
pub(super) struct House {
    pub(super) store_commit: Histogram,
    pub(super) store_batch: Histogram,
    pub(super) store_writable: IntGauge,
    pub(super) waiting_limit: IntGauge,
    pub(super) last_reload: IntGauge,
    pub(super) reload_success: Gauge,
    pub(super) reloads: IntCounterVec,
}

const FAST: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];
const SLOW: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
const LONG: &[f64] = &[
    0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0, 21600.0, 86400.0,
];
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

impl Inward {
    pub(super) fn new(r: &Registry) -> Self {
        let events = ("relay_events_total", "Bodies received, by outcome");
        let refusals = (
            "relay_requests_refused_total",
            "Requests answered with an error",
        );
        let turned_away = (
            "relay_admin_requests_refused_total",
            "Admin requests without the token, or from where none may come",
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
        let turned_away = counter(r, turned_away, &["status"]);
        // From 0 on, so that the first one is a change.
        for status in ["401", "403", "429"] {
            turned_away.with_label_values(&[status]);
        }
        Self {
            events: counter(r, events, &["source", "type", "outcome"]),
            refusals: counter(r, refusals, &["source", "status"]),
            turned_away,
            accept_duration: histogram(r, accept, FAST),
            secret_uses: counter(r, secrets, &["source", "position"]),
            expression_errors: counter(r, expressions, &["route"]),
        }
    }
}

impl Outward {
    pub(super) fn new(r: &Registry) -> Self {
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
    pub(super) fn new(r: &Registry) -> Self {
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
    pub(super) fn new(r: &Registry) -> Self {
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
    pub(super) fn new(r: &Registry) -> Self {
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

type Named = (&'static str, &'static str);

fn counter(registry: &Registry, (name, help): Named, labels: &[&str]) -> IntCounterVec {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauge(registry: &Registry, (name, help): Named) -> IntGauge {
    registered(registry, IntGauge::new(name, help))
}

pub(super) fn gauges(registry: &Registry, (name, help): Named, labels: &[&str]) -> IntGaugeVec {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn seconds(registry: &Registry, (name, help): Named, label: &str) -> GaugeVec {
    registered(registry, GaugeVec::new(Opts::new(name, help), &[label]))
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
