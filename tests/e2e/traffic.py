# SPDX-License-Identifier: Apache-2.0
"""Traffic with verified bytes: echo servers in pods, live connections, single questions."""

import asyncio
import os
import pathlib
import random
import socket
import subprocess
import threading

from sluice_e2e import socket_in

SERVER = pathlib.Path(__file__).with_name("echo_server.py")


def start_server(namespace, name, port=8080):
    """An echo server in the namespace; returns when it listens."""
    process = namespace.popen("/usr/bin/python3", SERVER, "--name", name, "--port", port, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    assert process.stdout.readline() == b"ready\n", f"the server of {name} did not start"
    return process


def serve(node, *pods, port=8080):
    """Attaches pods (if they are not) and starts a server in each."""
    for pod in pods:
        if pod not in node.pods:
            node.attach(pod)
        start_server(node.pods[pod], pod, port)


def ask_tcp(namespace, address, port, payload=b"question", timeout=3.0):
    """One connection: (server's name, client's address as the server saw it). Checks the echo."""
    with socket_in(namespace.name) as connection:
        connection.settimeout(timeout)
        connection.connect((address, port))
        stream = connection.makefile("rwb")
        name, seen, _ = stream.readline().decode().split()
        stream.write(payload)
        stream.flush()
        assert stream.read(len(payload)) == payload
        return name, seen


def ask_udp(namespace, address, port, payload=b"question", timeout=3.0):
    with socket_in(namespace.name, kind=socket.SOCK_DGRAM) as channel:
        channel.settimeout(timeout)
        channel.connect((address, port))
        channel.send(payload)
        name, seen, _, echo = channel.recv(65536).split(b" ", 3)
        assert echo == payload
        return name.decode(), seen.decode()


class LiveConnections:
    """`count` connections that exchange random blocks and compare every byte, until stop()."""

    def __init__(self, namespace, address, port, count, pause=0.1, block=4096):
        self.target = (address, port)
        self.pause = pause
        self.block = block
        self.sockets = [socket_in(namespace.name) for _ in range(count)]
        self.backend = [None] * count   # name of the server that answered
        self.failure = [None] * count   # text of what broke it
        self.verified = [0] * count     # bytes
        self._stopping = threading.Event()
        self._connected = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def start(self):
        self._thread.start()
        assert self._connected.wait(60), "not all connections were made"
        assert not any(self.failure), next(filter(None, self.failure))
        return self

    async def _run(self):
        self._open = 0
        await asyncio.gather(*(self._one(index) for index in range(len(self.sockets))))

    async def _one(self, index):
        try:
            await self._talk(index)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, ValueError, AssertionError) as error:
            self.failure[index] = f"connection {index} to {self.backend[index]}: {type(error).__name__} {error}"
            self._count_open()

    def _count_open(self):
        self._open += 1
        if self._open >= len(self.sockets):
            self._connected.set()

    async def _talk(self, index):
        loop = asyncio.get_running_loop()
        self.sockets[index].setblocking(False)
        await asyncio.wait_for(loop.sock_connect(self.sockets[index], self.target), 20)
        reader, writer = await asyncio.open_connection(sock=self.sockets[index])
        line = await asyncio.wait_for(reader.readline(), 20)
        self.backend[index] = line.decode().split()[0]
        self._count_open()
        generator = random.Random(index)
        while not self._stopping.is_set():
            block = generator.randbytes(self.block)
            writer.write(block)
            echo = await asyncio.wait_for(reader.readexactly(len(block)), 15)
            assert echo == block, "other bytes came back"
            self.verified[index] += len(block)
            await asyncio.sleep(self.pause * (0.5 + generator.random()))
        writer.close()

    def alive(self):
        return [index for index, failure in enumerate(self.failure) if failure is None]

    def progressed(self, seconds=10):
        """True once every live connection has verified more bytes than now."""
        import time

        before = list(self.verified)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if all(self.verified[index] > before[index] for index in self.alive()):
                return True
            time.sleep(0.05)
        return False

    def stop(self):
        self._stopping.set()
        self._thread.join(30)
        for used in self.sockets:
            used.close()
        return self


def unique_payload():
    return os.urandom(16).hex().encode()
