"""The plain-HTTP proxy of the Go plugin's proxy mode: writes down what it is asked, and asks the emulator."""

import dataclasses
import enum
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

import requests

from go_plugin import KeyVersion
from harness.emulator import Info

_TARGET = "x-azure-proxy-target"
_UPSTREAM_S = 10.0
# Belong to one connection, or are made anew by the next client or server.
_HOP_HEADERS = {"host", "connection", "keep-alive", "content-length", "transfer-encoding", _TARGET}
_PROOFS = {"client_assertion", "client_assertion_type", "client_secret"}
# Nothing listens there: a daemon that goes round the proxy fails, and stays on this machine.
_NOWHERE = "127.0.0.1:9"


class Target(enum.StrEnum):
    """Whom a request is for, as its header says."""

    KEY_VAULT = "KeyVault"
    ENTRA_ID = "AzureActiveDirectory"


@dataclasses.dataclass(frozen=True)
class ProxyRequest:
    """What the daemon sent."""

    method: str
    path: str
    # names in lower case
    headers: Mapping[str, str]
    body: bytes

    @property
    def target(self) -> str | None:
        """Whom it is for."""
        return self.headers.get(_TARGET)

    @property
    def form(self) -> dict[str, str]:
        """The body of a token request; a field that stands there twice is an error."""
        fields = parse_qsl(self.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        assert len(dict(fields)) == len(fields), fields
        return dict(fields)

    @property
    def assertion(self) -> str:
        """What stands in for a client secret."""
        return self.form["client_assertion"]

    def headers_to_forward(self) -> dict[str, str]:
        """Without those of this connection."""
        return {name: value for name, value in self.headers.items() if name not in _HOP_HEADERS}


class Proxy:
    """Listens on loopback. Accepts every proof of identity: the tests judge what came."""

    def __init__(self, info: Info, key: KeyVersion) -> None:
        self._info = info
        self._key = key
        self._asked: list[ProxyRequest] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_address[1]

    def asked(self, target: Target | None = None) -> list[ProxyRequest]:
        """All so far, or those for one service; oldest first."""
        return [request for request in self._asked.copy() if target in (None, request.target)]

    def forget(self) -> None:
        """Drops what was written down."""
        self._asked.clear()

    def daemon_flags(self) -> list[str]:
        """The flags that make the daemon use it, and nothing else."""
        return [
            f"--keyvault-name={self._key.vault_host.split('.')[0]}",
            f"--key-name={self._key.name}",
            f"--key-version={self._key.version}",
            "--proxy-mode",
            "--proxy-address=127.0.0.1",
            f"--proxy-port={self.port}",
            f"--connect-to={self._info.vault_host}={_NOWHERE}",
            f"--connect-to={self._info.authority_host}={_NOWHERE}",
        ]

    def answer(self, request: ProxyRequest) -> requests.Response:
        """Notes the request, and asks the service that its header names."""
        self._asked.append(request)
        url, body = self._upstream(request)
        return requests.request(
            request.method, url, headers=request.headers_to_forward(), data=body, timeout=_UPSTREAM_S
        )

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _upstream(self, request: ProxyRequest) -> tuple[str, bytes | dict[str, str]]:
        match request.target:
            case Target.KEY_VAULT:
                return f"https:/{request.path}", request.body
            case Target.ENTRA_ID:
                return f"https://{self._info.authority_host}{request.path}", self._with_secret(request)
        raise ValueError(f"{_TARGET} is {request.target}")

    def _with_secret(self, request: ProxyRequest) -> dict[str, str]:
        """The same request for a token, with a proof that the emulator knows from the start."""
        form = {name: value for name, value in request.form.items() if name not in _PROOFS}
        return {**form, "client_secret": self._info.client_secret}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # an answer leaves in one piece
        wbufsize = -1

        def do_GET(self) -> None:  # noqa: N802 - the name is given
            self._pass_on()

        def do_POST(self) -> None:  # noqa: N802 - the name is given
            self._pass_on()

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = ProxyRequest(self.command, self.path, headers, body)
            try:
                self._reply(proxy.answer(request))
            except (ValueError, requests.RequestException) as error:
                self.send_error(502, str(error))

        def _reply(self, answer: requests.Response) -> None:
            self.send_response_only(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_HEADERS | {"content-encoding"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is given
            pass

    return Handler
