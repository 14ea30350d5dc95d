"""A management client made of python3-grpcio, PyNaCl and code generated from our .proto files."""
import atexit
import importlib
import json
import os
import pathlib
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import grpc
import nacl.public
import nacl.utils

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVICE = "/management.ManagementService/"


def load_proto(name="management"):
    folder = tempfile.mkdtemp(prefix="linnet-proto-")
    atexit.register(shutil.rmtree, folder, True)
    subprocess.run(["protoc", f"--proto_path={ROOT / 'proto'}", f"--python_out={folder}", "clock.proto", f"{name}.proto"],
                   check=True)
    sys.path.insert(0, folder)
    return importlib.import_module(f"{name}_pb2")


pb = load_proto()


def build_folder():
    for name in ("LINNET_BUILD", "LINNET_BIN"):
        if os.environ.get(name):
            return pathlib.Path(os.environ[name])
    return ROOT / "build" / "dev"


class Host:
    """management_host in a folder of its own."""

    def __init__(self, folder, *args):
        self.folder, self.args = pathlib.Path(folder), [str(a) for a in args]
        self.start()

    def start(self):
        program = build_folder() / "tests" / "interop" / "management_host"
        self.log = open(self.folder / "host.log", "ab")
        self.process = subprocess.Popen([program, self.folder, *self.args], stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline().decode().split()
        assert line[:1] == ["port"], (self.folder / "host.log").read_text()
        self.target = f"127.0.0.1:{line[1]}"

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        self.process.stdout.close()
        self.log.close()
        return status

    def admin(self, noun, verb, **args):
        answer = self.admin_raw({"noun": noun, "verb": verb, "args": args})
        assert answer["ok"], answer
        return answer["result"]

    def admin_raw(self, request):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(str(self.folder / "admin.sock"))
            s.sendall((request if isinstance(request, str) else json.dumps(request)).encode() + b"\n")
            data = b""
            while not data.endswith(b"\n"):
                part = s.recv(65536)
                assert part, "the admin socket was closed"
                data += part
        return json.loads(data)


class Stream:
    """Messages of a server stream, collected by a thread."""

    def __init__(self, call, open_body):
        self.call, self.open_body, self.messages, self.status = call, open_body, queue.Queue(), None
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        try:
            for message in self.call:
                self.messages.put(self.open_body(message))
            self.status = (grpc.StatusCode.OK, "")
        except grpc.RpcError as e:
            self.status = (e.code(), e.details())
        self.messages.put(None)

    def next(self, timeout=5):
        """The next message; None at the end of the stream."""
        return self.messages.get(timeout=timeout)

    def until(self, wanted, timeout=5):
        while True:
            message = self.next(timeout)
            assert message is not None, f"the stream ended: {self.status}"
            if wanted(message):
                return message

    def quiet(self, seconds):
        try:
            message = self.messages.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"a message nobody asked for: {message}")

    def ended(self, timeout=5):
        while self.next(timeout) is not None:
            pass
        return self.status


class Agent:
    def __init__(self, target, name="host", version="0.77.1", capabilities=(1, 2), key=None):
        self.key = key or nacl.public.PrivateKey.generate()
        self.name, self.version, self.capabilities = name, version, list(capabilities)
        self.connect(target)

    def connect(self, target):
        # Windows of 64 KiB that never grow, as agents start with.
        self.channel = grpc.insecure_channel(target, options=[("grpc.max_receive_message_length", 64 << 20),
                                                              ("grpc.http2.bdp_probe", 0)])
        self.server = nacl.public.PublicKey(self.server_key())

    def close(self):
        self.channel.close()

    @property
    def text_key(self):
        import base64
        return base64.b64encode(bytes(self.key.public_key)).decode()

    def raw(self, method, data, timeout=10):
        return self.channel.unary_unary(SERVICE + method)(data, timeout=timeout)

    def server_key(self):
        import base64
        reply = pb.ServerKeyResponse.FromString(self.raw("GetServerKey", b""))
        return base64.b64decode(reply.key)

    def seal(self, plain):
        box = nacl.public.Box(self.key, self.server)
        return pb.EncryptedMessage(wgPubKey=self.text_key, body=bytes(box.encrypt(plain))).SerializeToString()

    def open(self, data):
        message = pb.EncryptedMessage.FromString(data)
        return nacl.public.Box(self.key, self.server).decrypt(message.body)

    def meta(self, **more):
        meta = pb.PeerSystemMeta(hostname=self.name, goOS="linux", netbirdVersion=self.version,
                                 capabilities=self.capabilities)
        for name, value in more.items():
            setattr(meta, name, value)
        return meta

    def login(self, setup_key="", **more):
        request = pb.LoginRequest(setupKey=setup_key, meta=self.meta(), **more)
        return pb.LoginResponse.FromString(self.open(self.raw("Login", self.seal(request.SerializeToString()))))

    def sync(self, meta=True, plain=None, sealed=None):
        if plain is None:
            plain = pb.SyncRequest(meta=self.meta() if meta else None).SerializeToString()
        call = self.channel.unary_stream(SERVICE + "Sync")(sealed or self.seal(plain))
        return Stream(call, lambda data: pb.SyncResponse.FromString(self.open(data)))

    def sync_meta(self, **more):
        request = pb.SyncMetaRequest(meta=self.meta(**more))
        return self.raw("SyncMeta", self.seal(request.SerializeToString()))

    def logout(self):
        return self.raw("Logout", self.seal(b""))
