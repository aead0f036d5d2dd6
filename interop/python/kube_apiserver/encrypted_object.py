"""The message of KMS v2, made from the .proto beside this file when it is first needed."""

import functools
import tempfile
from pathlib import Path
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

_FOLDER = Path(__file__).resolve().parent


@functools.cache
def message() -> Any:
    """The class EncryptedObject."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "descriptors"
        flags = [f"--proto_path={_FOLDER}", f"--descriptor_set_out={out}"]
        status = protoc.main(["protoc", *flags, "encrypted_object.proto"])
        if status != 0:
            raise RuntimeError(f"protoc ended with {status}")
        files = FileDescriptorSet.FromString(out.read_bytes())
    return message_factory.GetMessages(files.file)["kube_apiserver.EncryptedObject"]
