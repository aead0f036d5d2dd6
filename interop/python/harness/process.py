"""Child processes: each logs to a file of its own, and is ended by its handle."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from harness.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[3]
_STOP_S = 20.0
# A failure shows so much of a log.
_LOG_TAIL = 30_000


def binary(variable: str, name: str) -> Path:
    """The program that the environment names, or that of the debug build."""
    path = Path(os.environ.get(variable) or REPOSITORY / "target" / "debug" / name)
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"{path} is no program: build the workspace, or set {variable}")
    return path


class Process:
    """A running child."""

    # Those whose logs a failing test shows.
    known: ClassVar[list["Process"]] = []

    def __init__(self, argv: list[str], log_file: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = Path(argv[0]).name
        self.log_file = log_file
        # only what is needed: a proxy or a CA of the caller's environment would change what is tested
        clean = {"PATH": os.environ.get("PATH", os.defpath), **(env or {})}
        with log_file.open("wb") as log:
            self._child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=clean
            )
        Process.known.append(self)

    def log(self) -> str:
        """What it has written so far."""
        return self.log_file.read_text(errors="replace")

    def log_tail(self) -> str:
        """The last part of it."""
        return self.log()[-_LOG_TAIL:]

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._child.poll() is None

    def wait_for_log(self, text: str) -> None:
        """Waits until it has written that; fails at once when it ends."""

        def written() -> bool:
            found = text in self.log()
            if not found and not self.is_running():
                raise RuntimeError(f"{self.name} ended with {self._child.returncode}:\n{self.log_tail()}")
            return found

        wait_until(written, f"{text!r} in the log of {self.name}")

    def stop(self) -> int:
        """Asks it to end (SIGTERM), and gives its exit code; kills what does not obey."""
        if self.is_running():
            self._child.terminate()
        try:
            return self._child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait(_STOP_S)

    def kill(self) -> None:
        """Ends it without a chance to clean up."""
        self._child.kill()
        self._child.wait(_STOP_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @classmethod
    def forget_ended(cls) -> None:
        """Drops the logs that no later test can have caused."""
        cls.known = [process for process in cls.known if process.is_running()]
