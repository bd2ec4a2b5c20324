"""A disk of our own: a file system in a loop device, slowed down or recorded. Needs root; `why_not` says what else."""

import os
import pathlib
import shutil
import subprocess

from harness.waiting import until

BLKIO = pathlib.Path("/sys/fs/cgroup/blkio")


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr or done.stdout}"
    return done.stdout.strip()


def why_not(*programs):
    """Why no disk of our own can be made here, or None."""
    if os.geteuid() != 0:
        return "it takes root"
    if not pathlib.Path("/dev/loop-control").exists():
        return "there are no loop devices"
    missing = [program for program in programs if shutil.which(program) is None]
    return f"{missing[0]} is not installed" if missing else None


class Mounted:
    """A file system on a loop device over `image`, mounted at `at` until it is closed."""

    def __init__(self, image, at, direct=True, options="noatime", read_only=False):
        self.at = pathlib.Path(at)
        self.at.mkdir(parents=True, exist_ok=True)
        self.device = run("losetup", "--find", "--show", f"--direct-io={'on' if direct else 'off'}", image)
        try:
            run("mount", "-o", options, self.device, self.at)
        except AssertionError:
            run("losetup", "--detach", self.device)
            raise

    def close(self):
        """A daemon that was killed is gone before its last writes are: until they end the file system is busy."""
        busy = lambda: subprocess.run(["umount", str(self.at)], capture_output=True).returncode != 0  # noqa: E731
        try:
            until(lambda: not busy(), f"umount {self.at}", 30)
        except AssertionError:
            subprocess.run(["umount", "--lazy", str(self.at)], check=False)
            raise
        finally:
            run("losetup", "--detach", self.device)


def make(kind, target, *options):
    """Makes a file system on a device or an image."""
    quiet = {"ext4": ("mkfs.ext4", "-q", "-F", "-E", "nodiscard"), "xfs": ("mkfs.xfs", "-q", "-f", "-K")}[kind]
    run(*quiet, *options, target)


class Slow:
    """Slows the writes of the processes in a control group of its own to one device (cgroup v1, blkio)."""

    @staticmethod
    def why_not():
        file = BLKIO / "blkio.throttle.write_bps_device"
        return None if file.exists() else "there is no blkio control group of version 1"

    def __init__(self, device, name):
        status = os.stat(device)
        self.number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        self.stat = pathlib.Path(f"/sys/block/{pathlib.Path(device).name}/stat")
        self.group = BLKIO / name
        self.group.mkdir(exist_ok=True)

    def under(self):
        """A command to start a process under, so that it belongs to the group."""
        return ["sh", "-c", f'echo $$ > {self.group}/cgroup.procs && exec "$@"', "sh"]

    def set(self, bytes_per_second):
        """0 takes the limit away."""
        (self.group / "blkio.throttle.write_bps_device").write_text(f"{self.number} {bytes_per_second}")

    def sectors_written(self):
        return int(self.stat.read_text().split()[6])

    def close(self):
        self.set(0)
        try:
            self.group.rmdir()
        except OSError:
            pass  # a process of it is still ending
