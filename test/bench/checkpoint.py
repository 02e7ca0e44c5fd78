# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes safetensors files tensor by tensor."""
import json
import math
import struct

BYTES = {"F32": 4, "BF16": 2}


def write_tensors(path, dtype, shapes, data):
    """|shapes| by name; data(name, shape) gives the bytes of one, in their order."""
    header, at = {}, 0
    for name, shape in shapes.items():
        end = at + BYTES[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    blob = json.dumps(header).encode()
    blob += b" " * (-len(blob) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(blob)) + blob)
        for name, shape in shapes.items():
            file.write(data(name, shape))
