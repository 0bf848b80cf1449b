"""Whether what the tests need can be imported."""

import grpc
import grpc_health.v1.health
import h2
import httpx
import websockets

print(grpc.__version__, httpx.__version__, h2.__version__, websockets.__version__, grpc_health.__name__)
