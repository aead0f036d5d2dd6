"""Both APIs on a unix socket, with grpcio."""

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc

from go_plugin.formats import V1_VERSION
from go_plugin.plugin import GoPlugin
from harness.client import Sealed
from harness.stubs import Stubs

_STOP_S = 20.0


@contextmanager
def serving(plugin: GoPlugin, stubs: Stubs, target: str) -> Iterator[None]:
    """Serves on that socket until the block ends; then finishes the calls in flight."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    stubs.v1_grpc.add_KeyManagementServiceServicer_to_server(_V1(plugin, stubs), server)
    stubs.v2_grpc.add_KeyManagementServiceServicer_to_server(_V2(plugin, stubs), server)
    server.add_insecure_port(target)
    server.start()
    try:
        yield
    finally:
        assert server.stop(_STOP_S).wait(_STOP_S), "the server does not stop"


class _V1:
    """v1beta1.KeyManagementService."""

    def __init__(self, plugin: GoPlugin, stubs: Stubs) -> None:
        self._plugin = plugin
        self._messages = stubs.v1

    def Version(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802 - a name of the API
        return self._messages.VersionResponse(
            version=V1_VERSION, runtime_name="go-plugin-in-python", runtime_version="0.11.0"
        )

    def Encrypt(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        cipher = _or_abort(context, lambda: self._plugin.encrypt_v1(request.plain))
        return self._messages.EncryptResponse(cipher=cipher)

    def Decrypt(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        plain = _or_abort(context, lambda: self._plugin.decrypt_v1(request.cipher))
        return self._messages.DecryptResponse(plain=plain)


class _V2:
    """v2.KeyManagementService."""

    def __init__(self, plugin: GoPlugin, stubs: Stubs) -> None:
        self._plugin = plugin
        self._messages = stubs.v2

    def Status(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        status = self._plugin.status()
        return self._messages.StatusResponse(
            version=status.version, healthz=status.healthz, key_id=status.key_id
        )

    def Encrypt(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        sealed = _or_abort(context, lambda: self._plugin.encrypt_v2(request.plaintext))
        return self._messages.EncryptResponse(
            ciphertext=sealed.ciphertext, key_id=sealed.key_id, annotations=sealed.annotations
        )

    def Decrypt(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        sealed = Sealed(request.ciphertext, request.key_id, dict(request.annotations))
        plaintext = _or_abort(context, lambda: self._plugin.decrypt_v2(sealed))
        return self._messages.DecryptResponse(plaintext=plaintext)


def _or_abort(context: grpc.ServicerContext, work: Callable[[], Any]) -> Any:
    """Go's plain errors are UNKNOWN to gRPC."""
    try:
        return work()
    except Exception as error:  # whatever it is, the client is told
        context.abort(grpc.StatusCode.UNKNOWN, str(error))
