//! klog's text format: `Lmmdd hh:mm:ss.uuuuuu  pid file:line] "message" key="value"`.

use std::fmt::Write;

use chrono::{DateTime, Local};
use tracing::Level;

use super::fields::Value;
use super::layer::Line;

/// Formats a line, with its newline.
pub(super) fn line(line: &Line) -> String {
    let severity = match line.level {
        Level::ERROR => 'E',
        Level::WARN => 'W',
        _ => 'I',
    };
    let time = DateTime::<Local>::from(line.time).format("%m%d %H:%M:%S%.6f");
    let process = std::process::id();
    let mut out =
        format!("{severity}{time} {process:>7} {}:{}] {}", line.file, line.line, quote(&line.message));
    for (name, value) in &line.fields.0 {
        let _ = write!(out, " {name}={}", text(value)); // writing to a String does not fail
    }
    out.push('\n');
    out
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => quote(text),
        Value::Signed(number) => number.to_string(),
        Value::Unsigned(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
    }
}

/// Quotes a text, and escapes every character that could forge or break a line, as Go's `%q` does.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
