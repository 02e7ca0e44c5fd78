# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Ways to break a model folder or a file."""

import json
import os
import shutil
import struct

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def model(source, *changes):
    """Makes a copy of the model folder |source| as `m`, changed by each of |changes|."""
    def prepare(folder):
        shutil.copytree(source, folder / "m", ignore=shutil.ignore_patterns(
            "gradients*", "expect*", "curve*", "greedy*", "meta*"))
        for change in changes:
            change(folder / "m")
    return prepare


def read(path):
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8:8 + size]), raw[8 + size:]


def write(path, header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def header(change):
    """|change| edits the header in place, or returns the text of another one."""
    def apply(folder):
        table, data = read(folder / WEIGHTS)
        write(folder / WEIGHTS, change(table) or table, data)
    return apply


def tensor(name, **keys):
    return header(lambda table: table[name].update(keys))


def replace(before, after):
    """Replaces text in the header."""
    def change(table):
        text = json.dumps(table)
        assert text.count(before) >= 1, before
        return text.replace(before, after, 1).encode()
    return header(change)


def length(claimed):
    def apply(folder):
        raw = (folder / WEIGHTS).read_bytes()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", claimed) + raw[8:])
    return apply


def cut(name, keep):
    """Keeps |keep| bytes of a file, or all but the last -|keep|."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep])


def grown(name, more):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes() + more)


def text(name, content):
    raw = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / name).write_bytes(raw)


def sparse(name, size, start=b""):
    def apply(folder):
        (folder / name).write_bytes(start)
        os.truncate(folder / name, size)
    return apply


def gone(name):
    return lambda folder: (folder / name).unlink()


def folder_instead(name):
    def apply(folder):
        if (folder / name).exists():
            (folder / name).unlink()
        (folder / name).mkdir()
    return apply


def link(name):
    """The file moves, and a link of its name leads to it."""
    def apply(folder):
        (folder / name).rename(folder / "elsewhere")
        (folder / name).symlink_to("elsewhere")
    return apply


def pipe(name):
    def apply(folder):
        (folder / name).unlink()
        os.mkfifo(folder / name)
    return apply


def config(**keys):
    """Sets keys of config.json; None as a value removes one, Null() sets null."""
    def apply(folder):
        table = json.loads((folder / "config.json").read_text())
        for key, value in keys.items():
            if value is None:
                del table[key]
            else:
                table[key] = value
        (folder / "config.json").write_text(json.dumps(table))
    return apply


def config_text(before, after):
    def apply(folder):
        content = (folder / "config.json").read_text()
        assert before in content, before
        (folder / "config.json").write_text(content.replace(before, after, 1))
    return apply


def index(change):
    """|change| edits weight_map in place."""
    def apply(folder):
        table = json.loads((folder / INDEX).read_text())
        change(table["weight_map"])
        (folder / INDEX).write_text(json.dumps(table))
    return apply


def shard(folder, number):
    return sorted(folder.glob("model-*.safetensors"))[number]


def flip(name, at, bit=0):
    """Changes one bit; |at| counts from the end if negative, or is computed from the bytes."""
    def apply(folder):
        raw = bytearray((folder / name).read_bytes())
        raw[at(raw) if callable(at) else at] ^= 1 << bit
        (folder / name).write_bytes(raw)
    return apply
