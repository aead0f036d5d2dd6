"""The daemon as a child process."""

import itertools
import os
import random
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import requests

from harness.process import Process, binary
from harness.waiting import wait_until

_HTTP_S = 10.0


def _free_ports() -> Iterator[int]:
    """Ports below the range from which the system gives ports to clients."""
    start = random.randrange(20_000)
    for offset in itertools.count(start):
        port = 10_000 + offset % 20_000
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
        yield port


_PORTS = _free_ports()


class Azure(Protocol):
    """What stands in for Azure: the emulator, or a proxy before it."""

    def daemon_flags(self) -> list[str]:
        """The flags that make the daemon use it."""
        ...


class Daemon(Process):
    """A daemon that listens and is healthy."""

    def __init__(self, azure: Azure, folder: Path, listen: str, flags: Sequence[str] = ()) -> None:
        healthz, metrics = next(_PORTS), next(_PORTS)
        self.listen = listen
        self._healthz = f"http://127.0.0.1:{healthz}/healthz"
        argv = [
            str(binary("AZURE_KMS_PROVIDER", "azure-kms-provider")),
            *azure.daemon_flags(),
            f"--listen-addr=unix://{listen}",
            f"--healthz-port={healthz}",
            f"--metrics-addr=127.0.0.1:{metrics}",
            "--health-interval=200ms",
            "--v=4",
            *flags,
        ]
        super().__init__(argv, folder / f"daemon-{healthz}.log")
        try:
            self.wait_for_log("Listening for connections")
            wait_until(self._is_healthy, "the daemon is healthy")
        except BaseException:
            self.stop()
            raise

    @property
    def target(self) -> str:
        """Its socket in the syntax of gRPC."""
        return grpc_target(self.listen)

    def _is_healthy(self) -> bool:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(self._healthz, timeout=_HTTP_S).status_code == 200


def grpc_target(listen: str) -> str:
    """A socket's path, or `/@name` for an abstract one, in the syntax of gRPC."""
    if listen.startswith("/@"):
        return f"unix-abstract:{listen.removeprefix('/@')}"
    return f"unix:{os.fspath(listen)}"
