"""A server with gRPC's health service (`serve [DIRECTORY]`), or a client that asks one (`ask ADDRESS SERVICE`).

With a directory the server speaks TLS and wants to know who comes: `server.pem`, `server.key`, `ca.pem`."""

import pathlib
import sys
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def listen(server, directory):
    if directory is None:
        return server.add_insecure_port("127.0.0.1:0")
    read = lambda name: (pathlib.Path(directory) / name).read_bytes()
    credentials = grpc.ssl_server_credentials(
        [(read("server.key"), read("server.pem"))], read("ca.pem"), require_client_auth=True
    )
    return server.add_secure_port("127.0.0.1:0", credentials)


def serve(directory=None):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    service = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(service, server)
    port = listen(server, directory)
    service.set("shop", health_pb2.HealthCheckResponse.SERVING)
    server.start()
    print(port, flush=True)
    # Each line names what the service says from now on, until there are no more.
    for line in sys.stdin:
        service.set("shop", health_pb2.HealthCheckResponse.ServingStatus.Value(line.strip()))
    server.stop(None)


def ask(address, service):
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
        print(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


if sys.argv[1] == "serve":
    serve(*sys.argv[2:])
else:
    ask(*sys.argv[2:])
