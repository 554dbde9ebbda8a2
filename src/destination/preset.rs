//! Presets: data files of defaults, compiled in. An operator's keys lie over a preset's.

/// The built-in presets: name and TOML text.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("slack", include_str!("presets/slack.toml")),
    ("slack-bot", include_str!("presets/slack-bot.toml")),
    ("greenhouse", include_str!("presets/greenhouse.toml")),
    ("lever", include_str!("presets/lever.toml")),
    ("ashby", include_str!("presets/ashby.toml")),
    ("workable", include_str!("presets/workable.toml")),
    ("teamtailor", include_str!("presets/teamtailor.toml")),
    (
        "smartrecruiters",
        include_str!("presets/smartrecruiters.toml"),
    ),
    ("recruitee", include_str!("presets/recruitee.toml")),
    ("bamboohr", include_str!("presets/bamboohr.toml")),
];

/// What presets share: a preset with `base = "NAME"` lies over it.
pub const BASES: &[(&str, &str)] = &[
    ("ats", include_str!("presets/ats.toml")),
    ("slack-message", include_str!("presets/slack-message.toml")),
];

/// The text of a built-in preset.
pub fn text(name: &str) -> Option<&'static str> {
    BUILT_IN
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| *text)
}

/// The text of what presets share under `name`.
pub fn base(name: &str) -> Option<&'static str> {
    BASES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| *text)
}
