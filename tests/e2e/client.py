# SPDX-License-Identifier: Apache-2.0
"""sluice.v1 by gRPC, for what sluicectl cannot do: ask every millisecond, and send what only a hostile client sends."""

import functools
import importlib
import sys
import tempfile

import grpc
from sluice_e2e import PREFIX, ROOT, run


@functools.cache
def messages():
    """The messages of the API, made from its .proto files."""
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        source = ROOT / "userspace"
        run("protoc", f"--proto_path={source}", f"--python_out={folder}", source / "wire" / "resources.proto",
            source / "api" / "sluice.proto")
        sys.path.insert(0, folder)
        try:
            wire, api = importlib.import_module("wire.resources_pb2"), importlib.import_module("api.sluice_pb2")
        finally:
            sys.path.remove(folder)
    return type("Messages", (), {**vars(wire), **vars(api)})


class Client:
    def __init__(self, socket):
        self.channel = grpc.insecure_channel(f"unix:{socket}", options=[("grpc.max_receive_message_length", -1),
                                                                        ("grpc.max_send_message_length", -1)])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def call(self, method, request, reply, timeout=30):
        """One call of "Service/Method"; a refusal is grpc.RpcError."""
        return self.channel.unary_unary(f"/sluice.v1.{method}", request_serializer=type(request).SerializeToString,
                                        response_deserializer=reply.FromString)(request, timeout=timeout)

    def apply(self, *resources, **options):
        api = messages()
        edits = [api.ResourceEdit(put=resource) for resource in resources]
        return self.call("ResourceService/Apply", api.ApplyRequest(edits=edits, **options), api.ApplyResponse)

    def describe(self, kind, name):
        api = messages()
        network, _, short = name.rpartition("/")
        key = api.ResourceKey(kind=api.Kind.Value(kind), network=network, name=short)
        return self.call("NodeService/Describe", api.DescribeRequest(key=key), api.DescribeResponse)

    def pod(self, name, **fields):
        api = messages()
        network, short = name.split("/")
        return api.Resource(pod=api.Pod(network=network, name=short, **fields))

    def ready(self, service):
        """{pod: target port} of the service's backends that get new flows."""
        return {backend.pod.name: backend.target_port for backend in self.describe("SERVICE", service).backends
                if backend.ready}
