"""Small real file systems on loop devices, for what a disk can do to a server. They need root."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import struct
import subprocess

import pytest

from harness.server import scratch
from harness.waiting import until

MIB = 1 << 20

THAW_SECONDS = 20

XFS_OWN_MIB = 96
"""What XFS takes for its log and keeps back."""

MACHINE = "machine: "
"""How the reason of a skip begins when it is the machine that cannot: told in red, and allowed in CI."""


def run(*command):
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended.stdout


class Volume:
    """A mounted file system of its own."""

    def __init__(self, mib, files=None, kind="ext4"):
        if os.geteuid() != 0 or not shutil.which(f"mkfs.{kind}") or not os.path.exists("/dev/loop-control"):
            pytest.skip(f"{MACHINE}a {kind} of its own needs root, loop devices and mkfs.{kind}")
        self.base = scratch("volume")
        self.image, self.path = self.base / "image", self.base / "mounted"
        self.path.mkdir()
        self.kind = kind
        with self.image.open("wb") as image:
            image.truncate((mib + (XFS_OWN_MIB if kind == "xfs" else 0)) * MIB)
        # Without space that only root may use: the server under test may run as root.
        options = ["-m", "0", "-E", "lazy_itable_init=0"] if kind == "ext4" else ["-K"]
        options += ["-N", str(files)] if files else []
        run(f"mkfs.{kind}", "-q", *options, str(self.image))
        try:
            self.mount()
        except AssertionError as error:
            shutil.rmtree(self.base, ignore_errors=True)
            pytest.skip(f"{MACHINE}no loop mount: {error}")

    def mount(self):
        options = "loop,errors=remount-ro" if self.kind == "ext4" else "loop"
        run("mount", "-o", options, str(self.image), str(self.path))

    def unmount(self):
        # A process that was killed may still be letting go of its files.
        done = lambda: subprocess.run(["umount", str(self.path)], capture_output=True).returncode == 0  # noqa: E731
        if pathlib.Path(self.path).is_mount():
            until(done, f"umount {self.path}", 30)

    def space(self):
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def files(self):
        return os.statvfs(self.path).f_favail

    def fill(self, leave=0):
        """As somebody else does: all but `leave` bytes. Returns the file."""
        filler = self.path / f"filler-{len(list(self.path.iterdir()))}"
        with filler.open("wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                if self.space() > leave + MIB:
                    os.posix_fallocate(file.fileno(), 0, self.space() - leave - MIB // 2)
            with contextlib.suppress(OSError):
                file.seek(0, os.SEEK_END)
                # The server writes beside us: the room is asked for once a turn.
                while (over := self.space() - leave) > 0:
                    file.write(bytes(min(4096, over)))
        return filler

    def fill_files(self, leave=0, name="many"):
        """Takes all inodes but `leave`. Returns their directory."""
        place = self.path / name
        place.mkdir()
        with contextlib.suppress(OSError):
            for n in range(self.files() - leave):
                (place / str(n)).touch()
        return place

    @contextlib.contextmanager
    def frozen(self):
        """The disk hangs: every write waits until the end of the block, which is given what says whether it still does."""
        # Whoever waits for the disk inside a call cannot be interrupted: it must thaw whatever becomes of us.
        thaw = f"timeout {THAW_SECONDS} cat; fsfreeze -u {self.path}"
        keeper = subprocess.Popen(["sh", "-c", thaw], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        run("fsfreeze", "-f", str(self.path))
        try:
            yield lambda: keeper.poll() is None
        finally:
            keeper.stdin.close()
            keeper.wait()

    def turn_read_only(self):
        """What ext4 does when it finds itself damaged."""
        device = pathlib.Path(run("findmnt", "-n", "-o", "SOURCE", str(self.path)).strip()).name
        (pathlib.Path("/sys/fs/ext4") / device / "trigger_fs_error").write_text("a test")

    def repair(self):
        """As an administrator: unmounts, checks, mounts."""
        self.unmount()
        subprocess.run(["e2fsck", "-f", "-y", str(self.image)], capture_output=True, timeout=60)
        self.mount()

    def shut_down(self):
        """The file system stops as after an error of its disk: from here on everything fails."""
        directory = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, 0x8004587D, struct.pack("I", 2))  # EXT4_IOC_SHUTDOWN, without flushing the log
        finally:
            os.close(directory)

    def remove(self):
        self.unmount()
        shutil.rmtree(self.base, ignore_errors=True)
