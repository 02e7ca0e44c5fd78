# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What `moe-run report` makes of a run: the page and tables to the byte, the events read by a reader of our own.

    report.py RUN GOLDEN WORK [--write]
"""

import csv
import json
import math
import pathlib
import shutil
import struct
import subprocess
import sys
import xml.etree.ElementTree as tree

run, golden, work = map(pathlib.Path, sys.argv[1:4])
shutil.rmtree(work, ignore_errors=True)
shutil.copytree(run, work)


def crc32c(data):
    """Bit by bit, as RFC 3720 defines it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283 and crc32c(bytes(32)) == 0x8A9136AA


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(data):
    at = 0
    while at < len(data):
        head = data[at:at + 8]
        (length,), (head_sum,) = struct.unpack("<Q", head), struct.unpack_from("<I", data, at + 8)
        body = data[at + 12:at + 12 + length]
        (body_sum,) = struct.unpack_from("<I", data, at + 12 + length)
        if head_sum != masked(head) or body_sum != masked(body) or len(body) != length:
            sys.exit(f"record at byte {at}: the checksums do not fit")
        yield body
        at += 16 + length


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """Number and value of each field of a message of protocol buffers."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = varint(data, at)
        elif wire == 1:
            value, at = data[at:at + 8], at + 8
        elif wire == 2:
            length, at = varint(data, at)
            value, at = data[at:at + length], at + length
        else:
            assert wire == 5, wire
            value, at = data[at:at + 4], at + 4
        yield number, value


def scalars(data):
    """{(tag, step): value} of a file of events."""
    found, version, times = {}, None, []
    for record in records(data):
        event = dict(fields(record))
        times.append(struct.unpack("<d", event[1])[0])
        version = event.get(3, version)
        for number, value in fields(event.get(5, b"")):
            assert number == 1, number
            parts = dict(fields(value))
            key = parts[1].decode(), event[2]
            assert key not in found, key
            (found[key],) = struct.unpack("<f", parts[2])
    assert version == b"brain.Event:2" and times[0] == 0, (version, times[0])
    return found


def lines(name):
    return [json.loads(line) for line in (run / name).read_text().splitlines() if line.endswith("}")][1:]


done = subprocess.run(["moe-run", "report", work], capture_output=True, text=True, check=False)
if done.returncode:
    sys.exit(done.stderr)

# Every number of the two logs is among the events, rounded to f32, and no other.
expected = {}
for line in lines("metrics.jsonl"):
    step = line.pop("step")
    for key, value in line.items():
        if isinstance(value, float):
            expected["eval/loss" if key == "eval_loss" else "train/" + key, step] = value
for line in lines("experts.jsonl"):
    step, layer = line.pop("step"), line.pop("layer")
    expected.update({(f"experts/layer_{layer}/{key}", step): value for key, value in line.items()})
(events,) = (work / "tensorboard").iterdir()
read = scalars(events.read_bytes())
if read.keys() != expected.keys():
    sys.exit(f"events differ: {sorted(read.keys() ^ expected.keys())[:5]}")
worst = max(abs(read[key] - value) / max(abs(value), 1e-30) for key, value in expected.items() if value)
if worst > 2**-23:
    sys.exit(f"an event is off by {worst}")

# So it is in the tables.
for name, log in (("metrics.csv", lines("metrics.jsonl")), ("experts.csv", lines("experts.jsonl"))):
    rows = list(csv.DictReader((work / name).open()))
    table = {}
    for row in rows:
        table.setdefault((row["step"], row.get("layer")), {}).update(row)
    for line in log:
        row = table[str(line["step"]), str(line["layer"]) if "layer" in line else None]
        for key, value in line.items():
            if key != "skipped" and (row[key] != "" if value is None else not math.isclose(float(row[key]), value)):
                sys.exit(f"{name}: {row} is not {line}")

# The page is whole, runs nothing and asks for nothing.
page = (work / "report.html").read_text()
root = tree.fromstring(page.split("\n", 1)[1])
names = [element.tag.rsplit("}")[-1] for element in root.iter()]
if {"script", "link", "img", "iframe"} & set(names) or "url(" in page or "href" in page:
    sys.exit("the page is not self-contained")
print(f"{len(read)} scalars, largest error {worst:.1e}; page with {names.count('svg')} pictures, {names.count('rect')} squares")
files = ("metrics.csv", "experts.csv", "report.html")
for name in files:
    text = (work / name).read_text().replace(f"<title>{work.name}<", "<title>run<").replace(f"<h1>{work.name}<", "<h1>run<")
    if "--write" in sys.argv:
        (golden / name).write_text(text)
    elif text != (golden / name).read_text():
        sys.exit(f"{name} is not the one of {golden}")
