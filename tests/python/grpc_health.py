"""A server with gRPC's health service (`serve`), or a client that asks one (`ask ADDRESS SERVICE`)."""

import sys
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def serve():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    service = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    service.set("shop", health_pb2.HealthCheckResponse.SERVING)
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
    serve()
else:
    ask(sys.argv[2], sys.argv[3])
