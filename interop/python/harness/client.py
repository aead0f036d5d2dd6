"""Both KMS APIs through grpcio, as kube-apiserver calls them."""

import dataclasses
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import grpc

from harness.stubs import Stubs

# A call that hangs fails; kube-apiserver itself waits 3 s.
CALL_S = 20.0


@dataclasses.dataclass(frozen=True)
class Sealed:
    """What KMS v2 stores."""

    ciphertext: bytes
    key_id: str
    annotations: Mapping[str, bytes]


@dataclasses.dataclass(frozen=True)
class PluginStatus:
    """What Status answers."""

    version: str
    healthz: str
    key_id: str


class KmsClient:
    """A channel to one socket. Waits for a server that is not there yet, as kube-apiserver does."""

    def __init__(self, stubs: Stubs, target: str, authority: str | None = None) -> None:
        self._stubs = stubs
        # quick reconnects, and no connection shared with a client of another authority
        options: list[tuple[str, Any]] = [
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 500),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if authority is not None:
            options.append(("grpc.default_authority", authority))
        self.channel = grpc.insecure_channel(target, options=options)
        self.v1 = stubs.v1_grpc.KeyManagementServiceStub(self.channel)
        self.v2 = stubs.v2_grpc.KeyManagementServiceStub(self.channel)

    def version(self) -> Any:
        """v1 Version."""
        return _call(self.v1.Version, self._stubs.v1.VersionRequest(version="v1beta1"))

    def encrypt_v1(self, plain: bytes) -> bytes:
        """v1 Encrypt."""
        request = self._stubs.v1.EncryptRequest(version="v1beta1", plain=plain)
        return _call(self.v1.Encrypt, request).cipher

    def decrypt_v1(self, cipher: bytes) -> bytes:
        """v1 Decrypt."""
        request = self._stubs.v1.DecryptRequest(version="v1beta1", cipher=cipher)
        return _call(self.v1.Decrypt, request).plain

    def status(self) -> PluginStatus:
        """v2 Status."""
        answer = _call(self.v2.Status, self._stubs.v2.StatusRequest())
        return PluginStatus(answer.version, answer.healthz, answer.key_id)

    def encrypt_v2(self, plaintext: bytes) -> Sealed:
        """v2 Encrypt."""
        answer = _call(self.v2.Encrypt, self.v2_encrypt_request(plaintext))
        return Sealed(answer.ciphertext, answer.key_id, dict(answer.annotations))

    def decrypt_v2(self, sealed: Sealed) -> bytes:
        """v2 Decrypt."""
        request = self._stubs.v2.DecryptRequest(
            ciphertext=sealed.ciphertext, uid="interop", key_id=sealed.key_id, annotations=sealed.annotations
        )
        return _call(self.v2.Decrypt, request).plaintext

    def v2_encrypt_request(self, plaintext: bytes) -> Any:
        """The message that v2 Encrypt sends."""
        return self._stubs.v2.EncryptRequest(plaintext=plaintext, uid="interop")

    def close(self) -> None:
        """Closes the channel."""
        self.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _call(method: Any, request: Any) -> Any:
    return method(request, timeout=CALL_S, wait_for_ready=True)
