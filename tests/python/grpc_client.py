"""A gRPC client of another maker: runs the scenario that is named, and fails if the world is not as it must be."""

import collections
import json
import os
import sys
import threading

import grpc

ADDRESS, SCENARIO, ARGS = sys.argv[1], sys.argv[2], sys.argv[3:]
OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
PATIENCE = 30


def channel():
    if authorities := os.environ.get("GRPC_AUTHORITIES"):
        with open(authorities, "rb") as file:
            return grpc.secure_channel(ADDRESS, grpc.ssl_channel_credentials(file.read()), options=OPTIONS)
    return grpc.insecure_channel(ADDRESS, options=OPTIONS)


def equal(left, right, what=""):
    assert left == right, f"{what}: {left!r} is not {right!r}"


def ends(call):
    return dict(call.initial_metadata()), dict(call.trailing_metadata())


def assert_metadata(call):
    initial, trailing = ends(call)
    equal(initial["x-initial-bin"], b"\x00\xff")
    equal((trailing["x-trailer"], trailing["x-trailer-bin"]), ("both ways", b"\x01\xfe"))
    equal(call.code(), grpc.StatusCode.OK)


def kinds():
    """The four kinds, metadata and trailers both ways, large messages, half-close."""
    with channel() as c:
        echo = {"metadata": (("x-echo", "both ways"), ("x-some-bin", b"\x00\x01")), "timeout": PATIENCE}
        answer, call = c.unary_unary("/test.Echo/Unary").with_call(b"hello", **echo)
        equal(answer, b"hello")
        assert_metadata(call)
        large = bytes(range(256)) * (16 << 12)
        equal(c.unary_unary("/test.Echo/Unary")(large, **echo) == large, True, "16 MiB there and back")
        equal(c.unary_unary("/test.Echo/Unary")(b"", **echo), b"")
        compressed = c.unary_unary("/test.Echo/Unary")(b"z" * 100_000, compression=grpc.Compression.Gzip, **echo)
        equal(compressed, b"z" * 100_000)
        answer, call = c.stream_unary("/test.Echo/ClientStream").with_call(iter([b"a"] * 1000), **echo)
        equal(answer, b"a" * 1000)
        assert_metadata(call)
        call = c.unary_stream("/test.Echo/ServerStream")(b"1000", **echo)
        equal(list(call), [b"%d" % number for number in range(1000)])
        assert_metadata(call)
        heavy = (*echo["metadata"], ("x-repeat", "100000"))
        call = c.unary_stream("/test.Echo/ServerStream")(b"10", metadata=heavy, timeout=PATIENCE)
        equal([len(message) for message in call], [100_000] * 10)
        call = c.unary_stream("/test.Echo/ServerStream")(b"0", **echo)
        equal(list(call), [])
        assert_metadata(call)
        ping_pong(c, echo, 100)


def ping_pong(c, echo, rounds):
    """Each message is sent when the one before has come back: nothing may be held up on the way."""
    turn, done = threading.Semaphore(1), threading.Event()

    def requests():
        for number in range(rounds):
            turn.acquire()
            yield b"%d" % number
        turn.acquire()
        done.set()

    call = c.stream_stream("/test.Echo/Bidi")(requests(), **echo)
    for number in range(rounds):
        equal(next(call), b"%d" % number)
        turn.release()
    equal(next(call), b"after half-close: %d" % rounds)
    equal(list(call), [])
    assert done.is_set()
    assert_metadata(call)


def errors():
    """Every code with its words, before and after the first message; what is not there; an answer before the end."""
    with channel() as c:
        for code in grpc.StatusCode:
            if code == grpc.StatusCode.OK:
                continue
            want = {"metadata": (("x-code", code.name),), "timeout": PATIENCE}
            expect(lambda: c.unary_unary("/test.Echo/Unary")(b"", **want), code, "as wanted: 100 % — ünïcode")
            expect(lambda: list(c.unary_stream("/test.Echo/ServerStream")(b"3", **want)), code, "as wanted")
            expect(lambda: list(c.stream_stream("/test.Echo/Bidi")(iter([b"1"]), **want)), code, "as wanted")
        nowhere = c.unary_unary("/test.Echo/Nowhere")
        expect(lambda: nowhere(b"", timeout=PATIENCE), grpc.StatusCode.UNIMPLEMENTED, "")
        early = c.stream_unary("/test.Echo/ClientStream")
        endless = lambda: iter(lambda: b"a" * 1000, None)
        for _ in range(20):
            want = {"metadata": (("x-early", "1"),), "timeout": PATIENCE}
            expect(lambda: early(endless(), **want), grpc.StatusCode.OUT_OF_RANGE, "enough")


