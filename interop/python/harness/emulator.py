"""The emulator as a child process, and its control API."""

import dataclasses
import json
from pathlib import Path
from typing import Any, Self

import requests

from harness.process import Process, binary

_CONTROL_S = 10.0


@dataclasses.dataclass(frozen=True)
class Info:
    """What emulator.json says."""

    vault_host: str
    vault_addr: str
    authority_host: str
    authority_addr: str
    imds_url: str
    control_url: str
    tenant_id: str
    client_id: str
    client_secret: str
    system_assigned_client_id: str
    user_assigned_client_id: str
    user_assigned_resource_id: str
    key_name: str
    key_versions: list[str]
    ca_file: str

    @classmethod
    def read(cls, file: Path) -> Self:
        """Reads it; fields that are not known here are left out."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in json.loads(file.read_text()).items() if name in names})

    @property
    def vault_url(self) -> str:
        """Where clients find the vault."""
        return f"https://{self.vault_host}"


class Emulator(Process):
    """A running emulator."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = binary("AKV_EMULATOR", "akv-emulator")
        super().__init__([str(program), f"--dir={folder}"], folder.with_suffix(".log"))
        self._control = requests.Session()
        self._control.trust_env = False
        try:
            self.wait_for_log("ready")
            self.info = Info.read(folder / "emulator.json")
        except BaseException:
            self.stop()
            raise

    def daemon_flags(self) -> list[str]:
        """The flags that make the daemon use it."""
        return (self.folder / "args").read_text().splitlines()

    def set_vault_faults(self, **faults: Any) -> None:
        """Makes the vault misbehave."""
        self._ask("PUT", "faults", {"vault": faults})

    def set_permissions(self, principal: str, *operations: str) -> None:
        """Lets that principal do only this, and all others everything."""
        self._ask("PUT", "permissions", {principal: list(operations)})

    def set_token_lifetime(self, seconds: int) -> None:
        """For tokens that are issued from now on."""
        self._ask("PUT", "tokens", {"lifetime_s": seconds})

    def revoke_tokens(self) -> None:
        """Refuses all tokens that were issued until now."""
        self._ask("DELETE", "tokens")

    def calls(self, principal: str, operation: str) -> int:
        """How often that principal has called that operation."""
        calls: dict[str, int] = self._ask("GET", "stats")["by_principal"].get(principal, {})
        return calls.get(operation, 0)

    def calm_down(self) -> None:
        """Ends what a test has set."""
        self._ask("DELETE", "faults")
        self._ask("PUT", "permissions", {})
        self.set_token_lifetime(3600)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{self.info.control_url}/{path}"
        response = self._control.request(method, url, json=body, timeout=_CONTROL_S)
        assert response.ok, f"{method} /{path}: {response.text}"
        return response.json()
