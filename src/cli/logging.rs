//! Logs go to standard error: pretty on a terminal, JSON otherwise; dependencies say warnings at most.
//!
//! A thread of its own writes them, many lines at once. Where nobody reads what it writes, lines are dropped and
//! counted: a log must not hold up what is logged.

use std::io::{BufWriter, IsTerminal as _, Stderr, Write};
use std::sync::{Arc, OnceLock};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::config::{LogFormat, LogSettings};

/// Lines that may wait to be written: some megabytes at most.
const LINES: usize = 8_192;

/// Standard error, written when no further line waits.
struct Lines {
    buffer: BufWriter<Stderr>,
    dropped: Arc<OnceLock<ErrorCounter>>,
    told: usize,
}

/// From now on whatever is logged is written, and the rest of it when the answer is dropped.
pub(super) fn start(settings: LogSettings) -> WorkerGuard {
    let dropped = Arc::new(OnceLock::new());
    let lines = Lines {
        buffer: BufWriter::with_capacity(64 << 10, std::io::stderr()),
        dropped: dropped.clone(),
        told: 0,
    };
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(LINES)
        .thread_name("log-writer")
        .finish(lines);
    let _first = dropped.set(writer.error_counter());
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
            .with_writer(writer)
            .with_ansi(ansi)
            .with_target(false)
            .boxed()
    } else {
        fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(writer)
            .with_target(false)
            .boxed()
    };
    let _already_started = tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init();
    guard
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let dropped = self.dropped.get().map_or(0, ErrorCounter::dropped_lines);
        if dropped > self.told {
            let lines = dropped - self.told;
            self.told = dropped;
            tracing::warn!(
                lines,
                "lines of the log were dropped: standard error was not read in time"
            );
        }
        self.buffer.flush()
    }
}
