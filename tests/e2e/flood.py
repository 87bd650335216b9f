#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A flood from a device: packets that open a flow or a fragmented datagram each, sent as fast as one process can, until
standard input closes.

Says "ready" when all frames are built, begins at the first line of standard input, and at the end says how many packets
it has sent and in how many seconds.
"""

import argparse
import os
import random
import select
import socket
import struct
import sys
import time

ETHERNET, IP, TCP, UDP = 14, 20, socket.IPPROTO_TCP, socket.IPPROTO_UDP
MORE_FRAGMENTS = 0x2000
POOL = 40000   # different frames; more than the flows that any table of a test holds
BURST = 256    # packets between two looks at standard input


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def transport(protocol, addresses, source_port, port, number):
    """A SYN, or a datagram of eight bytes, with its checksum."""
    if protocol == TCP:
        header = struct.pack("!HHIIBBHHH", source_port, port, number, 0, 5 << 4, 2, 65535, 0, 0)
        at, payload = 16, b""
    else:
        header, at, payload = struct.pack("!HHHH", source_port, port, 16, 0), 6, struct.pack("!Q", number)
    pseudo = addresses + struct.pack("!BBH", 0, protocol, len(header) + len(payload))
    value = checksum(pseudo + header + payload) or 0xFFFF
    return header[:at] + struct.pack("!H", value) + header[at + 2:] + payload


def frame(link, protocol, flags, source, destination, port, choice):
    addresses = source + destination
    inner = transport(protocol, addresses, choice.randrange(1024, 65536), port, choice.getrandbits(32))
    header = struct.pack("!BBHHHBBH", 0x45, 0, IP + len(inner), choice.getrandbits(16), flags, 64, protocol,
                         0) + addresses
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return link + b"\x08\x00" + header + inner


def sources(arguments, choice):
    """The pod's own address, for any other is dropped at once; or any of a prefix of 2^16 addresses."""
    own = socket.inet_aton(arguments.source)
    while True:
        yield own if arguments.one_source else own[:2] + choice.randbytes(2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", required=True)
    parser.add_argument("--to-mac", required=True)
    parser.add_argument("--protocol", choices=["tcp", "udp", "udp-fragments"], required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--one-source", action="store_true")
    parser.add_argument("--destination", required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    channel = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    channel.bind((arguments.device, 0))
    own_mac = channel.getsockname()[4]
    link = bytes.fromhex(arguments.to_mac.replace(":", "")) + own_mac
    choice = random.Random(os.urandom(8))
    protocol = TCP if arguments.protocol == "tcp" else UDP
    flags = MORE_FRAGMENTS if arguments.protocol == "udp-fragments" else 0  # of datagrams that never get on
    destination = socket.inet_aton(arguments.destination)
    each = sources(arguments, choice)
    pool = [frame(link, protocol, flags, next(each), destination, arguments.port, choice) for _ in range(POOL)]
    print("ready", flush=True)
    sys.stdin.readline()
    sent, began, send = 0, time.monotonic(), channel.send
    while not select.select([sys.stdin], [], [], 0)[0]:
        start = sent % POOL
        for one in pool[start:start + BURST]:
            try:
                send(one)
            except OSError:  # the device's queue is full: it is a flood
                continue
        sent += len(pool[start:start + BURST])
    print(sent, time.monotonic() - began, flush=True)


main()
