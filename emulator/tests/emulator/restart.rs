//! The state that outlasts a run, and files that must not be overwritten.

use akv_emulator::{Emulator, KeyPatch, Options};
use serde_json::json;

use crate::harness::Azure;

#[tokio::test]
async fn keys_identities_and_the_ca_outlast_a_restart() {
    let azure = Azure::start().await;
    let encrypted = azure.perform("encrypt", "AAEC").await.ok()["value"].as_str().unwrap().to_owned();
    let version = azure.info().key_versions[0].clone();
    azure.emulator.update_key("k8s", &version, KeyPatch { exp: Some(5), ..KeyPatch::default() }).unwrap();
    let (before, info) = (azure.get("/keys/k8s").await.ok(), azure.info().clone());
    let ca = std::fs::read(&info.ca_file).unwrap();
    let azure = azure.restart().await;
    assert_eq!(azure.get("/keys/k8s").await.ok(), before);
    assert_eq!(azure.perform("decrypt", &encrypted).await.ok()["value"], json!("AAEC"));
    assert_eq!(azure.info().client_secret, info.client_secret);
    assert_eq!(azure.info().tenant_id, info.tenant_id);
    assert_eq!(std::fs::read(&azure.info().ca_file).unwrap(), ca);
}

#[tokio::test]
async fn versions_made_within_a_second_keep_their_order() {
    let azure = Azure::start().await;
    let mut made = azure.info().key_versions.clone();
    for _ in 0..5 {
        made.push(azure.emulator.rotate("k8s").unwrap());
    }
    let azure = azure.restart().await;
    assert_eq!(azure.info().key_versions, made);
    let kid = azure.get("/keys/k8s").await.ok()["key"]["kid"].as_str().unwrap().to_owned();
    assert!(kid.ends_with(&made[5]));
}

#[tokio::test]
async fn state_that_was_written_before_there_were_recovery_levels_is_read() {
    let azure = Azure::start().await;
    let file = azure.dir.path().join("state.json");
    let state = std::fs::read_to_string(&file).unwrap();
    let older = state.replace(",\"recovery_level\":\"Recoverable+Purgeable\"", "");
    assert_ne!(older, state);
    std::fs::write(&file, older).unwrap();
    let azure = azure.restart().await;
    let attributes = azure.get("/keys/k8s").await.ok()["attributes"].take();
    assert_eq!(attributes["recoveryLevel"], json!("Recoverable+Purgeable"));
}

/// Returns the error with which it does not start in that folder.
async fn start_error(dir: &std::path::Path) -> String {
    Emulator::start(Options::new(dir)).await.err().expect("it starts").to_string()
}

#[tokio::test]
async fn state_that_cannot_be_read_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state.json");
    std::fs::create_dir(&file).unwrap(); // reading a folder fails, for root too
    let named = file.canonicalize().unwrap().display().to_string();
    assert!(start_error(dir.path()).await.starts_with(&named));
    assert!(file.is_dir());
}

#[tokio::test]
async fn state_of_something_else_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state.json");
    std::fs::write(&file, "{}").unwrap();
    assert!(start_error(dir.path()).await.contains("state.json: not the state of an emulator"));
    assert_eq!(std::fs::read(&file).unwrap(), b"{}");
}
