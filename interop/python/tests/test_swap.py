"""The Go plugin is replaced by the daemon on the same socket and back, under one client."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from azure.keyvault.keys import KeyClient

from go_plugin import FORK, UPSTREAM, Codec, GoPlugin, KeyVersion, RemoteVault
from go_plugin.server import serving
from harness.client import KmsClient, PluginStatus, Sealed
from harness.daemon import Daemon
from harness.emulator import Emulator
from harness.stubs import Stubs

COMPONENTS = {"grpcio": "a server in place of the Go plugin, swapped for the daemon and back under one channel"}


class Store:
    """What kube-apiserver would keep in etcd, and what it knows of the plugin."""

    def __init__(self, client: KmsClient) -> None:
        self._client = client
        self._v1: list[tuple[bytes, bytes]] = []
        self._v2: list[tuple[bytes, Sealed]] = []

    def write(self) -> None:
        """Seals new data."""
        for _ in range(3):
            plaintext = secrets.token_bytes(32)
            self._v1.append((plaintext, self._client.encrypt_v1(plaintext)))
            self._v2.append((plaintext, self._client.encrypt_v2(plaintext)))

    def read(self) -> int:
        """Opens all there is, and says how many that were."""
        for plaintext, cipher in self._v1:
            assert self._client.decrypt_v1(cipher) == plaintext
        for plaintext, sealed in self._v2:
            assert self._client.decrypt_v2(sealed) == plaintext
        return len(self._v1) + len(self._v2)

    def plugin(self) -> tuple[str, PluginStatus]:
        """What must not change during the life of kube-apiserver."""
        return self._client.version().version, self._client.status()


@pytest.fixture
def socket(folder: Path) -> Path:
    """Where both plugins listen in turn."""
    return folder / f"swap-{secrets.token_hex(4)}.socket"


@pytest.fixture
def store(socket: Path, stubs: Stubs) -> Iterator[Store]:
    """With a channel that outlives both plugins, and one of kube-apiserver's authorities."""
    with KmsClient(stubs, f"unix:{socket}", "%2Fopt%2Fazurekms.socket") as client:
        yield Store(client)


@contextmanager
def the_daemon(emulator: Emulator, socket: Path, tmp_path: Path) -> Iterator[None]:
    """Runs it on that socket, and checks that it ends well."""
    with Daemon(emulator, tmp_path, str(socket)) as daemon:
        yield
        assert daemon.stop() == 0, daemon.log()


@pytest.mark.parametrize("codec", [UPSTREAM, FORK], ids=["upstream", "fork"])
def test_the_daemon_takes_over_from_the_go_plugin(
    emulator: Emulator,
    key_client: KeyClient,
    first_key: KeyVersion,
    stubs: Stubs,
    socket: Path,
    store: Store,
    tmp_path: Path,
    codec: Codec,
) -> None:
    go = GoPlugin(RemoteVault(key_client, first_key), codec)
    with serving(go, stubs, f"unix:{socket}"):
        store.write()
        before = store.plugin()
    with the_daemon(emulator, socket, tmp_path):
        assert store.plugin() == before
        assert store.read() == 6
        store.write()
        assert store.read() == 12


def test_the_go_plugin_takes_over_from_the_daemon_and_hands_back(
    emulator: Emulator,
    key_client: KeyClient,
    first_key: KeyVersion,
    stubs: Stubs,
    socket: Path,
    store: Store,
    tmp_path: Path,
) -> None:
    go = GoPlugin(RemoteVault(key_client, first_key))
    with the_daemon(emulator, socket, tmp_path):
        store.write()
        before = store.plugin()
    for expected in (6, 12):
        with serving(go, stubs, f"unix:{socket}"):
            assert store.plugin() == before
            assert store.read() == expected
            store.write()
        with the_daemon(emulator, socket, tmp_path):
            assert store.plugin() == before
            assert store.read() == expected + 6
    assert before == ("v1beta1", PluginStatus("v2beta1", "ok", first_key.key_id))


def test_the_daemon_starts_on_the_socket_that_a_killed_plugin_left(
    emulator: Emulator, socket: Path, store: Store, tmp_path: Path
) -> None:
    with Daemon(emulator, tmp_path, str(socket)) as killed:
        store.write()
        killed.kill()
    assert socket.exists()
    with the_daemon(emulator, socket, tmp_path):
        assert store.read() == 6
    assert not socket.exists()
