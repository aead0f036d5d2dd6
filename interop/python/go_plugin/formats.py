"""The bytes: what Key Vault is sent, and what is stored."""

import base64
import dataclasses
from collections.abc import Callable

V1_ALGORITHM = "RSA1_5"
V2_ALGORITHM = "RSA-OAEP-256"
V1_VERSION = "v1beta1"
V2_VERSION = "v2beta1"

_SUFFIX = ".azure.akv.io"
FORMAT_ANNOTATION = "version" + _SUFFIX
ALGORITHM_ANNOTATION = "algorithm" + _SUFFIX
# Each holds the response header of that name.
HEADER_ANNOTATIONS = {name + _SUFFIX: name for name in ("date", "x-ms-request-id", "x-ms-keyvault-region")}
FORMAT = "1"


def encode(data: bytes) -> str:
    """base64url without padding (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def decode(text: str) -> bytes:
    """The reverse; strict about alphabet and padding."""
    if "=" in text:
        raise ValueError("padded")
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


@dataclasses.dataclass(frozen=True)
class Codec:
    """How one plugin of the family writes. `value` is base64url text in a message of Key Vault."""

    value_of_plaintext: Callable[[bytes], str]
    plaintext_of_value: Callable[[str], bytes]
    stored_of_value: Callable[[str], bytes]
    value_of_stored: Callable[[bytes], str]


# Stores the text of Key Vault's result.
UPSTREAM = Codec(
    value_of_plaintext=encode,
    plaintext_of_value=decode,
    stored_of_value=lambda value: value.encode("ascii"),
    value_of_stored=lambda stored: stored.decode("ascii"),
)

# The OpenShift fork: stores the result's bytes, and encodes the plaintext twice.
FORK = Codec(
    value_of_plaintext=lambda plaintext: encode(encode(plaintext).encode("ascii")),
    plaintext_of_value=lambda value: decode(decode(value).decode("ascii")),
    stored_of_value=decode,
    value_of_stored=encode,
)
