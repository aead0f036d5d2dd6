"""The inner seals: from a data key to the bytes of an object. The path binds an object to its place in etcd."""

import dataclasses
import secrets
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.padding import PKCS7

KEY_SIZE = 32
_NONCE_SIZE = 12
_BLOCK_SIZE = 16
_INFO_SIZE = 32


class Refused(Exception):
    """The bytes are not what kube-apiserver stores at that path."""


@dataclasses.dataclass(frozen=True)
class Inner:
    """One way to seal with a data key; both take key, path and data."""

    seal: Callable[[bytes, str, bytes], bytes]
    open: Callable[[bytes, str, bytes], bytes]


def _seal_gcm(key: bytes, path: str, plaintext: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_SIZE)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, path.encode())


def _open_gcm(key: bytes, path: str, sealed: bytes) -> bytes:
    nonce, ciphertext = _split(sealed, _NONCE_SIZE)
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, path.encode())
    except InvalidTag:
        raise Refused("AES-GCM: not sealed with this key for this path") from None


def _seal_cbc(key: bytes, _path: str, plaintext: bytes) -> bytes:
    iv = secrets.token_bytes(_BLOCK_SIZE)
    padder = PKCS7(AES.block_size).padder()
    encryptor = Cipher(AES(key), modes.CBC(iv)).encryptor()
    return iv + encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()


def _open_cbc(key: bytes, _path: str, sealed: bytes) -> bytes:
    iv, ciphertext = _split(sealed, _BLOCK_SIZE)
    decryptor = Cipher(AES(key), modes.CBC(iv)).decryptor()
    unpadder = PKCS7(AES.block_size).unpadder()
    try:
        padded = decryptor.update(ciphertext) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError as error:
        raise Refused(f"AES-CBC: {error}") from None


def _seal_seed(seed: bytes, path: str, plaintext: bytes) -> bytes:
    info = secrets.token_bytes(_INFO_SIZE)
    return info + _seal_gcm(_derive(seed, info), path, plaintext)


def _open_seed(seed: bytes, path: str, sealed: bytes) -> bytes:
    info, sealed = _split(sealed, _INFO_SIZE)
    return _open_gcm(_derive(seed, info), path, sealed)


def _derive(seed: bytes, info: bytes) -> bytes:
    """A key for one object. The seed is random already, so HKDF (RFC 5869) only expands it."""
    if len(seed) < KEY_SIZE:
        raise Refused(f"a seed of {len(seed)} bytes")
    return HKDFExpand(hashes.SHA256(), KEY_SIZE, info).derive(seed)


def _split(data: bytes, size: int) -> tuple[bytes, bytes]:
    if len(data) < size:
        raise Refused(f"{len(data)} bytes, where {size} are the least")
    return data[:size], data[size:]


GCM = Inner(_seal_gcm, _open_gcm)
# Knows nothing of the path: such an object opens at any place.
CBC = Inner(_seal_cbc, _open_cbc)
SEED = Inner(_seal_seed, _open_seed)
