"""Fixtures: one emulator for all tests, a daemon for each module that asks for one."""

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.identity import ClientSecretCredential
from azure.keyvault.keys import KeyClient

from go_plugin import KeyVersion
from harness import network, table, vectors
from harness.client import KmsClient
from harness.daemon import Daemon
from harness.emulator import Emulator
from harness.process import Process
from harness.proxy import Proxy
from harness.stubs import Stubs, make_stubs

StartDaemon = Callable[[KeyVersion], Daemon]
# Takes the credential's fields of azure.json, and more flags.
StartProxied = Callable[..., Daemon]


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets in it."""
    with tempfile.TemporaryDirectory(prefix="akv-") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def emulator(folder: Path) -> Iterator[Emulator]:
    """The emulator, with the keys of the vectors in its vault. This process reaches it as Azure."""
    akv = folder / "akv"
    with Emulator(akv):
        pass  # it makes its files, and is stopped before they are changed
    for bits in vectors.KEY_SIZES:
        vectors.add_key(akv / "state.json", vectors.load(bits))
    with pytest.MonkeyPatch.context() as patch, Emulator(akv) as running:
        network.redirect(running.info, patch)
        yield running


@pytest.fixture(autouse=True)
def _calm(emulator: Emulator) -> Iterator[None]:
    """No test leaves a fault or a permission behind."""
    yield
    emulator.calm_down()


@pytest.fixture(scope="session")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Stubs:
    """Made once; nothing of it is kept."""
    return make_stubs(tmp_path_factory.mktemp("stubs"))


@pytest.fixture(scope="module")
def credential(emulator: Emulator) -> ClientSecretCredential:
    """The service principal that the daemon uses too."""
    info = emulator.info
    return ClientSecretCredential(info.tenant_id, info.client_id, info.client_secret)


@pytest.fixture(scope="module")
def key_client(emulator: Emulator, credential: ClientSecretCredential) -> KeyClient:
    """Azure's client of the vault; a failure is not hidden by a retry."""
    return KeyClient(emulator.info.vault_url, credential, retry_total=0)


@pytest.fixture(scope="session")
def first_key(emulator: Emulator) -> KeyVersion:
    """The key that the emulator makes for itself, of 2048 bits."""
    info = emulator.info
    return KeyVersion(info.vault_host, info.key_name, info.key_versions[0])


@pytest.fixture(scope="module")
def start_daemon(emulator: Emulator) -> Iterator[StartDaemon]:
    """Starts daemons, which end with the module."""
    folders: list[Path] = []
    daemons: list[Daemon] = []

    def start(key: KeyVersion) -> Daemon:
        folders.append(Path(tempfile.mkdtemp(prefix="kms-")))
        flags = [f"--key-name={key.name}", f"--key-version={key.version}"]
        daemons.append(Daemon(emulator, folders[-1], str(folders[-1] / "kms.socket"), flags))
        return daemons[-1]

    yield start
    for daemon in daemons:
        daemon.stop()
    for path in folders:
        shutil.rmtree(path)


@pytest.fixture
def proxy(emulator: Emulator, first_key: KeyVersion) -> Iterator[Proxy]:
    """The proxy of proxy mode, before the emulator."""
    with Proxy(emulator.info, first_key) as proxy:
        yield proxy


@pytest.fixture
def start_proxied(emulator: Emulator, proxy: Proxy, tmp_path: Path, folder: Path) -> Iterator[StartProxied]:
    """Starts a daemon that has the proxy, and the credential of those fields of azure.json."""
    daemons: list[Daemon] = []

    def start(credential: dict[str, Any], *flags: str) -> Daemon:
        config = tmp_path / "azure.json"
        config.write_text(json.dumps(_directory(emulator) | credential))
        socket = folder / f"proxied-{secrets.token_hex(4)}.socket"
        daemons.append(Daemon(proxy, tmp_path, str(socket), [f"--config-file-path={config}", *flags]))
        return daemons[-1]

    yield start
    for daemon in daemons:
        daemon.stop()


def _directory(emulator: Emulator) -> dict[str, Any]:
    info = emulator.info
    return {"cloud": "AzurePublicCloud", "tenantId": info.tenant_id, "aadClientId": info.client_id}


@pytest.fixture(scope="module")
def daemon(start_daemon: StartDaemon, first_key: KeyVersion) -> Daemon:
    """A healthy daemon with the emulator's first key."""
    return start_daemon(first_key)


@pytest.fixture(scope="module")
def client(daemon: Daemon, stubs: Stubs) -> Iterator[KmsClient]:
    """A client of that daemon with the authority that grpcio chooses."""
    with KmsClient(stubs, daemon.target) as client:
        yield client


def pytest_runtest_setup() -> None:
    """Logs of processes that have ended belong to earlier tests."""
    Process.forget_ended()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows the logs with every failure, and remembers which modules passed."""
    report = yield
    module = item.getparent(pytest.Module)
    outcomes = item.config.stash.setdefault(_OUTCOMES, {})
    outcomes.setdefault(module, []).append(report.outcome)
    if report.failed:
        for process in Process.known:
            report.sections.append((f"log of {process.name}", process.log_tail()))
    return report


_OUTCOMES: pytest.StashKey[dict[Any, list[str]]] = pytest.StashKey()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the rows of the modules that passed whole."""
    file = os.environ.get("COMPATIBILITY_TABLE")
    if not file:
        return
    outcomes = session.config.stash.get(_OUTCOMES, {})
    passed = [module for module, all_of_it in outcomes.items() if set(all_of_it) <= {"passed"}]
    table.append_rows(Path(file), (getattr(module.obj, "COMPONENTS", {}) for module in passed))
