# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs the kernels of one router and the reference on random rows.

    run_route.py ROUTER.mlir FOLDER [--tokens N] [--per-block N] [--seed N] [--scale X]

The reference interpreter runs the program before any pass; the PTX of
--moe-to-nvvm runs on the machine of ptx.py. Indices and the plan must be equal,
weights within 1e-5. The gates have scores far enough apart for that."""

import argparse
import json
import os
import random
import re
import struct
import subprocess
import sys

from ptx import Kernel, Memory

DTYPES = {"F32": ("f", 4), "I32": ("i", 4)}


def write_safetensors(path, tensors):
    header, blob = {}, b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(blob), len(blob) + len(data)]}
        blob += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + blob)


def read_safetensors(path):
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    result = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        code, each = DTYPES[entry["dtype"]]
        result[name] = struct.unpack(f"<{(end - begin) // each}{code}", data[8 + size + begin:8 + size + end])
    return result


def values(rng, count, scale, bf16):
    data = struct.pack(f"<{count}f", *(rng.uniform(-scale, scale) for _ in range(count)))
    if not bf16:
        return "F32", data
    return "BF16", b"".join(data[i + 2:i + 4] for i in range(0, len(data), 4))


def unpack(data, code):
    return struct.unpack(f"<{len(data) // 4}{code}", data)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("--tokens", type=int, default=21)
    parser.add_argument("--per-block", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1, help="size of the elements of rows and gates; 0 makes all scores equal")
    options = parser.parse_args()
    with open(options.program, encoding="utf-8") as file:
        text = file.read()
    signature = re.search(r"func.func @route\((.*?)\) -> \(!moe.plan<(\d+), (\d+)>", text)
    experts, k = int(signature.group(2)), int(signature.group(3))
    rng = random.Random(options.seed)
    tensors, tokens = {}, options.tokens
    for i, (shape, dtype) in enumerate(re.findall(r"tensor<([\dx?]+)x(f32|bf16)>", signature.group(1))):
        dims = [tokens if dim == "?" else int(dim) for dim in shape.split("x")]
        count = 1
        for dim in dims:
            count *= dim
        tensors[f"arg{i}"] = (lambda d, b: (d, dims, b))(*values(rng, count, options.scale if len(dims) == 2 else 0.3, dtype == "bf16"))
    inputs, outputs, lowered = (os.path.join(options.folder, name) for name in ("in.safetensors", "out.safetensors", "lowered.mlir"))
    write_safetensors(inputs, tensors)
    subprocess.run(["moe-opt", options.program, "--moe-interpret=route", "--inputs", inputs, "--outputs", outputs], check=True)
    want = read_safetensors(outputs)
    ptx = subprocess.run(["moe-opt", options.program, "--moe-to-nvvm=functions=true chip=sm_80", "--moe-print-ptx", "-o", lowered],
                         check=True, capture_output=True, text=True).stdout

    memory, undefined = Memory(), b"\xcd\xcd\xcd\xcd"
    # The operands of the operation, rows first, are arguments of the program in an order of their own.
    with open(lowered, encoding="utf-8") as file:
        operands = re.search(r"moe.route_permute %(\w+) params\((.*?)\)", file.read())
    names = [operands.group(1), *re.findall(r"%(\w+)", operands.group(2))]
    sources = [memory.put(tensors[name][2]) for name in names]
    blocks = -(-tokens // options.per_block)
    idx, weights, slot2row, row2slot = (memory.put(undefined * tokens * k) for _ in range(4))
    counts, bases = (memory.put(undefined * blocks * experts) for _ in range(2))
    offsets = memory.put(undefined * (experts + 1))
    launches = [("moe_route_0", blocks, [*sources, idx, weights, counts, tokens, options.per_block]),
                (f"moe_plan_scan_e{experts}", 1, [counts, bases, offsets, blocks]),
                (f"moe_plan_place_e{experts}_k{k}", blocks, [idx, bases, offsets, slot2row, row2slot, tokens, options.per_block])]
    for name, grid, arguments in launches:
        Kernel(ptx, name, memory).launch(grid, arguments, options.seed)

    for name, buffer in (("idx", idx), ("offsets", offsets), ("slot2row", slot2row), ("row2slot", row2slot)):
        got = unpack(memory.get(buffer), "i")
        if got != want["result0." + name]:
            sys.exit(f"{name}: got {got}\nwant {want['result0.' + name]}")
    error = max(abs(a - b) for a, b in zip(unpack(memory.get(weights), "f"), want["result1"]))
    limit = 1e-5 * max(map(abs, want["result1"]))
    print(f"{tokens} tokens, {blocks} blocks: plan equal, weights within {error:.2e} (at most {limit:.2e})")
    if not error <= limit:
        sys.exit("the weights differ too much")


if __name__ == "__main__":
    main()
