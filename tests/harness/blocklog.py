"""A disk whose every write and flush is logged, and what is left of it when the power fails at some moment.

qemu-storage-daemon serves an image as a file over FUSE and logs what is done to it (format of dm-log-writes: a sector of
superblock, then per entry a sector of header, four little-endian numbers `sector, count, flags, length`, and its data); a loop
device over that file carries a real file system.
"""

import os
import pathlib
import random
import signal
import struct
import subprocess
import threading

from harness import disk
from harness.waiting import until

SECTOR = 512
FLUSH, FUA, DISCARD = 1, 2, 4

# What a file system takes to be written whole or not at all. ext4 writes its blocks anew from its journal whatever became of them.
# XFS does not where the first sector of a block carries the number of the newest change: it looks at the rest, finds it older, and
# is not mounted. It counts on a device that tears no blocks, as drives with sectors of 4 KiB do not.
WHOLE = {"ext4": SECTOR, "xfs": 4096}


def why_not():
    why = disk.why_not("qemu-storage-daemon", "losetup", "mkfs.ext4", "mkfs.xfs")
    return why or (None if pathlib.Path("/dev/fuse").exists() else "there is no /dev/fuse")


class Log:
    """The entries so far; it may be asked from any thread while the disk is used."""

    def __init__(self, path):
        self.file, self.end, self.entries, self.lock = open(path, "rb", buffering=0), SECTOR, [], threading.Lock()

    def position(self):
        """How many entries there are."""
        with self.lock:
            while True:
                header = os.pread(self.file.fileno(), 32, self.end)
                sector, count, flags, length = struct.unpack("<QQQQ", header.ljust(32, b"\0"))
                if not (sector or count or flags):
                    return len(self.entries)
                size = 0 if flags & DISCARD else count * SECTOR
                self.entries.append((sector, count, flags, self.end + SECTOR, size))
                self.end += SECTOR + size

    def data(self, entry):
        _, _, _, at, size = entry
        return os.pread(self.file.fileno(), size, at)


class LoggedDisk:
    """A file system of `kind`, mounted at `<directory>/mnt`, until it is closed."""

    def __init__(self, directory, kind, size):
        self.directory, self.size = pathlib.Path(directory), size
        for name, length in (("base.img", size), ("log.img", 8 << 30), ("disk", 0)):
            with (self.directory / name).open("wb") as file:
                file.truncate(length)
        disk.run(
            "qemu-storage-daemon",
            "--blockdev", f"driver=file,node-name=base,filename={self.directory}/base.img,discard=unmap",
            "--blockdev", f"driver=file,node-name=logf,filename={self.directory}/log.img",
            "--blockdev", "driver=blklogwrites,node-name=lw,file=base,log=logf,log-sector-size=512",
            "--export", f"type=fuse,id=e0,node-name=lw,mountpoint={self.directory}/disk,writable=on,growable=off,allow-other=off",
            "--pidfile", self.directory / "qsd.pid", "--daemonize",
        )
        self.daemon = int((self.directory / "qsd.pid").read_text())
        until(lambda: (self.directory / "disk").stat().st_size == size, "the disk")
        self.log = Log(self.directory / "log.img")
        disk.make(kind, self.directory / "disk")
        self.mounted = disk.Mounted(self.directory / "disk", self.directory / "mnt", direct=False)

    def close(self):
        try:
            self.mounted.close()
        finally:
            os.kill(self.daemon, signal.SIGTERM)
            until(lambda: not pathlib.Path(f"/proc/{self.daemon}").exists(), "the end of the disk")


class Replay:
    """Images of the disk as power cuts leave them, in the order of the cuts: what is flushed is written once for all."""

    def __init__(self, log, directory, kind, size):
        self.log, self.directory, self.whole = log, pathlib.Path(directory), WHOLE[kind]
        self.flushed = self.directory / "flushed.img"
        with self.flushed.open("wb") as file:
            file.truncate(size)
        self.applied = 0

    def cut(self, at, dice):
        """The image after a cut behind the first `at` entries: all up to the last flush, and of the later ones a random
        subset, some of them torn. Returns its path and how many entries were at stake."""
        entries = self.log.entries[:at]
        last = max((n for n, entry in enumerate(entries) if entry[2] & FLUSH), default=-1)
        # Another cut's last flush may lie behind this one's only if cuts came in the wrong order.
        assert self.applied <= last + 1, "cuts in the order of the log"
        with self.flushed.open("r+b", buffering=0) as image:
            for entry in entries[self.applied : last + 1]:
                self.write(image, entry)
        self.applied = last + 1
        path = self.directory / "cut.img"
        subprocess.run(["cp", "--sparse=always", self.flushed, path], check=True)
        at_stake = entries[last + 1 :]
        share = dice.choice((0.0, 0.2, 0.5, 0.8, 1.0))
        with path.open("r+b", buffering=0) as image:
            for entry in at_stake:
                if entry[2] & FUA or dice.random() < share:
                    self.write(image, entry, torn=not entry[2] & FUA and dice.random() < 0.25 and dice)
        return path, len(at_stake)

    def write(self, image, entry, torn=None):
        data = self.log.data(entry)
        if torn:
            # A device may stop after any of what it writes whole.
            start, size = entry[0] * SECTOR, len(data)
            end = start + torn.randint(0, size // SECTOR) * SECTOR
            data = data[: max(end // self.whole * self.whole - start, 0)]
        if data:
            os.pwrite(image.fileno(), data, entry[0] * SECTOR)


def moments(log, first, marks, count, seed):
    """Where to cut: half of them anywhere, half right behind an acknowledgement; in the order of the log."""
    dice, end = random.Random(seed), log.position()
    marks = [mark for mark in marks if mark >= first] or [end]
    choose = lambda: dice.choice(marks) if dice.random() < 0.5 else dice.randint(first, end)
    return sorted(choose() for _ in range(count))
