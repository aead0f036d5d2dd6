"""The outer forms: the sealed data key beside the sealed object, under the provider's prefix."""

import dataclasses
import enum
import secrets
import struct
from typing import Any, Protocol

from google.protobuf.message import DecodeError

from harness.client import PluginStatus, Sealed
from kube_apiserver import encrypted_object
from kube_apiserver.inner import CBC, GCM, KEY_SIZE, SEED, Inner, Refused

# The provider's name in the files of manifests/.
PROVIDER = "azurekmsprovider"
_LENGTH = struct.Struct(">H")
# The source types of EncryptedObject.
_KEY, _SEED = 0, 1
_INNER_OF_SOURCE = {_KEY: GCM, _SEED: SEED}


class Kind(enum.StrEnum):
    """The forms that kube-apiserver reads, and which releases wrote them."""

    V1_CBC = "v1-cbc"  # KMS v1 until 1.24
    V1_GCM = "v1-gcm"  # KMS v1 since 1.25
    V2_KEY = "v2-key"  # KMS v2 in 1.27 and, by default, 1.28
    V2_SEED = "v2-seed"  # KMS v2 since 1.29

    @property
    def api(self) -> str:
        """v1 or v2."""
        return self.partition("-")[0]


class Plugin(Protocol):
    """What kube-apiserver asks of a plugin."""

    def status(self) -> PluginStatus: ...
    def encrypt_v1(self, plain: bytes) -> bytes: ...
    def decrypt_v1(self, cipher: bytes) -> bytes: ...
    def encrypt_v2(self, plaintext: bytes) -> Sealed: ...
    def decrypt_v2(self, sealed: Sealed) -> bytes: ...


@dataclasses.dataclass(frozen=True)
class Opened:
    """An object; a stale one is written anew at the next occasion."""

    plaintext: bytes
    stale: bool


class KubeApiserver:
    """One provider of both APIs. Nothing is cached: every object costs a call of the plugin."""

    def __init__(self, plugin: Plugin, provider: str = PROVIDER) -> None:
        self._plugin = plugin
        self._provider = provider

    def write(self, path: str, plaintext: bytes, kind: Kind) -> bytes:
        """What goes into etcd at that path."""
        match kind:
            case Kind.V1_CBC:
                body = self._write_v1(path, plaintext, CBC)
            case Kind.V1_GCM:
                body = self._write_v1(path, plaintext, GCM)
            case Kind.V2_KEY:
                body = self._write_v2(path, plaintext, _KEY)
            case Kind.V2_SEED:
                body = self._write_v2(path, plaintext, _SEED)
        return self._prefix(kind.api) + body

    def read(self, path: str, stored: bytes) -> Opened:
        """Opens what etcd has at that path."""
        for api, read in (("v1", self._read_v1), ("v2", self._read_v2)):
            prefix = self._prefix(api)
            if stored.startswith(prefix):
                return read(path, stored.removeprefix(prefix))
        raise Refused(f"a prefix of another provider: {stored[:40]!r}")

    def _prefix(self, api: str) -> bytes:
        return f"k8s:enc:kms:{api}:{self._provider}:".encode()

    def _write_v1(self, path: str, plaintext: bytes, inner: Inner) -> bytes:
        key = secrets.token_bytes(KEY_SIZE)
        cipher = self._plugin.encrypt_v1(key)
        return _LENGTH.pack(len(cipher)) + cipher + inner.seal(key, path, plaintext)

    def _read_v1(self, path: str, body: bytes) -> Opened:
        cipher, data = _length_prefixed(body)
        key = self._plugin.decrypt_v1(cipher)
        try:
            return Opened(GCM.open(key, path, data), stale=False)
        except Refused as refused:
            # nothing in the bytes says which of the two it is
            try:
                return Opened(CBC.open(key, path, data), stale=True)
            except Refused as also:
                raise Refused(f"{refused}; {also}") from None

    def _write_v2(self, path: str, plaintext: bytes, source: int) -> bytes:
        key = secrets.token_bytes(KEY_SIZE)
        sealed = self._plugin.encrypt_v2(key)
        return encrypted_object.message()(
            encrypted_data=_INNER_OF_SOURCE[source].seal(key, path, plaintext),
            key_id=sealed.key_id,
            encrypted_dek_source=sealed.ciphertext,
            annotations=sealed.annotations,
            encrypted_dek_source_type=source,
        ).SerializeToString()

    def _read_v2(self, path: str, body: bytes) -> Opened:
        message = _decode(body)
        source = message.encrypted_dek_source_type
        if source not in _INNER_OF_SOURCE:
            raise Refused(f"source type {source}")
        sealed = Sealed(message.encrypted_dek_source, message.key_id, dict(message.annotations))
        key = self._plugin.decrypt_v2(sealed)
        plaintext = _INNER_OF_SOURCE[source].open(key, path, message.encrypted_data)
        return Opened(plaintext, stale=source != _SEED or message.key_id != self._plugin.status().key_id)


def _length_prefixed(body: bytes) -> tuple[bytes, bytes]:
    if len(body) < _LENGTH.size:
        raise Refused("no length of a data key")
    end = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    if len(body) < end:
        raise Refused("a data key that is cut off")
    return body[_LENGTH.size : end], body[end:]


def _decode(body: bytes) -> Any:
    try:
        return encrypted_object.message().FromString(body)
    except DecodeError as error:
        raise Refused(f"no EncryptedObject: {error}") from None
