"""Both APIs without the transport: what is stored, and the checks before it is opened."""

import hashlib
from collections.abc import Mapping

from go_plugin.formats import (
    ALGORITHM_ANNOTATION,
    FORMAT,
    FORMAT_ANNOTATION,
    HEADER_ANNOTATIONS,
    UPSTREAM,
    V1_ALGORITHM,
    V2_ALGORITHM,
    V2_VERSION,
    Codec,
)
from go_plugin.vaults import Answer, Vault
from harness.client import PluginStatus, Sealed


class Refused(Exception):
    """The data is not this plugin's."""


class GoPlugin:
    """One key version, and one way of writing."""

    def __init__(self, vault: Vault, codec: Codec = UPSTREAM) -> None:
        self._vault = vault
        self._codec = codec
        self.key_id = vault.key.key_id

    def status(self) -> PluginStatus:
        """v2 Status."""
        return PluginStatus(V2_VERSION, "ok", self.key_id)

    def encrypt_v1(self, plain: bytes) -> bytes:
        """v1 Encrypt."""
        return self._codec.stored_of_value(self._encrypt(V1_ALGORITHM, plain).value)

    def decrypt_v1(self, cipher: bytes) -> bytes:
        """v1 Decrypt."""
        return self._decrypt(V1_ALGORITHM, cipher)

    def encrypt_v2(self, plaintext: bytes) -> Sealed:
        """v2 Encrypt."""
        answer = self._encrypt(V2_ALGORITHM, plaintext)
        return Sealed(self._codec.stored_of_value(answer.value), self.key_id, _annotations(answer.headers))

    def decrypt_v2(self, sealed: Sealed) -> bytes:
        """v2 Decrypt, after its checks."""
        if not sealed.annotations:
            raise Refused("there are no annotations")
        if sealed.key_id != self.key_id:
            raise Refused(f"key_id is {sealed.key_id}, not {self.key_id}")
        for name, expected in ((ALGORITHM_ANNOTATION, V2_ALGORITHM), (FORMAT_ANNOTATION, FORMAT)):
            if sealed.annotations.get(name) != expected.encode("ascii"):
                raise Refused(f"{name} is {sealed.annotations.get(name)!r}, not {expected!r}")
        return self._decrypt(V2_ALGORITHM, sealed.ciphertext)

    def _encrypt(self, algorithm: str, plaintext: bytes) -> Answer:
        answer = self._vault.encrypt(algorithm, self._codec.value_of_plaintext(plaintext))
        if hashlib.sha256(answer.kid.encode("ascii")).hexdigest() != self.key_id:
            raise Refused(f"Key Vault used {answer.kid}")
        return answer

    def _decrypt(self, algorithm: str, stored: bytes) -> bytes:
        value = self._codec.value_of_stored(stored)
        return self._codec.plaintext_of_value(self._vault.decrypt(algorithm, value).value)


def _annotations(headers: Mapping[str, str]) -> dict[str, bytes]:
    annotations = {name: headers[header].encode("ascii") for name, header in HEADER_ANNOTATIONS.items()}
    annotations[FORMAT_ANNOTATION] = FORMAT.encode("ascii")
    annotations[ALGORITHM_ANNOTATION] = V2_ALGORITHM.encode("ascii")
    return annotations
