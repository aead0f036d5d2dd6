//! Kubernetes' JSON log format: `ts` in milliseconds, `caller`, `msg`, `v`, then the fields.

use std::time::UNIX_EPOCH;

use serde_json::{Map, Value as Json};
use tracing::Level;

use super::fields::Value;
use super::layer::Line;

/// Formats a line, with its newline. Errors have no `v`, as in Kubernetes.
pub(super) fn line(line: &Line) -> String {
    let since = line.time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut object = Map::new();
    let mut set = |name: &str, value: Json| object.insert(name.to_owned(), value);
    set("ts", Json::from(since.as_micros() as f64 / 1000.0));
    set("caller", Json::from(format!("{}:{}", line.file, line.line)));
    set("msg", Json::from(line.message.as_str()));
    if line.level != Level::ERROR {
        set("v", Json::from(line.v));
    }
    for (name, value) in &line.fields.0 {
        set(name, json(value));
    }
    format!("{}\n", Json::Object(object))
}

fn json(value: &Value) -> Json {
    match value {
        Value::Text(text) => Json::from(text.as_str()),
        Value::Signed(number) => Json::from(*number),
        Value::Unsigned(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::Bool(value) => Json::from(*value),
    }
}
