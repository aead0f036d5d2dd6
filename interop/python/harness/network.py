"""The hosts of Azure, answered by the emulator; every other host does not exist."""

import ipaddress
import os
import socket
from typing import Any

import pytest

from harness.emulator import Info

_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def redirect(info: Info, patch: pytest.MonkeyPatch) -> None:
    """Makes this process reach the emulator under Azure's names, and trust its CA."""
    patch.setattr(socket, "getaddrinfo", _resolver(info))
    patch.setenv("REQUESTS_CA_BUNDLE", info.ca_file)
    for name in _PROXY_VARIABLES:
        patch.delenv(name, raising=False)
        patch.delenv(name.upper(), raising=False)
    for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "IMDS_"))]:
        if name != "AZURE_KMS_PROVIDER":
            patch.delenv(name)  # the SDK reads its settings there


def _resolver(info: Info) -> Any:
    hosts = {info.vault_host: info.vault_addr, info.authority_host: info.authority_addr}
    original = socket.getaddrinfo

    def getaddrinfo(host: str | bytes | None, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host or ""
        if name in hosts:
            address, _, new_port = hosts[name].rpartition(":")
            return original(address, int(new_port), *args, **kwargs)
        if _is_loopback(name):
            return original(host, port, *args, **kwargs)
        raise socket.gaierror(socket.EAI_NONAME, f"{name} is not to be reached from a test")

    return getaddrinfo


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
