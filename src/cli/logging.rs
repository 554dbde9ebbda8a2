//! Logs go to standard error: pretty on a terminal, JSON otherwise; dependencies say warnings at most.

use std::io::IsTerminal as _;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::config::{LogFormat, LogSettings};

/// From now on whatever is logged is written. A second call changes nothing.
pub(super) fn start(settings: LogSettings) {
    let level = LevelFilter::from_level(settings.level);
    let own = env!("CARGO_CRATE_NAME");
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(own, level);
    let pretty = match settings.format {
        LogFormat::Pretty => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let layer = if pretty {
        let ansi = std::io::stderr().is_terminal() && super::wants_colour();
        fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(ansi)
            .with_target(false)
            .boxed()
    } else {
        fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .with_target(false)
            .boxed()
    };
    let _already_started = tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init();
}
