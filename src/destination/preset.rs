//! Presets: data files of defaults, compiled in. An operator's keys lie over a preset's.

/// The built-in presets: name and TOML text.
pub const BUILT_IN: &[(&str, &str)] = &[("slack", include_str!("presets/slack.toml"))];

/// The text of a built-in preset.
pub fn text(name: &str) -> Option<&'static str> {
    BUILT_IN
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| *text)
}
