"""A link between two namespaces with a delay and losses, in user space: not every kernel has netem.

Usage: wire.py NAME NETNS NETNS CONTROL. Makes the device NAME in both; CONTROL is a file with a line
"DELAY_MS LOSS_PERCENT", one way each, read again on SIGHUP. The first frames go both ways once it has said "ready".
"""
import ctypes
import fcntl
import heapq
import os
import pathlib
import random
import selectors
import signal
import struct
import sys
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
FRAME_MAX = 2048


def tap(name, netns):
    """The device's file; this process is in that namespace afterwards."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{netns}") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {netns}")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return device


class Wire:
    def __init__(self, ends, control):
        self.ends, self.control = ends, control
        self.waiting, self.number = [], 0
        self.random = random.Random(1)  # a regular pattern would hit the same kind of message for ever
        self.read_control()

    def read_control(self, *_):
        delay, loss = self.control.read_text().split()
        self.delay, self.loss = float(delay) / 1000, float(loss) / 100

    def take(self, end):
        try:
            frame = os.read(end, FRAME_MAX)
        except BlockingIOError:
            return
        # Only what ARP and neighbour discovery do not need: else nothing at all would pass for seconds.
        is_udp = frame[12:14] == b"\x08\x00" and frame[23] == 17
        if is_udp and self.random.random() < self.loss:
            return
        self.number += 1
        heapq.heappush(self.waiting, (time.monotonic() + self.delay, self.number, end, frame))

    def give(self):
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            _, _, end, frame = heapq.heappop(self.waiting)
            other = self.ends[1] if end == self.ends[0] else self.ends[0]
            try:
                os.write(other, frame)
            except OSError:
                pass  # down, or full: a wire loses

    def run(self):
        poll = selectors.DefaultSelector()
        for end in self.ends:
            poll.register(end, selectors.EVENT_READ)
        while True:
            wait = max(0, self.waiting[0][0] - time.monotonic()) if self.waiting else None
            for key, _ in poll.select(wait):
                self.take(key.fd)
            self.give()


def main():
    name, one, two, control = sys.argv[1:]
    wire = Wire([tap(name, one), tap(name, two)], pathlib.Path(control))
    signal.signal(signal.SIGHUP, wire.read_control)
    print("ready", flush=True)
    wire.run()


main()
