#!/usr/bin/python3
"""A peer of which nothing is ours: grpcio, PyNaCl and aioice. It joins a network, is in everybody's map,
and answers offers; what comes through its ICE connection is reported, not understood.

Usage: foreign_peer.py URL SETUP_KEY ROLE, where ROLE is what it shall be towards the first peer of its
map (controlling or controlled): keys are drawn until theirs compare so (spec signal-and-connection 2.8).
Speaks JSON lines on its standard output and ends when its standard input does.
"""
import asyncio
import base64
import hashlib
import json
import os
import pathlib
import secrets
import string
import sys
import threading
from urllib.parse import urlparse

import aioice
import grpc
import nacl.public

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from management_client import Agent, load_proto  # noqa: E402

OFFER, ANSWER, CANDIDATE, GO_IDLE = 0, 1, 2, 5
SIGNAL = "/signalexchange.SignalExchange/"
sx = load_proto("signalexchange")


def say(**words):
    print(json.dumps(words), flush=True)


def letters(n):
    return "".join(secrets.choice(string.ascii_letters) for _ in range(n))


class Peer:
    def __init__(self, url, setup_key, role):
        self.url, self.setup_key, self.role = urlparse(url), setup_key, role
        self.target = f"{self.url.hostname}:{self.url.port or 80}"
        self.session, self.conn, self.early, self.connected = secrets.token_bytes(5), None, [], False

    def join(self):
        """Registers and syncs until a map names somebody."""
        looker = Agent(self.target, "looker")
        looker.login(self.setup_key)
        stream = looker.sync()
        first = stream.until(lambda m: m.NetworkMap.remotePeers, 20)
        remote = sorted(first.NetworkMap.remotePeers, key=lambda p: p.fqdn)[0]
        looker.logout()
        looker.close()
        self.remote = remote.wgPubKey
        while True:
            key = nacl.public.PrivateKey.generate()
            text = base64.b64encode(bytes(key.public_key)).decode()
            if (text > self.remote) == (self.role == "controlling"):
                break
        self.agent = Agent(self.target, "foreign", key=key)
        reply = self.agent.login(self.setup_key)
        self.stream = self.agent.sync()
        self.stream.until(lambda m: any(p.wgPubKey == self.remote for p in m.NetworkMap.remotePeers), 20)
        self.box = nacl.public.Box(key, nacl.public.PublicKey(base64.b64decode(self.remote)))
        say(event="joined", address=reply.peerConfig.address, remote=self.remote, key=self.agent.text_key)

    # --- signal -----------------------------------------------------------------------------------
    def listen(self, loop):
        self.channel = grpc.insecure_channel(self.target)
        self.over = threading.Event()
        call = self.channel.stream_stream(SIGNAL + "ConnectStream")

        def nothing():
            self.over.wait()
            return
            yield
        stream = call(nothing(), metadata=(("x-wiretrustee-peer-id", self.agent.text_key),))
        assert dict(stream.initial_metadata()).get("x-wiretrustee-peer-registered") == "1"

        def read():
            try:
                for data in stream:
                    loop.call_soon_threadsafe(self.on_message, data)
            except grpc.RpcError as e:
                if not self.over.is_set():
                    say(event="signal lost", code=str(e.code()))
        threading.Thread(target=read, daemon=True).start()

    def send(self, kind, payload, **more):
        body = sx.Body(type=kind, payload=payload, **more)
        sealed = bytes(self.box.encrypt(body.SerializeToString()))
        message = sx.EncryptedMessage(key=self.agent.text_key, remoteKey=self.remote, body=sealed)
        self.channel.unary_unary(SIGNAL + "Send")(message.SerializeToString(), timeout=5)

    def introduce(self, kind):
        self.send(kind, f"{self.conn.local_username}:{self.conn.local_password}", wgListenPort=51820,
                  netBirdVersion="0.77.1", sessionId=self.session, rosenpassConfig=sx.RosenpassConfig())

    def on_message(self, data):
        message = sx.EncryptedMessage.FromString(data)
        if message.key != self.remote:
            return
        body = sx.Body.FromString(self.box.decrypt(message.body))
        say(event="signal", type=body.type, payload=body.payload if body.type == CANDIDATE else "")
        if body.type in (OFFER, ANSWER):
            self.their_user, self.their_password = body.payload.split(":")
            if body.type == OFFER:
                self.introduce(ANSWER)
            self.known.set()
        elif body.type == CANDIDATE:
            self.incoming.put_nowait(body.payload)

    # --- ICE --------------------------------------------------------------------------------------
    async def feed(self):
        while True:
            line = await self.incoming.get()
            await self.conn.add_remote_candidate(aioice.Candidate.from_sdp(line))

    async def connect(self):
        self.known, self.incoming = asyncio.Event(), asyncio.Queue()
        self.conn = aioice.Connection(ice_controlling=self.role == "controlling", components=1,
                                      stun_server=(self.url.hostname, 3478))
        await self.conn.gather_candidates()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.listen, loop)
        for _ in range(10):  # the other side may not have its new map yet: it then drops an offer
            self.introduce(OFFER)
            try:
                await asyncio.wait_for(self.known.wait(), 2)
                break
            except asyncio.TimeoutError:
                say(event="offered again")
        self.conn.remote_username, self.conn.remote_password = self.their_user, self.their_password
        for candidate in self.conn.local_candidates:
            self.send(CANDIDATE, candidate.to_sdp())
        feeding = asyncio.ensure_future(self.feed())
        await asyncio.sleep(0.5)  # aioice gives up at once when nobody has told it a candidate
        await asyncio.wait_for(self.conn.connect(), 30)
        say(event="connected")
        return feeding

    async def report(self):
        label = hashlib.blake2s(b"mac1----" + bytes(self.agent.key.public_key)).digest()
        while True:
            data = await self.conn.recv()
            ours = len(data) == 148 and data[:4] == b"\1\0\0\0" and hashlib.blake2s(
                data[:116], key=label, digest_size=16).digest() == data[116:132]
            say(event="datagram", size=len(data), type=data[0], initiation_for_us=ours)

    async def run(self):
        self.join()
        feeding = await self.connect()
        reporting = asyncio.ensure_future(self.report())
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        for task in (feeding, reporting):
            task.cancel()
        await self.conn.close()
        say(event="closed")
        self.over.set()
        self.agent.logout()


if __name__ == "__main__":
    asyncio.run(Peer(*sys.argv[1:]).run())
    os._exit(0)  # grpcio's threads may still be reading
