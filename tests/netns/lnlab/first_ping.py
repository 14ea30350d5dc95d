"""Sends an ICMP echo request every few milliseconds until one is answered.

Usage: first_ping.py ADDRESS LIMIT_SECONDS. Prints the CLOCK_MONOTONIC time of the first answer and
exits 0, or exits 1 after the limit. Runs inside a namespace, as root.
"""
import select
import socket
import struct
import sys
import time

EVERY = 0.01


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def main():
    address, limit = sys.argv[1], float(sys.argv[2])
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    sock.setblocking(False)
    end, number, ident = time.monotonic() + limit, 0, 0x4C4E
    while time.monotonic() < end:
        number = (number + 1) & 0xFFFF
        head = struct.pack("!BBHHH", 8, 0, 0, ident, number)
        body = head + b"\0" * 16
        packet = struct.pack("!BBHHH", 8, 0, checksum(body), ident, number) + b"\0" * 16
        try:
            sock.sendto(packet, (address, 0))
        except OSError:
            pass  # no interface or route yet
        until = time.monotonic() + EVERY
        while (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select([sock], [], [], left)
            if not ready:
                break
            data, (source, _) = sock.recvfrom(2048)
            kind, _, _, got = struct.unpack("!BBHH", data[20:26])
            if source == address and kind == 0 and got == ident:
                print(f"{time.monotonic():.6f}")
                return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
