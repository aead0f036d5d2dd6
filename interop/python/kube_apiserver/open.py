"""Opens stored objects as a kube-apiserver with the Go plugin: `python -m kube_apiserver.open` in the folder above.

For suites in other languages. Standard input says in JSON where the emulator keeps its files, the key version of the
plugin, and the objects: {"emulator", "key_name", "key_version", "objects": [{"path", "stored"}]}. For each object the
answer is {"plaintext", "stale"} or {"refused": why}. Bytes are base64.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from azure.identity import ClientSecretCredential
from azure.keyvault.keys import KeyClient

from go_plugin import GoPlugin, KeyVersion, RemoteVault
from harness import network
from harness.emulator import Info
from kube_apiserver.inner import Refused
from kube_apiserver.store import KubeApiserver


def _go_plugin(info: Info, name: str, version: str) -> GoPlugin:
    credential = ClientSecretCredential(info.tenant_id, info.client_id, info.client_secret)
    client = KeyClient(info.vault_url, credential, retry_total=0)
    return GoPlugin(RemoteVault(client, KeyVersion(info.vault_host, name, version)))


def _open(server: KubeApiserver, entry: dict[str, str]) -> dict[str, Any]:
    try:
        opened = server.read(entry["path"], base64.b64decode(entry["stored"], validate=True))
    except Refused as refused:
        return {"refused": str(refused)}
    return {"plaintext": base64.b64encode(opened.plaintext).decode("ascii"), "stale": opened.stale}


def main() -> None:
    """Answers one request."""
    request = json.load(sys.stdin)
    info = Info.read(Path(request["emulator"]) / "emulator.json")
    with pytest.MonkeyPatch.context() as patch:
        network.redirect(info, patch)
        server = KubeApiserver(_go_plugin(info, request["key_name"], request["key_version"]))
        json.dump([_open(server, entry) for entry in request["objects"]], sys.stdout)


if __name__ == "__main__":
    main()
