"""WebSocket clients that do what the lines of standard input say, one answer per line.

    ADDRESS is the only argument.
    open N      opens N more; says how many each version has: `v1=3 v2=1`
    talk        text, binary and a ping on every one; `ok`
    large SIZE  that many random bytes there and back on the first, compressed and not; `ok`
    end CODE    closes the first with this code, and says what came back
    ask CODE    has the server close the first with this code, and says what came
    closed N    waits until N have closed; says by which codes, and how long it took from the first to the last: `1001=4 0.2`
"""

import asyncio
import collections
import os
import sys
import time

from websockets.asyncio.client import connect

URL = f"ws://{sys.argv[1]}/chat"
LIMIT = 20
OPEN = []


async def one(**options):
    connection = await connect(URL, max_size=None, ping_interval=None, open_timeout=LIMIT, **options)
    await connection.send("who")
    connection.version = await connection.recv()
    return connection


def tally(values):
    return " ".join(f"{value}={count}" for value, count in sorted(collections.Counter(values).items()))


async def open_more(count):
    OPEN.extend(await asyncio.gather(*(one() for _ in range(count))))
    return tally(connection.version for connection in OPEN)


async def talk():
    async def with_one(connection):
        for message in ("grüße", os.urandom(300), ""):
            await connection.send(message)
            assert await connection.recv() == message
        await (await connection.ping())

    await asyncio.gather(*(with_one(connection) for connection in OPEN))
    return "ok"


async def large(size):
    data = os.urandom(size)
    plain = await one(compression=None)
    for connection in (OPEN[0], plain):
        await connection.send(data)
        assert await connection.recv() == data
    # In fragments, with a message of the other side in between.
    await plain.send(data[at:at + 10_000] for at in range(0, 100_000, 10_000))
    assert await plain.recv() == data[:100_000]
    assert OPEN[0].protocol.extensions and not plain.protocol.extensions
    await plain.close()
    return "ok"


async def end(code):
    connection = OPEN.pop(0)
    await connection.close(code)
    return str(connection.close_code)


async def ask(code):
    connection = OPEN.pop(0)
    await connection.send(f"close {code}")
    await connection.wait_closed()
    return f"{connection.close_code} {connection.close_reason}"


async def closed(count):
    times = {}

    async def wait(connection):
        await connection.wait_closed()
        times[connection] = time.monotonic()

    waiting = [asyncio.create_task(wait(connection)) for connection in OPEN]
    while len(times) < count:
        await asyncio.wait([task for task in waiting if not task.done()], return_when=asyncio.FIRST_COMPLETED)
    for connection in times:
        OPEN.remove(connection)
    took = max(times.values()) - min(times.values())
    return f"{tally(connection.close_code for connection in times)} {took:.2f}"


VERBS = {"open": open_more, "talk": talk, "large": large, "end": end, "ask": ask, "closed": closed}


async def main():
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        verb, *arguments = line.split()
        try:
            answer = await asyncio.wait_for(VERBS[verb](*map(int, arguments)), LIMIT)
        except Exception as error:
            answer = f"failed: {error!r}"
        print(answer, flush=True)


asyncio.run(main())
