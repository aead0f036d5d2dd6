"""Traces, received by code of OpenTelemetry and gRPC."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from harness.client import CALL_S, KmsClient
from harness.collector import Collector, attributes
from harness.daemon import Daemon
from harness.emulator import Emulator
from harness.stubs import Stubs

COMPONENTS = {"opentelemetry-proto": "receives the traces of the daemon over OTLP, with gRPC's C library"}

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[Collector]:
    """One for each test."""
    with Collector() as running:
        yield running


@pytest.fixture
def traced(emulator: Emulator, collector: Collector, folder: Path, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that exports there. Stopped, it has exported everything."""
    socket = folder / f"traced-{secrets.token_hex(4)}.socket"
    daemon = Daemon(emulator, tmp_path, str(socket), [f"--tracing-endpoint={collector.endpoint}"])
    yield daemon
    daemon.stop()


def _children(spans: list[Span], parent: Span) -> list[Span]:
    """Without second attempts, which are made when the first is slow."""
    return [
        span
        for span in spans
        if (span.parent_span_id, span.trace_id) == (parent.span_id, parent.trace_id)
        and not attributes(span.attributes).get("hedge")
    ]


def test_each_rpc_is_a_span_with_its_calls_to_key_vault_in_it(
    traced: Daemon, collector: Collector, stubs: Stubs
) -> None:
    """Of both APIs, with uid and x-ms-request-id."""
    with KmsClient(stubs, traced.target) as client:
        assert client.decrypt_v1(client.encrypt_v1(b"a data key")) == b"a data key"
        sealed = client.encrypt_v2(b"a seed")
        assert client.decrypt_v2(sealed) == b"a seed"
    traced.stop()
    spans = collector.spans()
    servers = {span.name: span for span in spans if span.kind == Span.SPAN_KIND_SERVER}
    assert set(servers) == {
        f"{api}.KeyManagementService/{method}" for api in ("v1beta1", "v2") for method in ("Encrypt", "Decrypt")
    }
    for name, span in servers.items():
        uid = attributes(span.attributes)["uid"]
        assert uid == "interop" if name.startswith("v2.") else uid.startswith("v1-")
        [call] = _children(spans, span)
        assert call.kind == Span.SPAN_KIND_CLIENT
        assert span.start_time_unix_nano <= call.start_time_unix_nano
        assert call.end_time_unix_nano <= span.end_time_unix_nano
        assert attributes(call.attributes)["azure.service.request.id"]
    [call] = _children(spans, servers["v2.KeyManagementService/Encrypt"])
    answered = sealed.annotations["x-ms-request-id.azure.akv.io"].decode()
    assert attributes(call.attributes)["azure.service.request.id"] == answered
    assert attributes(collector.resource.attributes)["service.name"] == "azure-kms-provider"


def test_a_caller_s_trace_goes_on(traced: Daemon, collector: Collector, stubs: Stubs) -> None:
    """By the header of W3C, from grpcio."""
    with KmsClient(stubs, traced.target) as client:
        metadata = (("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-01"),)
        request = client.v2_encrypt_request(b"a seed")
        client.v2.Encrypt(request, timeout=CALL_S, wait_for_ready=True, metadata=metadata)
    traced.stop()
    [server] = [span for span in collector.spans() if span.kind == Span.SPAN_KIND_SERVER]
    assert (server.trace_id.hex(), server.parent_span_id.hex()) == (TRACE_ID, SPAN_ID)


def test_a_failed_call_is_an_error(
    traced: Daemon, collector: Collector, stubs: Stubs, emulator: Emulator
) -> None:
    """With the reason that kube-apiserver is told."""
    emulator.set_vault_faults(error_rate=1.0, status=403)
    with KmsClient(stubs, traced.target) as client, pytest.raises(Exception, match="HTTP 403"):
        client.encrypt_v2(b"a seed")
    traced.stop()
    failed = [span for span in collector.spans() if span.status.code == Status.STATUS_CODE_ERROR]
    assert {span.kind for span in failed} == {Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT}
    assert any("HTTP 403" in span.status.message for span in failed)
