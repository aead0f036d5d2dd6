"""Key operations on the values of Key Vault's messages: by REST, and with nothing but the key."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Protocol

from azure.core.rest import HttpRequest
from azure.keyvault.keys import KeyClient
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from go_plugin.formats import decode, encode

# What the Go plugin asks for; later versions answer the same to these calls.
API_VERSION = "2016-10-01"


@dataclasses.dataclass(frozen=True)
class KeyVersion:
    """A version of a key in a vault."""

    vault_host: str
    name: str
    version: str

    @property
    def url(self) -> str:
        """Its identifier."""
        return f"https://{self.vault_host}/keys/{self.name}/{self.version}"

    @property
    def key_id(self) -> str:
        """Its public name."""
        return hashlib.sha256(self.url.encode("ascii")).hexdigest()


@dataclasses.dataclass(frozen=True)
class Answer:
    """What an operation gives."""

    kid: str
    value: str
    headers: Mapping[str, str]


class Vault(Protocol):
    """Does the two operations with one key version."""

    key: KeyVersion

    def encrypt(self, algorithm: str, value: str) -> Answer:
        """Takes and gives base64url text."""
        ...

    def decrypt(self, algorithm: str, value: str) -> Answer:
        """Takes and gives base64url text."""
        ...


class RemoteVault:
    """Over the pipeline of Azure's SDK, but with bodies of our own, so that every encoding is visible here."""

    def __init__(self, client: KeyClient, key: KeyVersion) -> None:
        self.key = key
        self._client = client

    def encrypt(self, algorithm: str, value: str) -> Answer:
        """POST …/encrypt."""
        return self._ask("encrypt", algorithm, value)

    def decrypt(self, algorithm: str, value: str) -> Answer:
        """POST …/decrypt."""
        return self._ask("decrypt", algorithm, value)

    def _ask(self, operation: str, algorithm: str, value: str) -> Answer:
        path = f"/keys/{self.key.name}/{self.key.version}/{operation}"
        body = {"alg": algorithm, "value": value}
        request = HttpRequest("POST", path, params={"api-version": API_VERSION}, json=body)
        response = self._client.send_request(request)
        response.raise_for_status()
        answer = response.json()
        return Answer(answer["kid"], answer["value"], response.headers)


class LocalVault:
    """With the `cryptography` package alone; the headers are those of one fixed answer."""

    HEADERS: Mapping[str, str] = {
        "date": "Thu, 19 Feb 2026 17:35:33 GMT",
        "x-ms-request-id": "5f4a1c0e-6d0b-4c39-9a51-0d6f0c1f7b62",
        "x-ms-keyvault-region": "westeurope",
    }

    def __init__(
        self, key: KeyVersion, public: rsa.RSAPublicKey, private: rsa.RSAPrivateKey | None = None
    ) -> None:
        self.key = key
        self._public = public
        self._private = private

    def encrypt(self, algorithm: str, value: str) -> Answer:
        """Needs the public half only."""
        result = self._public.encrypt(decode(value), scheme(algorithm))
        return Answer(self.key.url, encode(result), self.HEADERS)

    def decrypt(self, algorithm: str, value: str) -> Answer:
        """Needs the private half."""
        if self._private is None:
            raise ValueError("there is no private key")
        result = self._private.decrypt(decode(value), scheme(algorithm))
        return Answer(self.key.url, encode(result), self.HEADERS)


def scheme(algorithm: str) -> padding.AsymmetricPadding:
    """The padding (RFC 8017) behind a name of Key Vault."""
    match algorithm:
        case "RSA1_5":
            return padding.PKCS1v15()
        case "RSA-OAEP":
            return _oaep(hashes.SHA1())
        case "RSA-OAEP-256":
            return _oaep(hashes.SHA256())
    raise ValueError(f"{algorithm} is no algorithm of RSA keys")


def _oaep(digest: hashes.HashAlgorithm) -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(digest), algorithm=digest, label=None)
