#!/usr/bin/env python3
"""Draws the output of `perf script` as a flame graph: standard input to an SVG on standard output.

With --folded it prints `frame;frame;… count` lines instead, for other tools.
"""

import html
import re
import sys

WIDTH, ROW, FONT = 1400, 16, 11
HASH = re.compile(r"::h[0-9a-f]{16}$")


def stacks(lines):
    """(frames from the outermost, 1) of each sample."""
    command, frames = None, []
    for line in lines:
        if not line.strip():
            if command is not None:
                yield [command, *reversed(frames)]
            command, frames = None, []
        elif not line[0].isspace():
            command = line.split()[0]
        else:
            _, _, rest = line.strip().partition(" ")
            frames.append(HASH.sub("", rest.rsplit(" (", 1)[0].rsplit("+0x", 1)[0]) or "?")
    if command is not None:
        yield [command, *reversed(frames)]


def tree(samples):
    root = {"count": 0, "below": {}}
    for frames in samples:
        node = root
        node["count"] += 1
        for frame in frames:
            node = node["below"].setdefault(frame, {"count": 0, "below": {}})
            node["count"] += 1
    return root


def depth(node):
    return 1 + max((depth(child) for child in node["below"].values()), default=0)


def draw(name, node, total, left, level, levels, out):
    width = WIDTH * node["count"] / total
    if width < 0.5:
        return
    top = (levels - level - 1) * ROW
    share = 100 * node["count"] / total
    color = f"hsl({(hash_of(name) % 40) + 10}, 75%, {62 + hash_of(name) // 40 % 14}%)"
    text = html.escape(name)
    shown = html.escape(name[: int(width / (FONT * 0.62))]) if width > 25 else ""
    out.append(
        f'<g><title>{text}: {node["count"]} samples, {share:.1f} %</title>'
        f'<rect x="{left:.1f}" y="{top}" width="{max(width - 0.3, 0.3):.1f}" height="{ROW - 1}" fill="{color}"/>'
        f'<text x="{left + 2:.1f}" y="{top + ROW - 5}">{shown}</text></g>'
    )
    for child, below in sorted(node["below"].items()):
        draw(child, below, total, left, level + 1, levels, out)
        left += WIDTH * below["count"] / total


def hash_of(name):
    value = 0
    for character in name:
        value = (value * 31 + ord(character)) % 1_000_003
    return value


def main():
    samples = list(stacks(sys.stdin))
    if "--folded" in sys.argv:
        counts = {}
        for frames in samples:
            counts[";".join(frames)] = counts.get(";".join(frames), 0) + 1
        for frames, count in sorted(counts.items()):
            print(frames, count)
        return
    root = tree(samples)
    levels = depth(root)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {levels * ROW}" width="{WIDTH}" '
        f'font-family="monospace" font-size="{FONT}">'
    ]
    draw("all", root, max(root["count"], 1), 0.0, 0, levels, out)
    print("\n".join([*out, "</svg>"]))


if __name__ == "__main__":
    main()
