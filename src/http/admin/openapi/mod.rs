//! `/openapi.json`: the API as `OpenAPI` 3.1, from the types that it is read into and answered from.
//! A new endpoint is one more entry in `operations`; a test compares them with what is answered.

mod operation;

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use self::operation::{Operation, Types};
use super::jobs::{DiscardManyBody, JobView, ReplayManyBody, RerouteBody};
use super::query::{DeliveriesQuery, EraseBody, EventsQuery, MoveBody, ReplayBody};
use super::views::{
    ChangedView, DeliveryDetailView, DeliveryView, ErasureView, EventDetailView, LaneStateView,
    Listed, ListedEventView, MovedView, ReloadedView, StatusView,
};
use crate::model::{DeliveryId, EventId, JobId};

static TEXT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());

/// The description as it is served.
pub(super) fn text() -> Bytes {
    TEXT.clone()
}

fn operations(types: &mut Types) -> Vec<Operation> {
    let mut all = open();
    all.extend(reads(types));
    all.extend(writes(types));
    all.extend(jobs(types));
    all
}

/// What needs no token.
fn open() -> Vec<Operation> {
    vec![
        Operation::get("/", "dashboard", "The dashboard, for people").open("text/html"),
        Operation::get("/healthz", "health", "The process runs").open("text/plain"),
        Operation::get("/readyz", "ready", "The relay takes webhooks")
            .open("text/plain")
            .refuses(&[503]),
        Operation::get(
            "/metrics",
            "metrics",
            "Metrics in the text format of Prometheus",
        )
        .open("text/plain"),
    ]
}

fn reads(types: &mut Types) -> Vec<Operation> {
    vec![
        Operation::get("/openapi.json", "describe", "This description").answers_json(),
        Operation::get("/api/v1/status", "status", "How the relay stands, and why")
            .answers::<StatusView>(types)
            .links("pause", ("name", "/destinations/0/name"))
            .links("resume", ("name", "/destinations/0/name")),
        Operation::get("/api/v1/events", "listEvents", "Events, newest first")
            .query::<EventsQuery>(types)
            .answers::<Listed<ListedEventView>>(types)
            .links("getEvent", ("id", "/items/0/id")),
        Operation::get(
            "/api/v1/events/{id}",
            "getEvent",
            "One event with everything known of it",
        )
        .id::<EventId>(types)
        .answers::<EventDetailView>(types),
        Operation::get(
            "/api/v1/deliveries",
            "listDeliveries",
            "Deliveries, newest first",
        )
        .query::<DeliveriesQuery>(types)
        .answers::<Listed<DeliveryView>>(types)
        .links("getDelivery", ("id", "/items/0/id"))
        .links("replay", ("id", "/items/0/id")),
        Operation::get(
            "/api/v1/deliveries/{id}",
            "getDelivery",
            "One delivery with its attempts",
        )
        .id::<DeliveryId>(types)
        .answers::<DeliveryDetailView>(types),
        Operation::get("/api/v1/stream", "stream", "What happens, without end")
            .answers_text("text/event-stream"),
    ]
}

fn writes(types: &mut Types) -> Vec<Operation> {
    let replay = "Send a delivery that is final again, with a fresh budget of attempts";
    vec![
        Operation::post("/api/v1/deliveries/{id}/replay", "replay", replay)
            .id::<DeliveryId>(types)
            .body::<ReplayBody>(types)
            .answers::<ChangedView>(types)
            .refuses(&[409]),
        Operation::post(
            "/api/v1/deliveries/{id}/discard",
            "discard",
            "End a delivery that waits",
        )
        .id::<DeliveryId>(types)
        .answers::<ChangedView>(types)
        .refuses(&[409]),
        Operation::post(
            "/api/v1/destinations/{name}/move",
            "move",
            "Move an orphan's backlog",
        )
        .name()
        .needs_body::<MoveBody>(types)
        .answers::<MovedView>(types)
        .refuses(&[409, 422]),
        Operation::post(
            "/api/v1/destinations/{name}/pause",
            "pause",
            "Hold everything back",
        )
        .name()
        .answers::<LaneStateView>(types),
        Operation::post(
            "/api/v1/destinations/{name}/resume",
            "resume",
            "Let a destination go on, and free it from being open or blocked",
        )
        .name()
        .answers::<LaneStateView>(types),
        Operation::post(
            "/api/v1/erase",
            "erase",
            "Erase a candidate or a subject; answered once it is done",
        )
        .needs_body::<EraseBody>(types)
        .answers::<ErasureView>(types),
        Operation::post("/api/v1/reload", "reload", "Read the configuration again")
            .answers::<ReloadedView>(types)
            .refuses(&[422]),
    ]
}

/// What is done to many deliveries.
fn jobs(types: &mut Types) -> Vec<Operation> {
    vec![
        Operation::post("/api/v1/replay", "replayMany", "Send many deliveries again")
            .needs_body::<ReplayManyBody>(types)
            .answers::<JobView>(types)
            .links("getJob", ("id", "/id")),
        Operation::post(
            "/api/v1/discard",
            "discardMany",
            "End many deliveries that wait",
        )
        .needs_body::<DiscardManyBody>(types)
        .answers::<JobView>(types)
        .links("getJob", ("id", "/id")),
        Operation::post(
            "/api/v1/reroute",
            "reroute",
            "Create what today's rules ask for and kept events do not have",
        )
        .needs_body::<RerouteBody>(types)
        .answers::<JobView>(types)
        .links("getJob", ("id", "/id")),
        Operation::get("/api/v1/jobs", "listJobs", "Jobs, newest first")
            .answers::<Listed<JobView>>(types)
            .links("cancelJob", ("id", "/items/0/id")),
        Operation::get("/api/v1/jobs/{id}", "getJob", "How far a job is")
            .id::<JobId>(types)
            .answers::<JobView>(types),
        Operation::post(
            "/api/v1/jobs/{id}/cancel",
            "cancelJob",
            "End a job; what it did stays done",
        )
        .id::<JobId>(types)
        .answers::<JobView>(types),
    ]
}

fn document() -> Value {
    let mut types = Types::new();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations(&mut types) {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        let method = operation.method;
        path[method] = operation.into_json();
    }
    let mut schemas = types.into_definitions();
    schemas.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "mojito-relay, admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What came in, what goes out, and what is stuck. Every error is a problem as in RFC 9457.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "The token of [admin] in relay.toml. Without one there, on loopback, none is asked for.",
            } },
        },
    })
}

/// As `http::problem` writes it.
fn problem() -> Value {
    json!({
        "type": "object",
        "description": "Why a request was not done (RFC 9457).",
        "properties": {
            "type": { "type": "string", "description": "about:blank, or urn:mojito-relay:problem: and a word" },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "What to do about it" },
        },
        "required": ["type", "title", "status"],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Method and path of every call that there is: `call.rs` says so above each.
    fn answered() -> BTreeSet<String> {
        let calls = include_str!("../../call.rs");
        let (_, calls) = calls.split_once("pub enum AdminCall").expect("it is there");
        let (calls, _) = calls.split_once("\n}").expect("it ends");
        let lines = calls
            .lines()
            .filter_map(|line| line.trim().strip_prefix("/// `"));
        let lines = lines.filter_map(|line| line.split('`').next());
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn every_call_is_described_and_every_description_is_a_call() {
        let described = operations(&mut Types::new()).into_iter();
        let described: BTreeSet<String> = described
            .map(|one| format!("{} {}", one.method.to_uppercase(), one.path))
            .collect();
        assert_eq!(described, answered());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().expect("it ends");
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
