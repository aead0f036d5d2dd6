//! The format of log lines, and the filter.

use std::sync::{Arc, Mutex};

use super::*;

fn logged(is_json: bool, verbosity: u8, events: impl FnOnce()) -> String {
    let text = Arc::new(Mutex::new(String::new()));
    let sink = text.clone();
    let write = move |line: &str| sink.lock().unwrap().push_str(line);
    tracing::subscriber::with_default(subscriber(LogConfig { is_json, verbosity }, None, write), events);
    let text = text.lock().unwrap();
    text.clone()
}

#[test]
fn klog_lines_have_severity_time_process_place_message_and_pairs() {
    let line = logged(false, 2, || tracing::info!(addr = "/opt/x", n = 3, "Listening"));
    let (header, rest) = line.split_once("] ").unwrap();
    assert!(header.starts_with('I') && header.contains(" tests.rs:"), "{header}");
    assert_eq!(header.split(' ').next().unwrap().len(), 5);
    let process = format!("{:>7}", std::process::id());
    assert_eq!(&header[22..30], format!("{process} "), "{header}");
    assert_eq!(rest, "\"Listening\" addr=\"/opt/x\" n=3\n");
}

#[test]
fn nothing_a_client_sends_can_forge_a_line() {
    let line = logged(false, 2, || tracing::info!(uid = "x\"\nE1124 forged\u{1b}", "Request"));
    assert_eq!(line.lines().count(), 1);
    assert!(line.contains(r#"uid="x\"\nE1124 forged\u001b""#), "{line}");
}

#[test]
fn json_lines_have_kubernetes_fields_and_errors_have_no_v() {
    let text = logged(true, 2, || {
        tracing::info!(n = 3, "Listening");
        tracing::error!(err = "down", "Failed");
    });
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines[0]["ts"].as_f64().unwrap() > 1.7e12);
    assert!(lines[0]["caller"].as_str().unwrap().starts_with("tests.rs:"));
    assert_eq!(
        (&lines[0]["msg"], &lines[0]["v"], &lines[0]["n"]),
        (&"Listening".into(), &2.into(), &3.into())
    );
    assert_eq!((&lines[1]["err"], &lines[1]["v"]), (&"down".into(), &serde_json::Value::Null));
}

#[test]
fn every_line_in_a_request_carries_its_uid_and_operation_at_every_verbosity() {
    let line = logged(false, 0, || {
        let span = tracing::error_span!("kms", operation = "encrypt", uid = "u1");
        span.in_scope(|| tracing::error!("Request failed"));
    });
    assert!(line.ends_with("\"Request failed\" operation=\"encrypt\" uid=\"u1\"\n"), "{line}");
}

#[test]
fn verbosity_has_the_levels_of_the_go_plugin() {
    let lines = |verbosity| {
        let text = logged(false, verbosity, || {
            tracing::error!("1");
            tracing::warn!("1");
            tracing::info!("2");
            tracing::debug!("3");
            tracing::trace!("4");
            tracing::info!(target: LIFECYCLE, "1");
        });
        text.lines().count()
    };
    assert_eq!([0, 1, 2, 3, 4, 5, 6, 10].map(lines), [3, 3, 4, 4, 5, 5, 6, 6]);
}

#[test]
fn the_sdk_s_own_lines_are_never_shown_and_other_libraries_only_warn() {
    let text = logged(false, 10, || {
        tracing::error!(target: "azure_core::policies", "body with secrets");
        tracing::warn!(target: "typespec_client_core", "body with secrets");
        tracing::info!(target: "h2", "noise");
        tracing::warn!(target: "h2", "kept");
    });
    assert!(text.contains("kept") && text.lines().count() == 1, "{text}");
}
