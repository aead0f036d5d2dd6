"""Committed objects as kube-apiserver and the Go plugin stored them in etcd are read for ever.

The same files are read by kube-apiserver's own code in interop/kubernetes/stored.
"""

import dataclasses
from collections.abc import Iterator

import pytest
from azure.keyvault.keys import KeyClient

from conftest import StartDaemon
from go_plugin import FORK, UPSTREAM, GoPlugin, LocalVault, RemoteVault
from harness import vectors
from harness.client import KmsClient
from harness.stubs import Stubs
from harness.vectors import StoredObject, VectorSet
from kube_apiserver import Kind, KubeApiserver, Opened, Plugin, Refused

COMPONENTS = {
    "cryptography": "made the committed objects of etcd, in all forms of KMS v1 and v2, which the daemon opens"
}

CODECS = {"upstream": UPSTREAM, "fork": FORK}
# What kube-apiserver would write anew.
STALE = {"v1-cbc": True, "v1-gcm": False, "v2-key": True, "v2-seed": False}
OTHER_PATH = "/registry/secrets/default/other"


@dataclasses.dataclass(frozen=True)
class Etcd:
    """A key, and what is stored under it."""

    known: VectorSet
    objects: list[StoredObject]

    def opens_with(self, plugins: dict[str, Plugin]) -> None:
        """Checks every object with the plugin of its form."""
        for stored in self.objects:
            opened = KubeApiserver(plugins[stored.form]).read(stored.path, stored.stored)
            assert opened == Opened(stored.plaintext, STALE[stored.kind]), stored


@pytest.fixture(scope="module", params=vectors.KEY_SIZES, ids=lambda bits: f"rsa{bits}")
def etcd(request: pytest.FixtureRequest) -> Etcd:
    """One for each key size."""
    return Etcd(vectors.load(request.param), vectors.load_stored(request.param))


@pytest.fixture(scope="module")
def client(etcd: Etcd, start_daemon: StartDaemon, stubs: Stubs) -> Iterator[KmsClient]:
    """A client of a daemon with that key."""
    with KmsClient(stubs, start_daemon(etcd.known.key).target) as client:
        yield client


@pytest.fixture
def offline(etcd: Etcd) -> dict[str, Plugin]:
    """Plugins that have nothing but the private key."""
    known = etcd.known
    vault = LocalVault(known.key, known.private.public_key(), known.private)
    return {form: GoPlugin(vault, codec) for form, codec in CODECS.items()}


def test_the_vectors_hold_every_kind_in_both_forms(etcd: Etcd) -> None:
    found = {(stored.kind, stored.form) for stored in etcd.objects}
    assert found == {(kind, form) for kind in STALE for form in CODECS}


def test_the_private_key_alone_opens_every_object(etcd: Etcd, offline: dict[str, Plugin]) -> None:
    etcd.opens_with(offline)


def test_the_go_plugin_opens_every_object_with_the_vault(etcd: Etcd, key_client: KeyClient) -> None:
    vault = RemoteVault(key_client, etcd.known.key)
    etcd.opens_with({form: GoPlugin(vault, codec) for form, codec in CODECS.items()})


def test_the_daemon_opens_every_object(etcd: Etcd, client: KmsClient) -> None:
    etcd.opens_with({form: client for form in CODECS})


def test_only_aes_cbc_opens_at_another_path(etcd: Etcd, offline: dict[str, Plugin]) -> None:
    for stored in etcd.objects:
        server = KubeApiserver(offline[stored.form])
        if stored.kind == "v1-cbc":
            assert server.read(OTHER_PATH, stored.stored).plaintext == stored.plaintext
            continue
        with pytest.raises(Refused, match="AES-GCM"):
            server.read(OTHER_PATH, stored.stored)


def test_an_object_of_another_provider_is_refused(etcd: Etcd, offline: dict[str, Plugin]) -> None:
    for stored in etcd.objects:
        with pytest.raises(Refused, match="another provider"):
            KubeApiserver(offline[stored.form], "another").read(stored.path, stored.stored)


def test_an_object_that_is_cut_off_is_refused(etcd: Etcd, offline: dict[str, Plugin]) -> None:
    for stored in etcd.objects:
        with pytest.raises(Refused):
            KubeApiserver(offline[stored.form]).read(stored.path, stored.stored[:-1])


@pytest.mark.parametrize("kind", Kind)
def test_new_objects_open_behind_either_plugin(
    etcd: Etcd, client: KmsClient, key_client: KeyClient, kind: Kind
) -> None:
    theirs = KubeApiserver(GoPlugin(RemoteVault(key_client, etcd.known.key)))
    ours = KubeApiserver(client)
    for writer, reader in ((theirs, ours), (ours, theirs)):
        for path in (OTHER_PATH, "/registry/secrets/kube-system/other"):
            stored = writer.write(path, b"\x00\xff secret", kind)
            assert reader.read(path, stored) == Opened(b"\x00\xff secret", STALE[kind])
