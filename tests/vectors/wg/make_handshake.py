#!/usr/bin/python3
"""Makes handshake.txt: a whole WireGuard handshake, a cookie exchange and two data messages.

Written from the WireGuard paper (sections 5.4.2 to 5.4.7) with hashlib, hmac, python3-cryptography
and PyNaCl only; nothing of linnet runs here, so that agreement means something.
"""
import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as xseal


def h(data):
    return hashlib.blake2s(data).digest()


def mac(key, data):
    return hashlib.blake2s(data, key=key, digest_size=16).digest()


def kdf(n, key, data):
    t0 = hmac.new(key, data, hashlib.blake2s).digest()
    out, last = [], b""
    for i in range(1, n + 1):
        last = hmac.new(t0, last + bytes([i]), hashlib.blake2s).digest()
        out.append(last)
    return out


def aead(key, counter, plain, ad):
    return ChaCha20Poly1305(key).encrypt(b"\0" * 4 + struct.pack("<Q", counter), plain, ad)


def secret(first):
    b = bytearray((first + i * 7) % 256 for i in range(32))
    b[0] &= 248
    b[31] = b[31] & 127 | 64
    return bytes(b)


def public(s):
    return X25519PrivateKey.from_private_bytes(s).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def dh(s, p):
    return X25519PrivateKey.from_private_bytes(s).exchange(X25519PublicKey.from_public_bytes(p))


def stamps(message, receiver, cookie):
    m1 = mac(h(b"mac1----" + receiver), message)
    m2 = mac(cookie, message + m1) if cookie else bytes(16)
    return message + m1 + m2


si, sr, ei, er = secret(1), secret(50), secret(90), secret(140)
psk = bytes(range(200, 232))
stamp = bytes.fromhex("400000006553f10a0b000000")
index_i, index_r = 0x01020304, 0xA0B0C0D0
out = [("static_i", si), ("static_r", sr), ("ephemeral_i", ei), ("ephemeral_r", er), ("psk", psk), ("stamp", stamp)]

chain = h(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
hs = h(h(chain + b"WireGuard v1 zx2c4 Jason@zx2c4.com") + public(sr))
(chain,) = kdf(1, chain, public(ei))
hs = h(hs + public(ei))
chain, key = kdf(2, chain, dh(ei, public(sr)))
static = aead(key, 0, public(si), hs)
hs = h(hs + static)
chain, key = kdf(2, chain, dh(si, public(sr)))
stamped = aead(key, 0, stamp, hs)
hs = h(hs + stamped)
initiation = stamps(struct.pack("<II", 1, index_i) + public(ei) + static + stamped, public(sr), None)
out.append(("initiation", initiation))

(chain,) = kdf(1, chain, public(er))
hs = h(hs + public(er))
(chain,) = kdf(1, chain, dh(er, public(ei)))
(chain,) = kdf(1, chain, dh(er, public(si)))
chain, tau, key = kdf(3, chain, psk)
hs = h(hs + tau)
nothing = aead(key, 0, b"", hs)
response = stamps(struct.pack("<III", 2, index_r, index_i) + public(er) + nothing, public(si), None)
out.append(("response", response))
to_r, to_i = kdf(2, chain, b"")
out += [("key_to_r", to_r), ("key_to_i", to_i)]

packet = bytes.fromhex("4500001c000000004011000064400001644000020001000200080000")
padded = packet + bytes(-len(packet) % 16)
out.append(("packet", packet))
for counter in (0, 7):
    head = struct.pack("<IIQ", 4, index_r, counter)
    out.append((f"data_{counter}", head + aead(to_r, counter, padded, b"")))

checker_secret = bytes(range(32))
source = bytes([192, 0, 2, 77]) + struct.pack(">H", 51820)
nonce = bytes(range(100, 124))
cookie = mac(checker_secret, source)
reply = struct.pack("<II", 3, index_i) + nonce + xseal(cookie, initiation[116:132], nonce, h(b"cookie--" + public(sr)))
out += [("cookie_secret", checker_secret), ("cookie_nonce", nonce), ("cookie_reply", reply),
        ("initiation_with_cookie", stamps(initiation[:116], public(sr), cookie))]

with open("handshake.txt", "w", encoding="ascii") as f:
    for name, value in out:
        f.write(f"{name} {value.hex()}\n")
