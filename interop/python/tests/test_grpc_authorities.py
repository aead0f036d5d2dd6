"""grpcio (gRPC's C core) reaches both APIs, whatever it sends as `:authority`."""

import dataclasses
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import h2.config
import h2.connection
import h2.events
import pytest

from go_plugin import KeyVersion
from harness.client import CALL_S, KmsClient
from harness.daemon import Daemon
from harness.emulator import Emulator
from harness.stubs import Stubs

COMPONENTS = {
    "grpcio": "KMS v1 and v2 with its own authority, `localhost`, raw and percent-encoded paths, `@name`"
}

# What kube-apiserver's releases and gRPC's libraries send; None is what grpcio sends by itself.
AUTHORITIES = [
    None,
    "localhost",
    "/opt/azurekms.socket",
    "%2Fopt%2Fazurekms.socket",
    "opt%2Fazurekms.socket",
    "@azurekms",
]
every_authority = pytest.mark.parametrize("authority", AUTHORITIES)


@pytest.fixture
def client(daemon: Daemon, stubs: Stubs, authority: str | None) -> Iterator[KmsClient]:
    """A client with that authority."""
    with KmsClient(stubs, daemon.target, authority) as client:
        yield client


@every_authority
def test_v1_answers_version_encrypt_and_decrypt(client: KmsClient) -> None:
    version = client.version()
    assert version.version == "v1beta1"
    assert version.runtime_name
    assert version.runtime_version.count(".") == 2
    plain = secrets.token_bytes(32)
    cipher = client.encrypt_v1(plain)
    assert cipher != plain
    assert client.decrypt_v1(cipher) == plain


@every_authority
def test_v2_answers_status_encrypt_and_decrypt(client: KmsClient, first_key: KeyVersion) -> None:
    status = client.status()
    assert (status.version, status.healthz, status.key_id) == ("v2beta1", "ok", first_key.key_id)
    plaintext = secrets.token_bytes(32)
    sealed = client.encrypt_v2(plaintext)
    assert sealed.key_id == status.key_id
    assert client.decrypt_v2(sealed) == plaintext


@every_authority
def test_calls_at_the_same_time_on_one_connection_get_their_own_answers(client: KmsClient) -> None:
    plaintexts = [secrets.token_bytes(32) for _ in range(40)]
    calls = [
        client.v2.Encrypt.future(client.v2_encrypt_request(plaintext), timeout=CALL_S, wait_for_ready=True)
        for plaintext in plaintexts
    ]
    ciphertexts = [call.result().ciphertext for call in calls]
    assert len(set(ciphertexts)) == len(plaintexts)
    example = client.encrypt_v2(b"for key_id and annotations")
    for plaintext, ciphertext in zip(plaintexts, ciphertexts, strict=True):
        sealed = dataclasses.replace(example, ciphertext=ciphertext)
        assert client.decrypt_v2(sealed) == plaintext


@every_authority
def test_headers_of_all_sizes_are_read_and_too_large_ones_cost_one_call(
    client: KmsClient, stubs: Stubs
) -> None:
    def call(size: int) -> str:
        # random, so that compression neither shrinks it nor remembers it
        metadata = [("x-large", secrets.token_hex(size // 2)), ("x-small-bin", secrets.token_bytes(7))]
        request = stubs.v2.StatusRequest()
        answer = client.v2.Status(request, timeout=CALL_S, wait_for_ready=True, metadata=metadata)
        return str(answer.healthz)

    for size in (0, 100, 1_000, 4_000, 12_000, 100):
        assert call(size) == "ok"
    # more than a frame holds, and more than the server takes
    with pytest.raises(grpc.RpcError):
        call(40_000)
    assert call(100) == "ok"


@every_authority
def test_many_connections_are_served_at_once(daemon: Daemon, stubs: Stubs, authority: str | None) -> None:
    clients = [KmsClient(stubs, daemon.target, authority) for _ in range(30)]
    calls = [
        client.v2.Encrypt.future(client.v2_encrypt_request(b"x"), timeout=CALL_S, wait_for_ready=True)
        for client in clients
    ]
    assert len({call.result().ciphertext for call in calls}) == len(clients)
    for client in clients:
        client.close()


@every_authority
def test_a_method_that_does_not_exist_is_unimplemented(client: KmsClient) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.channel.unary_unary("/v2.KeyManagementService/Rotate")(b"", timeout=CALL_S)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert client.status().healthz == "ok"


def test_an_abstract_socket_is_served(emulator: Emulator, stubs: Stubs, tmp_path: Path) -> None:
    listen = f"/@azurekms-{secrets.token_hex(8)}"
    with Daemon(emulator, tmp_path, listen) as daemon, KmsClient(stubs, daemon.target) as client:
        assert client.decrypt_v1(client.encrypt_v1(b"v1")) == b"v1"
        assert client.decrypt_v2(client.encrypt_v2(b"v2")) == b"v2"


@every_authority
def test_grpcio_really_sends_the_authority_that_it_is_told(
    stubs: Stubs, folder: Path, authority: str | None
) -> None:
    path = folder / f"authority-{secrets.token_hex(4)}.socket"
    with _Listener(path) as listener, KmsClient(stubs, f"unix:{path}", authority) as client:
        with pytest.raises(grpc.RpcError):
            client.v2.Status(stubs.v2.StatusRequest(), timeout=CALL_S)
    own = str(path).lstrip("/").replace("/", "%2F")
    assert listener.authority == (own if authority is None else authority)


class _Listener:
    """Reads the headers of one request with the `h2` package, and hangs up."""

    def __init__(self, path: Path) -> None:
        self.authority = ""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(CALL_S)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "_Listener":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(CALL_S)
        self._socket.close()

    def _serve(self) -> None:
        config = h2.config.H2Configuration(client_side=False, validate_inbound_headers=False)
        protocol = h2.connection.H2Connection(config)
        protocol.initiate_connection()
        stream, _ = self._socket.accept()
        self._socket.close()  # a client that is hung up on must not wait for another answer
        with stream:
            stream.settimeout(CALL_S)
            while not self.authority:
                stream.sendall(protocol.data_to_send())
                for event in protocol.receive_data(stream.recv(65536)):
                    if isinstance(event, h2.events.RequestReceived):
                        self.authority = dict(event.headers)[b":authority"].decode("ascii")
