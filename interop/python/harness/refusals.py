"""How calls through Azure's SDK fail."""

import dataclasses
from collections.abc import Callable

import pytest
from azure.core.exceptions import HttpResponseError


@dataclasses.dataclass(frozen=True)
class Refusal:
    """An answer of the vault that is an error."""

    status: int | None
    code: str | None
    # tells one 403 from another
    inner_code: str | None
    message: str
    headers: dict[str, str]

    @property
    def codes(self) -> tuple[int | None, str | None, str | None]:
        """What programs look at."""
        return (self.status, self.code, self.inner_code)


def refusal(call: Callable[[], object], kind: type[HttpResponseError] = HttpResponseError) -> Refusal:
    """The error of a call that must fail with that exception."""
    with pytest.raises(kind) as caught:
        call()
    error = caught.value
    details = error.error
    inner = details.innererror if details else None
    return Refusal(
        error.status_code,
        details.code if details else None,
        str(inner["code"]) if inner else None,
        (details.message if details else None) or error.message,
        dict(getattr(error.response, "headers", {})),
    )