def expect(call, code, words):
    try:
        answer = call()
    except grpc.RpcError as error:
        equal(error.code(), code, error)
        assert words in error.details(), f"{words!r} is not in {error.details()!r}"
    else:
        raise AssertionError(f"{answer!r} instead of {code}")


def one():
    """A call that must end with this code and these words."""
    code, words = grpc.StatusCode[ARGS[0]], ARGS[1]
    with channel() as c:
        expect(lambda: c.unary_unary("/test.Echo/Unary")(b"", timeout=PATIENCE), code, words)


def deadline():
    with channel() as c:
        hanging = {"metadata": (("x-hang", "1"),), "timeout": 0.3}
        expect(lambda: c.unary_unary("/test.Echo/Unary")(b"", **hanging), grpc.StatusCode.DEADLINE_EXCEEDED, "")
        stream = c.unary_stream("/test.Echo/ServerStream")
        expect(lambda: list(stream(b"2", **hanging)), grpc.StatusCode.DEADLINE_EXCEEDED, "")


def cancel():
    """Cancels when it is told to by the end of stdin: a server that had no time to go on after its last message would not even
    learn that there was a call."""
    with channel() as c:
        call = c.unary_stream("/test.Echo/ServerStream")(b"2", metadata=(("x-hang", "1"),))
        equal((next(call), next(call)), (b"0", b"1"))
        sys.stdin.read()
        call.cancel()
        equal(call.code(), grpc.StatusCode.CANCELLED)


def many():
    """A hundred streams on one connection, each going on when all have begun."""
    count = int(ARGS[0])
    all_began = threading.Barrier(count, timeout=PATIENCE)
    failed = []

    def stream(c, number):
        try:
            echo = {"metadata": (("x-echo", "both ways"),), "timeout": PATIENCE}
            gate = threading.Event()

            def requests():
                yield b"first"
                gate.wait(PATIENCE)
                yield b"%d" % number * 10_000

            call = c.stream_stream("/test.Echo/Bidi")(requests(), **echo)
            equal(next(call), b"first")
            all_began.wait()
            gate.set()
            equal(next(call), b"%d" % number * 10_000)
            equal(list(call), [b"after half-close: 2"])
            assert_metadata(call)
        except BaseException as error:
            failed.append(error)

    with channel() as c:
        threads = [threading.Thread(target=stream, args=(c, number)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failed, f"{len(failed)} failed: {failed[0]!r}"


def open_streams():
    """Streams that stay open until they end by themselves; how they ended."""
    count = int(ARGS[0])
    with channel() as c:
        calls = []
        for _ in range(count):
            call = c.unary_stream("/test.Echo/ServerStream")(b"1", metadata=(("x-hang", "1"),))
            equal(next(call), b"0")
            calls.append(call)
        print("open", flush=True)
        codes = collections.Counter()
        for call in calls:
            try:
                list(call)
            except grpc.RpcError as error:
                codes[error.code().name] += 1
        print(json.dumps(codes), flush=True)


def load():
    """Calls one after another from a few threads until stdin ends: how they ended. `ADIT_PAUSE`: seconds between two."""
    metadata = tuple(tuple(pair.split("=")) for pair in ARGS[1:])
    timeout, pause = float(ARGS[0]), float(os.environ.get("ADIT_PAUSE", "0"))
    codes, stop = collections.Counter(), threading.Event()

    def calls(c):
        while not stop.wait(pause):
            try:
                c.unary_unary("/test.Echo/Unary")(b"hello", timeout=timeout, metadata=metadata)
                codes["OK"] += 1
            except grpc.RpcError as error:
                codes[error.code().name] += 1

    with channel() as c:
        threads = [threading.Thread(target=calls, args=(c,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        stop.set()
        for thread in threads:
            thread.join()
    print(json.dumps(codes), flush=True)


globals()[SCENARIO]()
