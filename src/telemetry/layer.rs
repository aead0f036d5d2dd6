//! The layer that turns events into log lines, with the fields of their spans.

use std::path::Path;
use std::time::SystemTime;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::LIFECYCLE;
use super::fields::Fields;

/// A log line before it is formatted.
pub(super) struct Line {
    pub time: SystemTime,
    pub level: Level,
    /// The verbosity of klog at which it is logged.
    pub v: u8,
    pub file: String,
    pub line: u32,
    pub message: String,
    pub fields: Fields,
}

/// The layer that writes each event with one call, so that lines of different threads do not interleave.
pub(super) struct LogLayer<W> {
    format: fn(&Line) -> String,
    write: W,
}

impl<W> LogLayer<W> {
    /// Makes a layer that passes each formatted line to `write`.
    pub(super) fn new(format: fn(&Line) -> String, write: W) -> Self {
        Self { format, write }
    }
}

impl<S, W> Layer<S> for LogLayer<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn(&str) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                of_span.0.iter().for_each(|(name, value)| fields.set(name, || value.clone()));
            }
        }
        (self.write)(&(self.format)(&line(event, fields)));
    }
}

fn line(event: &Event<'_>, mut fields: Fields) -> Line {
    let metadata = event.metadata();
    let level = *metadata.level();
    let v = match level {
        Level::TRACE => 6,
        Level::DEBUG => 4,
        Level::INFO if metadata.target() != LIFECYCLE => 2,
        _ => 0,
    };
    let file = metadata.file().map(Path::new).and_then(Path::file_name);
    let file = file.map_or_else(|| "???".to_owned(), |file| file.to_string_lossy().into_owned());
    let message = fields.take_message();
    Line { time: SystemTime::now(), level, v, file, line: metadata.line().unwrap_or(1), message, fields }
}
