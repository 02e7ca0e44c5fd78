# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensors as (dtype, shape, flat list) and safetensors files of them."""

import json
import struct

SIZE = {"F32": ("f", "f32"), "I32": ("i", "i32")}


def read(path):
    with open(path, "rb") as file:
        raw = file.read()
    size = struct.unpack("<Q", raw[:8])[0]
    out = {}
    for name, t in json.loads(raw[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = t["data_offsets"]
            dtype = t["dtype"].upper()
            values = struct.unpack(f"<{(end - begin) // 4}{SIZE[dtype][0]}", raw[8 + size + begin:8 + size + end])
            out[name] = (dtype, t["shape"], list(values))
    return out


def write(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, values) in tensors.items():
        raw = struct.pack(f"<{len(values)}{SIZE[dtype][0]}", *values)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def rows(tensor):
    _, shape, values = tensor
    width = len(values) // shape[0]
    return [values[i:i + width] for i in range(0, len(values), width)]


def floats(shape, values):
    return ("F32", list(shape), list(values))


def ints(values, shape=None):
    return ("I32", list(shape or [len(values)]), list(values))


def reshaped(tensor, *shape):
    return (tensor[0], list(shape), tensor[2])


def transposed(tensor):
    """A matrix the other way round."""
    matrix = rows(tensor)
    return (tensor[0], tensor[1][::-1], [row[j] for j in range(tensor[1][1]) for row in matrix])


def stacked(*tensors):
    """One below the other: the first dimension grows."""
    first = tensors[0]
    return (first[0], [sum(t[1][0] for t in tensors), *first[1][1:]], [v for t in tensors for v in t[2]])
