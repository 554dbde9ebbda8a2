//! Bodies that come with the relay: for trying a configuration before the platform sends anything.

/// Name and body of each sample.
pub const SAMPLES: &[(&str, &str)] = &[
    ("collected", include_str!("../../samples/collected.json")),
    ("failed", include_str!("../../samples/failed.json")),
    (
        "failed-abandoned",
        include_str!("../../samples/failed-abandoned.json"),
    ),
    (
        "failed-no-speech",
        include_str!("../../samples/failed-no-speech.json"),
    ),
    (
        "hostile-text",
        include_str!("../../samples/hostile-text.json"),
    ),
    ("long-text", include_str!("../../samples/long-text.json")),
    (
        "other-archived",
        include_str!("../../samples/other-archived.json"),
    ),
    (
        "other-ongoing",
        include_str!("../../samples/other-ongoing.json"),
    ),
    (
        "other-unknown-status",
        include_str!("../../samples/other-unknown-status.json"),
    ),
    ("submitted", include_str!("../../samples/submitted.json")),
    (
        "submitted-rich",
        include_str!("../../samples/submitted-rich.json"),
    ),
    (
        "submitted-rich-rejected",
        include_str!("../../samples/submitted-rich-rejected.json"),
    ),
    (
        "submitted-rich-rescored",
        include_str!("../../samples/submitted-rich-rescored.json"),
    ),
    (
        "submitted-rich-selected",
        include_str!("../../samples/submitted-rich-selected.json"),
    ),
    (
        "submitted-stopped-early",
        include_str!("../../samples/submitted-stopped-early.json"),
    ),
];

/// The body of a sample.
pub fn sample(name: &str) -> Option<&'static str> {
    SAMPLES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, body)| *body)
}
