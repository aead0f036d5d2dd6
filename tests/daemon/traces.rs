//! `--tracing-endpoint`: what a collector gets.

use akv_emulator::{FaultSet, Faults};
use azure_kms_provider::proto::v2;
use kms_testkit::{Collector, attribute};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

use crate::canaries;
use crate::harness::{Client, Daemon, Start, Vault, annotation, run};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN_ID: &str = "b7ad6b7169203331";

fn to(collector: &Collector, start: Start) -> Start {
    start.arg(format!("--tracing-endpoint={}", collector.endpoint))
}

/// Ends the daemon, which exports what is left.
async fn end(mut daemon: Daemon) {
    daemon.terminate();
    assert_eq!(daemon.exit().await.code(), Some(0));
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// Returns whether it is a second attempt beside a slow one, as there can be for any call on a busy machine.
fn is_second(span: &Span) -> bool {
    attribute(span, "hedge") == "true"
}

/// Without second attempts.
fn children<'a>(spans: &'a [Span], parent: &Span) -> Vec<&'a Span> {
    let mut children: Vec<_> = spans
        .iter()
        .filter(|span| !is_second(span))
        .filter(|span| span.parent_span_id == parent.span_id && span.trace_id == parent.trace_id)
        .collect();
    children.sort_by_key(|span| span.start_time_unix_nano);
    children
}

fn status(span: &Span) -> (StatusCode, String) {
    span.status
        .as_ref()
        .map_or((StatusCode::Unset, String::new()), |status| (status.code(), status.message.clone()))
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Calls v2 Encrypt with that traceparent.
///
/// # Errors
/// The call fails: its gRPC status.
async fn encrypt_in(client: &Client, sampled: &str) -> Result<Response<v2::EncryptResponse>, Status> {
    let mut request = Request::new(v2::EncryptRequest { plaintext: b"x".to_vec(), uid: "traced".into() });
    let parent = format!("00-{TRACE_ID}-{SPAN_ID}-{sampled}");
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    client.v2.clone().encrypt(request).await
}

#[tokio::test]
async fn each_rpc_is_a_span_with_its_uid_and_each_call_to_key_vault_one_in_it_with_its_request_id() {
    let (vault, collector) = (Vault::start().await, Collector::start().await);
    let daemon = to(&collector, vault.daemon()).healthy().await;
    let mut client = daemon.client();
    client.version().await.unwrap();
    client.status().await.unwrap();
    let cipher = client.encrypt_v1(b"a data key").await.unwrap();
    client.decrypt_v1(&cipher).await.unwrap();
    let encrypted = client.encrypt_v2(b"a seed").await.unwrap();
    client.decrypt_v2(encrypted.clone()).await.unwrap();
    end(daemon).await;
    let spans = collector.spans();
    for (api, uid, method, calls) in [
        ("v1", "v1-", "v1beta1.KeyManagementService/Version", 0),
        ("v2", "v2-", "v2.KeyManagementService/Status", 0),
        ("v1", "v1-", "v1beta1.KeyManagementService/Encrypt", 1),
        ("v1", "v1-", "v1beta1.KeyManagementService/Decrypt", 1),
        ("v2", "test", "v2.KeyManagementService/Encrypt", 1),
        ("v2", "test", "v2.KeyManagementService/Decrypt", 1),
    ] {
        let [rpc] = named(&spans, method)[..] else { panic!("{method}: {spans:#?}") };
        assert_eq!((rpc.kind(), rpc.parent_span_id.len()), (SpanKind::Server, 0), "{rpc:?}");
        assert!(attribute(rpc, "uid").starts_with(uid) && attribute(rpc, "api") == api, "{rpc:?}");
        assert_eq!(attribute(rpc, "rpc.response.status_code"), "OK");
        let children = children(&spans, rpc);
        assert_eq!(children.len(), calls, "{method}: {spans:#?}");
        for call in children {
            assert_eq!((call.kind(), attribute(call, "attempt").as_str()), (SpanKind::Client, "1"));
            assert_eq!(attribute(call, "http.response.status_code"), "200");
            assert_eq!(attribute(call, "azure.service.request.id").len(), 36, "{call:?}");
        }
    }
    let expected = spans.iter().filter(|span| !is_second(span)).count();
    assert_eq!(expected, 10, "the probes of the daemon itself are not there: {spans:#?}");
    let encrypt = children(&spans, named(&spans, "v2.KeyManagementService/Encrypt")[0])[0];
    let answered = annotation(&encrypted.annotations, "x-ms-request-id.azure.akv.io");
    assert_eq!(attribute(encrypt, "azure.service.request.id"), answered);
    assert!(collector.resource().contains(&("service.name".into(), "azure-kms-provider".into())));
}

#[tokio::test]
async fn a_refused_call_and_each_retry_say_what_key_vault_answered() {
    let (vault, collector) = (Vault::start().await, Collector::start().await);
    let daemon = to(&collector, vault.daemon()).healthy().await;
    for status in [403, 503] {
        let failing = FaultSet { error_rate: 1.0, status: Some(status), ..FaultSet::default() };
        vault.emulator.set_faults(Faults { vault: failing, ..Faults::default() });
        daemon.client().encrypt_v2(b"x").await.unwrap_err();
    }
    end(daemon).await;
    let spans = collector.spans();
    let rpcs = named(&spans, "v2.KeyManagementService/Encrypt");
    let failed =
        |code: &str| *rpcs.iter().find(|rpc| attribute(rpc, "rpc.response.status_code") == code).unwrap();
    let (refused, down) = (failed("PERMISSION_DENIED"), failed("UNAVAILABLE"));
    assert_eq!(status(refused).0, StatusCode::Error);
    assert!(status(refused).1.contains("HTTP 403"), "{refused:?}");
    let [call] = children(&spans, refused)[..] else { panic!("{spans:#?}") };
    assert_eq!(attribute(call, "http.response.status_code"), "403");
    assert_eq!((attribute(call, "error.type"), status(call).0), ("forbidden".into(), StatusCode::Error));
    assert_eq!(attribute(call, "azure.service.request.id").len(), 36);
    let calls = children(&spans, down);
    assert!(calls.len() > 1, "{spans:#?}");
    for (number, call) in calls.iter().enumerate() {
        assert_eq!(attribute(call, "attempt"), (number + 1).to_string());
        assert_eq!(attribute(call, "error.type"), "server_error");
    }
}

#[tokio::test]
async fn the_caller_decides_whether_its_request_is_traced_and_the_rate_decides_for_the_others() {
    let (vault, collector) = (Vault::start().await, Collector::start().await);
    let daemon = to(&collector, vault.daemon()).arg("--tracing-sampling-rate-per-million=0").healthy().await;
    let mut client = daemon.client();
    client.encrypt_v2(b"x").await.unwrap();
    encrypt_in(&client, "00").await.unwrap();
    encrypt_in(&client, "01").await.unwrap();
    end(daemon).await;
    let spans = collector.spans();
    let [rpc] = named(&spans, "v2.KeyManagementService/Encrypt")[..] else { panic!("{spans:#?}") };
    assert_eq!((hex(&rpc.trace_id), hex(&rpc.parent_span_id)), (TRACE_ID.into(), SPAN_ID.into()));
    assert_eq!((attribute(rpc, "uid"), children(&spans, rpc).len()), ("traced".into(), 1));
    assert!(spans.iter().all(|span| span.trace_id == rpc.trace_id), "{spans:#?}");
}

#[tokio::test]
async fn without_the_flag_nothing_is_exported_whatever_the_environment_says() {
    let (vault, collector) = (Vault::start().await, Collector::start().await);
    let start = vault.daemon().env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint);
    let daemon = start.env("OTEL_TRACES_EXPORTER", "otlp").healthy().await;
    encrypt_in(&daemon.client(), "01").await.unwrap();
    end(daemon).await;
    assert!(collector.spans().is_empty());
}

