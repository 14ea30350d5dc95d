"""A small Linux guest: Debian's kernel, a few of its modules, busybox and our programs in one initramfs.

The kernel package comes from apt into build/guest (never into the repository) and is unpacked once; the
initramfs is packed for every run, because the programs under test are in it. qemu emulates (TCG), so nothing
is asked of the host but the package qemu-system-x86.
"""
import os
import pathlib
import re
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = pathlib.Path(os.environ.get("LINNET_GUEST") or ROOT / "build/guest")

# What is loaded or asked for; what they depend on comes along.
MODULES = ["wireguard", "veth", "tun", "nf_tables", "nft_ct", "nft_masq", "nft_objref", "nft_chain_nat", "nft_reject_inet",
           "nf_nat", "nf_conntrack", "sch_netem", "crc32c_generic"]
TREES = ["net", "lib", "crypto", "arch/x86/crypto", "drivers/net/wireguard", "drivers/net/veth.ko",
         "drivers/net/tun.ko"]
TOOLS = ["bash", "ip", "tc", "wg", "nft", "ping", "iperf3"]
PROGRAMS = ["linnet", "linnetd", "linnet-server", "tests/interop/uwg_driver"]
NEEDED = ["qemu-system-x86_64", "busybox", "cpio", "depmod", "dpkg-deb", "apt-get", "apt-cache", *TOOLS]


class NoGuest(Exception):
    """This machine cannot run the guest; the text says why."""


def tool(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def run(*words, **more):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr[-800:] or done.stdout[-800:]}")
    return done.stdout


def check_tools():
    missing = [name for name in NEEDED if tool(name) is None]
    if missing:
        raise NoGuest("not installed: " + ", ".join(missing))


def package():
    """The kernel package as a file; fetched when it is not there."""
    have = sorted(FOLDER.glob("linux-image-*.deb"))
    if have:
        return have[-1]
    found = re.search(r"Depends: (linux-image-\S+)", run(tool("apt-cache"), "depends", "linux-image-amd64", timeout=60))
    if found is None:
        raise NoGuest("apt knows no package linux-image-amd64 (apt-get update?)")
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        run(tool("apt-get"), "download", found.group(1), cwd=FOLDER, timeout=300)
    except (RuntimeError, subprocess.TimeoutExpired) as e:
        raise NoGuest(f"the kernel package cannot be fetched: {e}") from e
    return sorted(FOLDER.glob("linux-image-*.deb"))[-1]


def kernel():
    """Folder with boot/vmlinuz-* and the modules of TREES, and the kernel's release."""
    deb = package()
    folder = FOLDER / deb.stem
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        wanted = ["./boot/vmlinuz-*", "./lib/modules/*/modules.builtin*", "./lib/modules/*/modules.order"]
        wanted += [f"./lib/modules/*/kernel/{tree}" for tree in TREES]
        with subprocess.Popen([tool("dpkg-deb"), "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as unpack:
            subprocess.run(["tar", "-x", "-C", str(folder), "--wildcards", *wanted], stdin=unpack.stdout, check=True)
        release = next((folder / "lib/modules").iterdir()).name
        run(tool("depmod"), "-b", folder, release)
        (folder / "complete").touch()
    return folder, next((folder / "lib/modules").iterdir()).name


def modules(folder, release):
    """Paths (below lib/modules/RELEASE) of MODULES and everything they depend on."""
    needs, by_name = {}, {}
    for line in (folder / "lib/modules" / release / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
        by_name[pathlib.Path(path).name.split(".ko")[0].replace("-", "_")] = path
    found, todo = set(), [by_name[name] for name in MODULES if name in by_name]
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += needs[path]
    return sorted(found)


def libraries(program):
    """What the loader wants, as ldd prints it: absolute paths."""
    return re.findall(r"(/\S+)", "\n".join(line.split("=>")[-1] for line in run("ldd", program).splitlines()))


def copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)  # follows links


def pack(programs, script):
    """Writes the initramfs with the programs of a build folder and what it runs; returns (vmlinuz, initramfs)."""
    folder, release = kernel()
    stage = FOLDER / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    for name in ("proc", "sys", "dev", "run", "tmp", "root", "bin", "sbin", "etc", "usr/bin", "var"):
        (stage / name).mkdir(parents=True, exist_ok=True)
    (stage / "var/run").symlink_to("/run")
    copy(tool("busybox"), stage / "bin/busybox")
    for applet in ("sh", "modprobe"):
        (stage / "bin" / applet).symlink_to("busybox")
    (stage / "sbin/modprobe").symlink_to("/bin/busybox")
    binaries = [tool(name) for name in TOOLS] + [str(programs / name) for name in PROGRAMS]
    for path in binaries:
        copy(path, stage / "usr/bin" / pathlib.Path(path).name)
    for path in {lib for binary in binaries for lib in libraries(binary)}:
        copy(path, stage / path.lstrip("/"))
    base = pathlib.Path("lib/modules") / release
    for path in modules(folder, release):
        copy(folder / base / path, stage / base / path)
    for path in (folder / base).glob("modules.builtin*"):
        copy(path, stage / base / path.name)
    copy(folder / base / "modules.order", stage / base / "modules.order")
    run(tool("depmod"), "-b", stage, release)
    copy(HERE / "guest_lab.sh", stage / "root/guest_lab.sh")
    copy(script, stage / "root/script.sh")
    copy(HERE / "guest_init.sh", stage / "init")
    (stage / "init").chmod(0o755)
    names = "\n".join(str(p.relative_to(stage)) for p in sorted(stage.rglob("*")))
    image = FOLDER / "initramfs"
    with image.open("wb") as out:
        subprocess.run([tool("cpio"), "-o", "-H", "newc", "--quiet", "-R", "0:0"], input=names.encode(), cwd=stage,
                       stdout=out, check=True)
    return next((folder / "boot").glob("vmlinuz-*")), image


def boot(programs, limit, script=HERE / "guest_scenarios.sh"):
    """Runs the guest to its end; everything it printed."""
    check_tools()
    vmlinuz, image = pack(programs, script)
    # The guest's clock counts instructions (4 ns each) and skips what is only waiting: what happens in there,
    # throughput included, does not depend on how busy this machine is.
    clock = ["-icount", "shift=2,sleep=off", "-rtc", "clock=vm"]
    command = [tool("qemu-system-x86_64"), "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
               "-accel", "tcg", *clock, "-cpu", "max", "-smp", "1", "-m", "768", "-kernel", str(vmlinuz),
               "-initrd", str(image),
               "-append", "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off random.trust_cpu=on"]
    console = FOLDER / "console.log"
    late = ""
    with console.open("wb") as out:
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=limit,
                           check=False)
        except subprocess.TimeoutExpired:
            late = f"\n@@ guest timeout {limit}\n"
    return console.read_text(errors="replace").replace("\r", "") + late
