"""Builds what the guests boot: a kernel, a root file system, an initial RAM disk.

They are kept in a directory of the cache whose name says which kernel and which packages are in it, and are built once:
Debian's packages by debootstrap(8), 2 minutes, mostly downloads. Needs root, apt-get, and the programs in `TOOLS`.
"""

import glob
import hashlib
import os
import re
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
# A program and the package that brings it.
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86", "debootstrap": "debootstrap", "busybox": "busybox-static",
    "cpio": "cpio", "mke2fs": "e2fsprogs", "apt-get": "apt", "dpkg-deb": "dpkg", "chroot": "coreutils",
}
PACKAGES = [
    "nfs-kernel-server", "nfs-common", "rpcbind", "kmod", "iproute2", "strace", "python3-minimal",
    "e2fsprogs", "btrfs-progs", "xfsprogs", "procps", "util-linux", "netbase", "busybox-static",
]
# Unpacked as they are: debootstrap takes the first of their alternatives, which do not go together.
UNPACKED = ["libfuse2", "fuse3", "libfuse3-3", "bindfs"]
# Needed before the root file system is there.
EARLY_MODULES = ["virtio_pci", "virtio_blk", "ext4", "overlay"]
# Folders of kernel modules that no guest has the hardware for.
UNUSED = ["sound", *("drivers/" + name for name in (
    "gpu", "media", "net/wireless", "net/ethernet", "infiniband", "staging", "iio", "hid", "usb", "input"))]


class Missing(Exception):
    """What is needed and not there: a reason to skip."""


def run(*arguments, **options):
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stdout[-2000:]}")
    return done.stdout


def check_tools():
    missing = [package for program, package in TOOLS.items() if not shutil.which(program)]
    if missing:
        raise Missing("needs " + ", ".join(missing))
    if os.uname().machine != "x86_64":
        raise Missing("needs a processor of the kind x86_64")


def newest_kernel():
    """The version of Debian's newest signed kernel for this release, such as 6.12.117+deb12-amd64."""
    wanted = os.environ.get("FLOCK_CACHE_LAB_KERNEL")
    if wanted:
        return wanted
    names = run("apt-cache", "search", "--names-only", r"^linux-image-[0-9.+deb-]+-amd64$")
    found = re.findall(r"^linux-image-([0-9]\S*-amd64) ", names, re.MULTILINE)
    if not found:
        raise Missing("no kernel package is known to apt-get: run apt-get update")
    return max(found, key=lambda version: [int(part) for part in re.findall(r"\d+", version)])


def default_cache():
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.environ.get("HOME", "/root"), ".cache")
    return os.path.join(home, "flock-cache-network")


class Image:
    """The three files. `root` is mounted read-only by all guests at once; what they write is in their memory."""

    def __init__(self, cache, say=print):
        check_tools()
        built = glob.glob(os.path.join(cache, "*", "root.img"))
        text = repr((PACKAGES, UNPACKED, UNUSED))
        mark = hashlib.sha256(text.encode()).hexdigest()[:8]
        own = [path for path in built if os.path.dirname(path).endswith("-" + mark)]
        if own and not os.environ.get("FLOCK_CACHE_LAB_KERNEL"):
            self.kernel_version = os.path.basename(os.path.dirname(max(own, key=os.path.getmtime)))[:-9]
        else:
            self.kernel_version = newest_kernel()
        self.directory = os.path.join(cache, f"{self.kernel_version}-{mark}")
        self.kernel, self.root, self.modules = (
            os.path.join(self.directory, name) for name in ("vmlinuz", "root.img", "modules"))
        if not os.path.exists(self.root):
            if os.getuid():
                raise Missing("needs root to build the guests")
            say(f"building the guests in {self.directory}")
            os.makedirs(cache, exist_ok=True)
            self._build(cache)

    def _build(self, cache):
        # In a directory of its own, which gets its name when it is complete.
        with tempfile.TemporaryDirectory(prefix="building-", dir=cache) as work:
            root, made = os.path.join(work, "root"), os.path.join(work, "made")
            os.makedirs(os.path.join(made, "modules"))
            mirror = run("apt-get", "indextargets", "--format", "$(SITE)").split("\n")[0]
            release = re.search(r"^VERSION_CODENAME=(\w+)", open("/etc/os-release").read(), re.MULTILINE)[1]
            run("debootstrap", "--variant=minbase", "--include=" + ",".join(PACKAGES), release, root, mirror)
            self._unpack(work, root, UNPACKED)
            self._unpack(work, root, ["linux-image-" + self.kernel_version])
            self._trim_modules(root)
            shutil.move(os.path.join(root, "boot", "vmlinuz-" + self.kernel_version), os.path.join(made, "vmlinuz"))
            self._copy_early_modules(root, os.path.join(made, "modules"))
            image = os.path.join(made, "root.img")
            run("truncate", "-s", "900M", image)
            run("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", root, image)
            os.rename(made, self.directory)

    @staticmethod
    def _unpack(work, root, packages):
        folder = tempfile.mkdtemp(dir=work)
        # apt-get downloads as a user of its own.
        os.chmod(work, 0o755)
        os.chmod(folder, 0o777)
        run("apt-get", "download", *packages, cwd=folder)
        for package in os.listdir(folder):
            # Symbolic links such as /lib stay what they are.
            unpack = 'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"'
            run("sh", "-c", unpack, "sh", os.path.join(folder, package), root)

    def _trim_modules(self, root):
        folder = os.path.join(root, "lib/modules", self.kernel_version)
        for name in UNUSED:
            shutil.rmtree(os.path.join(folder, "kernel", name), ignore_errors=True)
        for folder_name in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man"):
            shutil.rmtree(os.path.join(root, folder_name), ignore_errors=True)
        run("chroot", root, "depmod", self.kernel_version)

    def _copy_early_modules(self, root, target):
        order = []
        for module in EARLY_MODULES:
            lines = run("chroot", root, "modprobe", "-S", self.kernel_version, "--show-depends", module)
            for path in re.findall(r"^insmod (\S+)", lines, re.MULTILINE):
                name = os.path.basename(path).removesuffix(".xz")
                if name in order:
                    continue
                order.append(name)
                if path.endswith(".xz"):
                    run("sh", "-c", 'xz -dc "$1" > "$2"', "sh", root + path, os.path.join(target, name))
                else:
                    shutil.copy(root + path, os.path.join(target, name))
        with open(os.path.join(target, "order"), "w", encoding="utf-8") as file:
            file.write("".join(name + "\n" for name in order))

    def make_ram_disk(self, path):
        """The initial RAM disk, with the programs of the folder guest/ as they are now."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("bin", "proc", "sys", "dev"):
                os.mkdir(os.path.join(folder, name))
            shutil.copy(shutil.which("busybox"), os.path.join(folder, "bin"))
            shutil.copytree(self.modules, os.path.join(folder, "modules"))
            shutil.copytree(os.path.join(HERE, "guest"), os.path.join(folder, "guest"))
            shutil.move(os.path.join(folder, "guest", "init"), os.path.join(folder, "init"))
            for name in ("init", *("guest/" + name for name in os.listdir(os.path.join(folder, "guest")))):
                os.chmod(os.path.join(folder, name), 0o755)
            run("sh", "-c", 'find . | cpio -o -H newc 2> /dev/null | gzip -1 > "$1"', "sh", os.path.abspath(path), cwd=folder)
