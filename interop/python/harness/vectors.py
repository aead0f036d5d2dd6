"""The committed vectors, and how their keys get into the emulator."""

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from go_plugin.formats import decode
from go_plugin.vaults import KeyVersion
from harness.client import Sealed

FOLDER = Path(__file__).resolve().parents[1] / "vectors"
KEY_SIZES = (2048, 3072, 4096)
# No member of it is secret: it is in this repository.
_PRIVATE = ("p", "q", "d", "dp", "dq", "qi", "e", "n")


@dataclasses.dataclass(frozen=True)
class VectorV1:
    """What KMS v1 stores, and what is in it."""

    form: str
    plaintext: bytes
    cipher: bytes


@dataclasses.dataclass(frozen=True)
class VectorV2:
    """What KMS v2 stores, and what is in it."""

    form: str
    plaintext: bytes
    sealed: Sealed


@dataclasses.dataclass(frozen=True)
class VectorSet:
    """A key that everybody knows, and what was sealed with it."""

    bits: int
    key: KeyVersion
    key_id: str
    private: rsa.RSAPrivateKey
    v1: list[VectorV1]
    v2: list[VectorV2]


@dataclasses.dataclass(frozen=True)
class StoredObject:
    """What is in etcd at a path, and what is in it."""

    kind: str
    form: str
    path: str
    plaintext: bytes
    stored: bytes


def load_stored(bits: int) -> list[StoredObject]:
    """Reads what is stored under the key of that size."""
    file = json.loads((FOLDER / f"stored-{bits}.json").read_text())
    return [
        StoredObject(
            entry["kind"], entry["form"], entry["path"], _bytes(entry["plaintext"]), _bytes(entry["stored"])
        )
        for entry in file["objects"]
    ]


def load(bits: int) -> VectorSet:
    """Reads the file of that key size."""
    file = json.loads((FOLDER / f"rsa-{bits}.json").read_text())
    key = KeyVersion(file["vault_host"], file["key_name"], file["key_version"])
    v1 = [VectorV1(entry["form"], _bytes(entry["plain"]), _bytes(entry["cipher"])) for entry in file["v1"]]
    v2 = [VectorV2(entry["form"], _bytes(entry["plaintext"]), _sealed(entry)) for entry in file["v2"]]
    return VectorSet(bits, key, file["key_id"], _private_key(file["private_key"]), v1, v2)


def add_key(state_file: Path, vectors: VectorSet) -> None:
    """Writes the key into the file in which a stopped emulator keeps its keys: it has no import."""
    state = json.loads(state_file.read_text())
    pkcs8 = vectors.private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    version = {
        "version": vectors.key.version,
        "enabled": True,
        "nbf": None,
        "exp": None,
        "created": 1_771_522_533,
        "updated": 1_771_522_533,
        "bits": vectors.bits,
        "operations": ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"],
        "tags": {},
        "pkcs8": base64.b64encode(pkcs8).decode("ascii"),
    }
    state["keys"][vectors.key.name] = [version]
    state_file.write_text(json.dumps(state))


def _private_key(jwk: dict[str, str]) -> rsa.RSAPrivateKey:
    p, q, d, dp, dq, qi, e, n = (int.from_bytes(decode(jwk[name]), "big") for name in _PRIVATE)
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(e, n)).private_key()


def _sealed(entry: dict[str, Any]) -> Sealed:
    annotations = {name: _bytes(value) for name, value in entry["annotations"].items()}
    return Sealed(_bytes(entry["ciphertext"]), entry["key_id"], annotations)


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