#[tokio::test]
async fn no_secret_identity_or_url_is_exported() {
    let (vault, collector) = (Vault::start().await, Collector::start().await);
    let info = vault.emulator.info().clone();
    let daemon = to(&collector, vault.daemon()).arg("-v=10").healthy().await;
    canaries::use_everywhere(&vault, &mut daemon.client()).await;
    end(daemon).await;
    let exported = collector.bytes();
    assert!(exported.contains("UNAUTHENTICATED"), "{exported}");
    let names = [&info.client_id, &info.tenant_id, &info.vault_host, "https://", &info.key_versions[0]];
    for hidden in canaries::secrets(&info).into_iter().chain(names.map(|name: &str| name.to_owned())) {
        assert!(!exported.contains(&hidden), "{hidden} is in {exported}");
    }
}

#[tokio::test]
async fn without_a_collector_requests_are_served_and_one_warning_is_logged() {
    let vault = Vault::start().await;
    let dead = "--tracing-endpoint=http://127.0.0.1:1"; // nobody listens there
    let mut daemon = vault.daemon().arg(dead).healthy().await;
    for _ in 0..2 {
        let dropped = daemon.metric("azure_kms_trace_spans_dropped_total").await;
        daemon.client().round_trips().await.unwrap();
        daemon.until_metric("azure_kms_trace_spans_dropped_total", |now| now >= dropped + 8).await;
    }
    daemon.terminate();
    assert_eq!(daemon.exit().await.code(), Some(0));
    let log = daemon.log();
    assert_eq!(log.matches("Traces cannot be exported").count(), 1, "{log}");
    assert!(!log.contains("opentelemetry") && !log.contains("otel."), "{log}");
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_hold_up_the_end() {
    let vault = Vault::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap(); // takes connections, and says nothing
    let endpoint = format!("--tracing-endpoint=http://{}", silent.local_addr().unwrap());
    let mut daemon = vault.daemon().arg(endpoint).healthy().await;
    daemon.client().round_trips().await.unwrap();
    daemon.terminate();
    assert_eq!(daemon.exit().await.code(), Some(0));
    assert!(daemon.log().contains("The last traces were not exported in time"), "{}", daemon.log());
}

#[test]
fn an_endpoint_with_tls_or_a_rate_beyond_a_million_is_refused_at_the_start() {
    let (code, _, log) =
        run(&["--tracing-endpoint=https://otel.example:4317", "--tracing-sampling-rate-per-million=1000001"]);
    assert_eq!(code, 1);
    assert!(log.contains("--tracing-endpoint: TLS is not supported"), "{log}");
    assert!(log.contains("--tracing-sampling-rate-per-million: "), "{log}");
}
