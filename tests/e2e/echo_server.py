#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An echo server for tests: says its name and the client's address, then sends back every byte that it gets.

TCP: one line "name address port\\n", then the echo. UDP: every datagram is answered by "name address port ".
"""

import argparse
import asyncio


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, name):
        self.name = name

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(f"{self.name} {address[0]} {address[1]} ".encode() + data, address)


async def serve(arguments):
    async def connection(reader, writer):
        try:
            peer = writer.get_extra_info("peername")
            writer.write(f"{arguments.name} {peer[0]} {peer[1]}\n".encode())
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: Datagrams(arguments.name), local_addr=("0.0.0.0", arguments.port))
    server = await asyncio.start_server(connection, "0.0.0.0", arguments.port, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


parser = argparse.ArgumentParser()
parser.add_argument("--name", required=True)
parser.add_argument("--port", type=int, default=8080)
asyncio.run(serve(parser.parse_args()))
