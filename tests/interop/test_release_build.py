"""The programs of a release build: hardened, small, and the same bytes from two folders."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
REL = pathlib.Path(os.environ.get("LINNET_REL") or ROOT / "build/rel")
PROGRAMS = ("linnet", "linnetd", "linnet-server")
STRIPPED_MAX = {"linnetd": 1_500_000}

pytestmark = pytest.mark.skipif(not all((REL / name).exists() for name in PROGRAMS),
                                reason=f"{REL} has no release build (./quickstart.sh build)")


def readelf(option, path):
    return subprocess.run(["readelf", "-W", option, path], check=True, capture_output=True, text=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_hardened(name):
    path = REL / name
    header, segments, dynamic = readelf("-h", path), readelf("-l", path), readelf("-d", path)
    imported = readelf("--dyn-syms", path)
    assert "DYN (Position-Independent Executable file)" in header
    assert re.search(r"FLAGS_1\).*\bPIE\b", dynamic), "not marked as position independent"
    assert "GNU_RELRO" in segments
    assert re.search(r"FLAGS_1\).*\bNOW\b", dynamic), "symbols are bound lazily: the relocations stay writable"
    stack = re.search(r"GNU_STACK +\S+ +\S+ +\S+ +\S+ +\S+ +(\w+)", segments)
    assert stack and stack.group(1) == "RW", "the stack may be executed"
    for line in segments.splitlines():
        load = re.match(r" +LOAD +(?:0x\w+ +){5}([RWE ]{3})", line)
        assert not (load and "W" in load.group(1) and "E" in load.group(1)), f"writable code: {line}"
    assert "TEXTREL" not in dynamic
    assert "RPATH" not in dynamic and "RUNPATH" not in dynamic
    assert "__stack_chk_fail" in imported
    assert re.search(r"__(memcpy|snprintf|vsnprintf|read|recv|poll|fprintf)_chk", imported), "not fortified"
    if "X86-64" in header:
        # Debian's crt1.o is not marked, so the linker drops the note of the whole program; our code has the
        # landing pads all the same: endbr64 at the functions whose address is taken.
        assert path.read_bytes().count(b"\xf3\x0f\x1e\xfa") > 100, "built without -fcf-protection"


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_of_the_build_machine(name):
    text = (REL / name).read_bytes()
    assert str(ROOT).encode() not in text
    assert os.fsencode(pathlib.Path.home()) + b"/" not in text


@pytest.mark.parametrize("name", sorted(STRIPPED_MAX))
def test_small(name, tmp_path):
    copy = tmp_path / name
    shutil.copyfile(REL / name, copy)
    subprocess.run(["strip", copy], check=True)
    assert copy.stat().st_size <= STRIPPED_MAX[name]


def test_same_bytes_from_another_folder(tmp_path):
    """The same sources in another folder, built without a cache, give the same programs."""
    for part in ("lib", "src", "proto", "docs", "packaging", "meson.build", "meson_options.txt"):
        here = ROOT / part
        if here.is_dir():
            shutil.copytree(here, tmp_path / "elsewhere" / part)
        else:
            shutil.copyfile(here, tmp_path / "elsewhere" / part)
    build = tmp_path / "elsewhere" / "build" / "rel"
    subprocess.run(["meson", "setup", build, tmp_path / "elsewhere", "--buildtype=release"], check=True,
                   capture_output=True)
    env = {**os.environ, "CCACHE_DISABLE": "1"}
    for folder in (REL, build):
        subprocess.run(["ninja", "-C", folder, *PROGRAMS], check=True, capture_output=True, env=env)
    for name in PROGRAMS:
        here, there = ((folder / name).read_bytes() for folder in (REL, build))
        assert hashlib.sha256(here).hexdigest() == hashlib.sha256(there).hexdigest(), name
