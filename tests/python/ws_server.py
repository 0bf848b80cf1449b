"""A WebSocket server that says which version it is, until its standard input ends.

Prints its port first, then the close code of every connection that ended. It echoes all but these:
`who` is answered with the version, `close CODE` closes with that code.
"""

import asyncio
import http
import logging
import sys

import websockets
from websockets.asyncio.server import serve

VERSION = sys.argv[1]

# Handshakes that never come: health checks of a program that is being ended.
logging.disable(logging.CRITICAL)


def health(connection, request):
    if request.path == "/healthz":
        return connection.respond(http.HTTPStatus.OK, "well\n")


async def talk(connection):
    try:
        async for message in connection:
            if message == "who":
                await connection.send(VERSION)
            elif isinstance(message, str) and message.startswith("close "):
                await connection.close(int(message.split()[1]), "as told")
            else:
                await connection.send(message)
    except websockets.ConnectionClosedError:
        pass
    print("closed", connection.close_code, flush=True)


async def main():
    # A queue for all whom the tests let come at once: asyncio's own of 100 has the kernel drop the rest for a second and more.
    async with serve(talk, "127.0.0.1", 0, max_size=None, process_request=health, backlog=1024) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
