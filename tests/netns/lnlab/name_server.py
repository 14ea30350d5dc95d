"""A name server of one kind of answer: name_server.py ADDRESS NAME=IPV4... says A records, and to all else that there is none."""
import socket
import struct
import sys

NXDOMAIN = 3


def question(packet):
    """Name, type, and the octets of the question."""
    at, labels = 12, []
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode().lower())
        at += 1 + packet[at]
    return ".".join(labels), struct.unpack_from(">H", packet, at + 1)[0], packet[12:at + 5]


def answer(packet, names):
    name, kind, asked = question(packet)
    address = names.get(name)
    record = b""
    if address and kind == 1:
        record = struct.pack(">HHHIH", 0xc00c, 1, 1, 5, 4) + socket.inet_aton(address)
    flags = 0x8580 | (0 if address else NXDOMAIN)
    return packet[:2] + struct.pack(">HHHHH", flags, 1, 1 if record else 0, 0, 0) + asked + record


def main():
    names = dict(word.split("=") for word in sys.argv[2:])
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind((sys.argv[1], 53))
        print("listening", flush=True)
        while True:
            packet, peer = sock.recvfrom(1500)
            try:
                sock.sendto(answer(packet, names), peer)
                print("asked", question(packet)[0], flush=True)
            except (IndexError, struct.error, UnicodeDecodeError):
                print("not a question", flush=True)


if __name__ == "__main__":
    main()
