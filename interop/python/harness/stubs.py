"""gRPC stubs, made from the repository's proto/ when the tests run."""

import dataclasses
import importlib
import sys
from pathlib import Path
from types import ModuleType

from grpc_tools import protoc

from harness.process import REPOSITORY


@dataclasses.dataclass(frozen=True)
class Stubs:
    """The modules that protoc made."""

    v1: ModuleType
    v1_grpc: ModuleType
    v2: ModuleType
    v2_grpc: ModuleType


def make_stubs(folder: Path) -> Stubs:
    """Compiles both APIs into that folder and imports them from there."""
    root = REPOSITORY / "proto"
    files = [str(root / "kms" / api / "api.proto") for api in ("v1beta1", "v2")]
    flags = [f"--proto_path={root}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    status = protoc.main(["protoc", *flags, *files])
    if status != 0:
        raise RuntimeError(f"protoc ended with {status}")
    sys.path.insert(0, str(folder))
    names = ("v1beta1.api_pb2", "v1beta1.api_pb2_grpc", "v2.api_pb2", "v2.api_pb2_grpc")
    return Stubs(*(importlib.import_module(f"kms.{name}") for name in names))
