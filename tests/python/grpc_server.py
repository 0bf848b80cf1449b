"""A gRPC server of another maker. Prints its port, then what happens; a line on stdin is a code that every call ends with
from then on ("OK" for none, "HANG" for never). Calls say in their metadata what they want."""

import sys
import threading
from concurrent import futures

import grpc

NAME = sys.argv[1]
state = {"code": "OK"}


def say(*words):
    print(*words, flush=True)


def begin(context):
    """What a call wants, and what every answer begins and ends with."""
    wants = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-version", NAME), ("x-initial-bin", b"\x00\xff")))
    context.set_trailing_metadata((("x-trailer", wants.get("x-echo", "")), ("x-trailer-bin", b"\x01\xfe")))
    context.add_callback(lambda: say("ended", "active" if context.is_active() else "inactive"))
    return wants


def wanted(context):
    wants = dict(context.invocation_metadata())
    code = wants.get("x-code", state["code"])
    return None if code == "OK" else getattr(grpc.StatusCode, code)


def fail_if_wanted(context):
    code = wanted(context)
    if code is not None:
        context.abort(code, "as wanted: 100 % — ünïcode")


def hang(context):
    """Until the call is cancelled, from wherever."""
    ended = threading.Event()
    context.add_callback(ended.set)
    # Without one there is a time left as well: centuries.
    say("hanging", "with" if context.time_remaining() < 3600 else "without", "deadline")
    ended.wait(60)
    say("cancelled")


def unary(request, context):
    wants = dict(context.invocation_metadata())
    if wants.get("x-hang") or state["code"] == "HANG":
        hang(context)
    fail_if_wanted(context)
    begin(context)
    return request


def client_stream(requests, context):
    wants = begin(context)
    if wants.get("x-early"):
        next(requests)
        context.abort(grpc.StatusCode.OUT_OF_RANGE, "enough")
    return b"".join(requests)


def server_stream(request, context):
    wants = begin(context)
    for number in range(int(request)):
        yield b"%d" % number * int(wants.get("x-repeat", "1"))
    if wants.get("x-hang"):
        hang(context)
    fail_if_wanted(context)


def bidi(requests, context):
    begin(context)
    count = 0
    for request in requests:
        count += 1
        yield request
    yield b"after half-close: %d" % count
    fail_if_wanted(context)


class Service(grpc.GenericRpcHandler):
    def service(self, call):
        return {
            "/test.Echo/Unary": grpc.unary_unary_rpc_method_handler(unary),
            "/test.Echo/ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
            "/test.Echo/ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
            "/test.Echo/Bidi": grpc.stream_stream_rpc_method_handler(bidi),
        }.get(call.method)


options = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
server = grpc.server(futures.ThreadPoolExecutor(max_workers=200), handlers=[Service()], options=options)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
say(port)
for line in sys.stdin:
    state["code"] = line.strip()
    say("now", state["code"])
