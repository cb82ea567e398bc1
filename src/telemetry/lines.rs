//! Lines for people: time, priority, event, and a sentence.

use std::{fmt, io::Write, sync::Mutex};

use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::record::Record;
use crate::clock::Clock;

/// Writes each event as one line of text.
pub struct Lines<W> {
    clock: Clock,
    to: Mutex<W>,
}

impl<W: Write> Lines<W> {
    pub const fn new(clock: Clock, to: W) -> Self {
        Self { clock, to: Mutex::new(to) }
    }
}

impl<W> fmt::Debug for Lines<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

impl<S: Subscriber, W: Write + Send + 'static> Layer<S> for Lines<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let record = Record::of(event);
        let (now, priority) = (self.clock.wall(), record.priority.text());
        let name = record.name.map_or(record.target, |name| name.text());
        // A line stays one.
        let sentence = record.sentence().replace('\n', " ");
        let line = format!("{now} {priority:<7} {name:<22} {sentence}\n");
        let mut to = self.to.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Where nobody reads any more there is nobody to tell.
        let _ = to.write_all(line.as_bytes());
    }
}
