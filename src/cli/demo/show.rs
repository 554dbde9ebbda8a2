//! What the demo prints: events and attempts as they happen, and a table of how each delivery ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::bail;
use jiff::Timestamp;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::cli::{colourful, say};
use crate::clock::Clock;
use crate::model::{DeliveryId, EventId, Name, State, after};
use crate::telemetry::{Attempted, Happening, Received};

/// Prints the feed and remembers what it said.
pub(super) struct Show {
    clock: Arc<dyn Clock>,
    started: Timestamp,
    colour: bool,
    pub(super) seen: Seen,
}

/// What has happened so far.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) events: usize,
    revisions: BTreeMap<EventId, (String, u32)>,
    deliveries: BTreeMap<DeliveryId, Told>,
}

/// One delivery as last told.
struct Told {
    destination: Name,
    state: State,
    attempts: usize,
    took: Option<std::time::Duration>,
}

impl Show {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            started: clock.now(),
            colour: colourful(),
            clock,
            seen: Seen::default(),
        }
    }

    pub(super) fn title(&self, text: &str) {
        say(format_args!("\n{}", self.paint("1", text)));
    }

    /// Prints what happens until `enough`.
    pub(super) async fn until(
        &mut self,
        feed: &mut Receiver<Happening>,
        deadline: Timestamp,
        enough: impl Fn(&Seen) -> bool,
    ) -> anyhow::Result<()> {
        while !enough(&self.seen) {
            let happening = tokio::select! {
                happening = feed.recv() => happening,
                () = self.clock.sleep_until(deadline) => bail!("not everything was delivered in time"),
            };
            match happening {
                Ok(Happening::Event(received)) => self.event(&received),
                Ok(Happening::Attempt(attempted)) => self.attempt(&attempted),
                Ok(Happening::Delivery {
                    delivery,
                    destination,
                    state,
                }) => self.ended(delivery, &destination, state),
                Ok(Happening::Lane {
                    destination,
                    state,
                    reason,
                    ..
                }) => {
                    say(format_args!(
                        "{:>7}  lane     {destination} is {state} {reason}",
                        self.time()
                    ));
                }
                Ok(Happening::Source { .. }) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => bail!("the relay ended"),
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &Received) {
        let news = match (event.duplicate, event.changed.as_slice()) {
            (true, _) => format!(
                "the same as revision {}: nothing to deliver",
                event.revision
            ),
            (false, []) => format!("revision {}", event.revision),
            (false, changed) => format!(
                "revision {}, changed: {}",
                event.revision,
                changed.join(", ")
            ),
        };
        say(format_args!(
            "{:>7}  event    {:<20} {news}",
            self.time(),
            event.event_type
        ));
        self.seen.events += 1;
        self.seen
            .revisions
            .insert(event.event, (event.event_type.to_string(), event.revision));
    }

    fn attempt(&mut self, attempt: &Attempted) {
        let status = attempt
            .status
            .map_or("no answer".to_owned(), |status| status.to_string());
        let (colour, what) = match attempt.state {
            State::Delivered => ("32", "delivered".to_owned()),
            State::Waiting => ("33", format!("waits: {}", attempt.reason)),
            state => ("31", format!("{state}: {}", attempt.reason)),
        };
        let revision = self
            .seen
            .revisions
            .get(&attempt.event)
            .map_or(0, |(_, revision)| *revision);
        say(format_args!(
            "{:>7}  attempt  {:<8} revision {revision}  {status:>3}  {:>4} ms  {}",
            self.time(),
            attempt.destination,
            attempt.duration_ms,
            self.paint(colour, &what)
        ));
        let told = self.seen.told(attempt.delivery, &attempt.destination);
        told.state = attempt.state;
        told.attempts += 1;
        told.took = attempt.end_to_end.or(told.took);
    }

    fn ended(&mut self, delivery: DeliveryId, destination: &Name, state: State) {
        let revision = self
            .seen
            .revisions
            .get(&delivery.event)
            .map_or(0, |(_, revision)| *revision);
        say(format_args!(
            "{:>7}  delivery {destination:<8} revision {revision}  {}",
            self.time(),
            self.paint("36", state.as_str())
        ));
        self.seen.told(delivery, destination).state = state;
    }

    /// Prints the table; true if every delivery ended as expected.
    pub(super) fn summary(&self, expected: &[(&str, &[State])]) -> bool {
        say(format_args!(
            "\n{:<8} {:<22} {:<12} {:>8} {:>9}",
            "to", "event", "state", "attempts", "took"
        ));
        let mut right = true;
        for (destination, states) in expected {
            let mine = || {
                self.seen
                    .deliveries
                    .iter()
                    .filter(|(_, told)| *told.destination == **destination)
            };
            for (id, told) in mine() {
                let (kind, revision) = self
                    .seen
                    .revisions
                    .get(&id.event)
                    .cloned()
                    .unwrap_or_default();
                let took = told
                    .took
                    .map_or(String::new(), |took| format!("{} ms", took.as_millis()));
                let event = format!("{} {revision}", kind.trim_start_matches("interview."));
                say(format_args!(
                    "{destination:<8} {event:<22} {:<12} {:>8} {took:>9}",
                    told.state, told.attempts
                ));
            }
            let ended: Vec<State> = mine().map(|(_, told)| told.state).collect();
            right &= ended == *states;
        }
        say(if right {
            self.paint("32", "\nEvery delivery ended as it should.")
        } else {
            self.paint("31", "\nNot every delivery ended as it should.")
        });
        right
    }

    fn time(&self) -> String {
        format!(
            "{:.2} s",
            after(self.started, self.clock.now()).as_secs_f64()
        )
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

impl Seen {
    pub(super) fn attempts_at(&self, destination: &str) -> usize {
        self.at(destination).map(|told| told.attempts).sum()
    }

    pub(super) fn ended(&self, destination: &str, state: State) -> usize {
        self.at(destination)
            .filter(|told| told.state == state)
            .count()
    }

    /// Deliveries heard of.
    pub(super) fn known(&self) -> usize {
        self.deliveries.len()
    }

    /// Deliveries that are not final.
    pub(super) fn open(&self) -> usize {
        self.deliveries
            .values()
            .filter(|told| !told.state.is_final())
            .count()
    }

    fn at(&self, destination: &str) -> impl Iterator<Item = &Told> {
        self.deliveries
            .values()
            .filter(move |told| *told.destination == *destination)
    }

    fn told(&mut self, delivery: DeliveryId, destination: &Name) -> &mut Told {
        let fresh = || Told {
            destination: destination.clone(),
            state: State::Waiting,
            attempts: 0,
            took: None,
        };
        self.deliveries.entry(delivery).or_insert_with(fresh)
    }
}
