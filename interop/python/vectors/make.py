"""Makes the vectors anew, with new keys: `python -m vectors.make` in the folder above. Not part of a test run.
`vectors.make_stored` has to follow.

Bytes are base64 in the files, as in the JSON form of protocol buffers. Uses only the `cryptography` package and
go_plugin; neither the daemon nor the emulator.
"""

import base64
import json
import secrets
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from go_plugin import FORK, UPSTREAM, GoPlugin, KeyVersion, LocalVault
from go_plugin.formats import encode
from harness.vectors import FOLDER, KEY_SIZES

_VAULT_HOST = "emulator.vault.azure.net"
# A data key, the value of kube-apiserver's probe, one byte, and what text cannot hold.
_PLAINTEXTS = (bytes(range(32)), b"ping", b"\x00", b"\xff\xfe\x00\x80" * 11)
CODECS = {"upstream": UPSTREAM, "fork": FORK}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _jwk(private: rsa.RSAPrivateKey) -> dict[str, str]:
    numbers = private.private_numbers()
    public = numbers.public_numbers
    members = {
        "n": public.n,
        "e": public.e,
        "d": numbers.d,
        "p": numbers.p,
        "q": numbers.q,
        "dp": numbers.dmp1,
        "dq": numbers.dmq1,
        "qi": numbers.iqmp,
    }
    return {name: encode(_big_endian(value)) for name, value in members.items()}


def _big_endian(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _v1(plugin: GoPlugin, form: str, plain: bytes) -> dict[str, str]:
    return {"form": form, "plain": _base64(plain), "cipher": _base64(plugin.encrypt_v1(plain))}


def _v2(plugin: GoPlugin, form: str, plaintext: bytes) -> dict[str, Any]:
    sealed = plugin.encrypt_v2(plaintext)
    return {
        "form": form,
        "plaintext": _base64(plaintext),
        "ciphertext": _base64(sealed.ciphertext),
        "key_id": sealed.key_id,
        "annotations": {name: _base64(value) for name, value in sealed.annotations.items()},
    }


def _file(bits: int) -> dict[str, Any]:
    private = rsa.generate_private_key(65537, bits)
    key = KeyVersion(_VAULT_HOST, f"vector-{bits}", secrets.token_hex(16))
    vault = LocalVault(key, private.public_key())
    plugins = [(GoPlugin(vault, codec), form) for form, codec in CODECS.items()]
    return {
        "about": "For tests only: the key is public. Bytes are base64, the key's members base64url.",
        "vault_host": key.vault_host,
        "key_name": key.name,
        "key_version": key.version,
        "key_id": key.key_id,
        "private_key": {"kty": "RSA", **_jwk(private)},
        "v1": [_v1(plugin, form, plain) for plugin, form in plugins for plain in _PLAINTEXTS],
        "v2": [_v2(plugin, form, plain) for plugin, form in plugins for plain in _PLAINTEXTS],
    }


def main() -> None:
    """Writes one file for each key size."""
    for bits in KEY_SIZES:
        (FOLDER / f"rsa-{bits}.json").write_text(json.dumps(_file(bits), indent=2) + "\n")


if __name__ == "__main__":
    main()
