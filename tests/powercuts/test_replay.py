"""Goal: a cut leaves what a device can leave, and nothing that the file system on it cannot recover from.

Method: a log of one long unflushed write, cut many times: what is left of it is a beginning, of any number of sectors on ext4, and on
XFS an end that lies between two of its blocks, wherever the write began.
"""

import random
import struct

from harness import blocklog

SIZE = 1 << 20
FIRST, SECTORS = 19, 112


def lengths(directory, kind):
    """How much of the write cuts left, in sectors."""
    data = bytes([7]) * (SECTORS * blocklog.SECTOR)
    header = struct.pack("<QQQQ", FIRST, SECTORS, 0, 0).ljust(blocklog.SECTOR, b"\0")
    path = directory / f"{kind}.log"
    path.write_bytes(bytes(blocklog.SECTOR) + header + data)
    log, found = blocklog.Log(path), set()
    end = log.position()
    for seed in range(300):
        image, stake = blocklog.Replay(log, directory, kind, SIZE).cut(end, random.Random(seed))
        assert stake == 1
        left = image.read_bytes()[FIRST * blocklog.SECTOR :].rstrip(b"\0")
        assert left == data[: len(left)]
        found.add(len(left) // blocklog.SECTOR)
    return found


def test_a_torn_write_ends_between_any_sectors_but_on_xfs_between_blocks(tmp_path):
    ext4, xfs = ({FIRST + length for length in lengths(tmp_path, kind) - {0, SECTORS}} for kind in ("ext4", "xfs"))
    assert len(ext4) > 20 and any(end % 8 for end in ext4), ext4
    assert len(xfs) > 5 and not any(end % 8 for end in xfs), xfs
