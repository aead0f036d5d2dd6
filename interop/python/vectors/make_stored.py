"""Makes stored-*.json anew: `python -m vectors.make_stored` in the folder above. Not part of a test run.

They are what kube-apiserver has in etcd with the Go plugin behind it, under the keys of rsa-*.json, so they follow
those when `vectors.make` makes new keys. Uses neither the daemon nor the emulator, and no code of Kubernetes.
"""

import base64
import json
from typing import Any

from go_plugin import GoPlugin, LocalVault
from harness import vectors
from kube_apiserver import PROVIDER, Kind, KubeApiserver
from vectors.make import CODECS

# One begins as a Secret in etcd does; the other is whole blocks, which AES-CBC pads with one block more.
# A length of 16n + 4 would not do: AES-GCM's form then has a length that AES-CBC's can have, and one in 256 of those
# that kube-apiserver finds at the wrong path passes for padded garbage instead of being refused.
_OBJECTS = {
    "/registry/secrets/default/first": b"k8s\x00\n\x0c\n\x02v1\x12\x06Secret\x12\x0e\xff\xfe\x00 a password",
    "/registry/secrets/default/whole-blocks": bytes(range(48)),
}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _objects(plugin: GoPlugin, form: str) -> list[dict[str, str]]:
    server = KubeApiserver(plugin)
    return [
        {
            "kind": kind,
            "form": form,
            "path": path,
            "plaintext": _base64(plaintext),
            "stored": _base64(server.write(path, plaintext, kind)),
        }
        for kind in Kind
        for path, plaintext in _OBJECTS.items()
    ]


def _file(bits: int) -> dict[str, Any]:
    known = vectors.load(bits)
    vault = LocalVault(known.key, known.private.public_key())
    return {
        "about": f"What etcd holds, under the key of rsa-{bits}.json. Bytes are base64.",
        "provider": PROVIDER,
        "objects": [
            entry for form, codec in CODECS.items() for entry in _objects(GoPlugin(vault, codec), form)
        ],
    }


def main() -> None:
    """Writes one file for each key size."""
    for bits in vectors.KEY_SIZES:
        (vectors.FOLDER / f"stored-{bits}.json").write_text(json.dumps(_file(bits), indent=2) + "\n")


if __name__ == "__main__":
    main()
