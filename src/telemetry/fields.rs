//! The fields of one event or span, in order.

use std::fmt;

use tracing::field::{Field, Visit};

/// The value of a field, with the types that the formats distinguish.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
}

/// The fields by name. Names with a dot are OpenTelemetry's, for traces, and are left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(pub Vec<(&'static str, Value)>);

impl Fields {
    /// Sets a field, or replaces its value.
    pub(super) fn set(&mut self, name: &'static str, value: impl FnOnce() -> Value) {
        if name.contains('.') {
            return;
        }
        let value = value();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    /// Removes and returns the event's message.
    pub(super) fn take_message(&mut self) -> String {
        let Some(index) = self.0.iter().position(|(name, _)| *name == "message") else {
            return String::new();
        };
        match self.0.remove(index).1 {
            Value::Text(text) => text,
            other => format!("{other:?}"),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), || Value::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), || Value::Text(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), || Value::Signed(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), || Value::Unsigned(value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.set(field.name(), || {
            u64::try_from(value).map_or(Value::Text(value.to_string()), Value::Unsigned)
        });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), || Value::Float(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), || Value::Bool(value));
    }
}
