"""The command line, on a pipe and on a terminal."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios

from harness.server import binary

SECONDS = 120


def tessera(*arguments, **options):
    """A command on a pipe."""
    command = [str(binary()), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, **options)


def lines(ended):
    """The NDJSON of a command that went well."""
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def screen(*arguments, columns=None, **options):
    """What a command prints on a terminal, standard error too, byte for byte but for the terminal's own \\r."""
    ours, theirs = pty.openpty()
    if columns:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([str(binary()), *map(str, arguments)], stdin=theirs, stdout=theirs, stderr=theirs, **options)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:
        pass  # the other side is closed: all of it was read
    finally:
        os.close(ours)
    assert process.wait(SECONDS) == 0, shown
    return shown.decode().replace("\r\n", "\n")
