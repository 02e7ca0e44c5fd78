# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Quantised copies of fixtures: what pack entries make of them must give the bits of the numbers they stand for.

    quantized.py FIXTURES WORK

Each case writes two folders, one quantised and one with the plain numbers, compiles both and compares the logits byte by
byte. Then folders with damaged scales must be refused in one line.
"""

import bisect
import json
import math
import os
import shutil
import struct
import subprocess
import sys

import oracle

SMALL = [0, .5, 1, 1.5, 2, 3, 4, 6]


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def bf16(x):
    bits = struct.unpack("<I", struct.pack("<f", x))[0]
    return struct.pack("<H", (bits + 0x7fff + (bits >> 16 & 1)) >> 16)


def e4m3(bits):
    """The number of a byte; no infinity, 0x7f is no number."""
    exponent, fraction = bits >> 3 & 15, bits & 7
    value = fraction * 2.0 ** -9 if exponent == 0 else (8 + fraction) * 2.0 ** (exponent - 10)
    return -value if bits & 128 else value


POSITIVE = [e4m3(bits) for bits in range(127)]


def nearest(table, x):
    at = min(bisect.bisect_left(table, abs(x)), len(table) - 1)
    return at - (at > 0 and abs(x) - table[at - 1] < table[at] - abs(x))


def numbers(dtype, raw):
    if dtype == "BF16":
        return [struct.unpack("<f", b"\0\0" + raw[i:i + 2])[0] for i in range(0, len(raw), 2)]
    return list(struct.unpack(f"<{len(raw) // 4}f", raw))


def stored(dtype, values):
    return b"".join(map(bf16, values)) if dtype == "BF16" else struct.pack(f"<{len(values)}f", *values)


def write(folder, config, tensors):
    os.makedirs(folder)
    table, at = {}, 0
    for name, (shape, dtype, raw) in tensors.items():
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    with open(f"{folder}/model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(raw for _, _, raw in tensors.values()))
    with open(f"{folder}/config.json", "w", encoding="utf-8") as file:
        json.dump(config, file)


def fp8(tensors, rows, columns):
    """Two tables: matrices in blocks of e4m3, and what they stand for."""
    small, plain = {}, {}
    for name, (shape, dtype, raw) in tensors.items():
        if len(shape) != 2 or not name.endswith("_proj.weight") and "kv_a_proj" not in name:
            small[name] = plain[name] = (shape, dtype, raw)
            continue
        n, k = shape
        values, codes, back = numbers(dtype, raw), bytearray(n * k), [0.0] * (n * k)
        across = math.ceil(k / columns)
        scales = [0.0] * (math.ceil(n / rows) * across)
        place = [i // k // rows * across + i % k // columns for i in range(n * k)]
        for i, x in enumerate(values):
            scales[place[i]] = max(scales[place[i]], abs(x) / 448)
        scales = [f32(x) for x in scales]
        for i, x in enumerate(values):
            codes[i] = nearest(POSITIVE, x / scales[place[i]]) | (128 if x < 0 else 0)
            back[i] = f32(e4m3(codes[i]) * scales[place[i]])
        small[name] = (shape, "F8_E4M3", bytes(codes))
        small[f"{name}_scale_inv"] = ([math.ceil(n / rows), across], "F32", stored("F32", scales))
        plain[name] = (shape, dtype, stored(dtype, back))
    return small, plain


def mxfp4(tensors):
    """Experts of gpt_oss, stored as [E, in, out], in blocks of [E, out, in / 32, 16 bytes]."""
    small, plain = {}, {}
    for name, (shape, dtype, raw) in tensors.items():
        if not name.endswith(("gate_up_proj", "down_proj")):
            small[name] = plain[name] = (shape, dtype, raw)
            continue
        experts, inner, outer = shape
        values, back = numbers(dtype, raw), [0.0] * (experts * inner * outer)
        blocks, scales = bytearray(), bytearray()
        for row in range(experts * outer):
            start = row // outer * inner * outer + row % outer
            for first in range(0, inner, 32):
                places = [start + i * outer for i in range(first, first + 32)]
                exponent = math.ceil(math.log2(max(abs(values[i]) for i in places) / 6))
                halves = [nearest(SMALL, values[i] * 2.0 ** -exponent) | (8 if values[i] < 0 else 0) for i in places]
                for i, half in zip(places, halves):
                    back[i] = SMALL[half & 7] * 2.0 ** exponent * (-1 if half & 8 else 1)
                blocks += bytes(low | high << 4 for low, high in zip(halves[::2], halves[1::2]))
                scales.append(exponent + 127)
        small[f"{name}_blocks"] = ([experts, outer, inner // 32, 16], "U8", bytes(blocks))
        small[f"{name}_scales"] = ([experts, outer, inner // 32], "U8", bytes(scales))
        plain[name] = (shape, dtype, stored(dtype, back))
    return small, plain


def call(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def score(folder, ids, compute):
    module, logits = f"{folder}.{compute}.moe", f"{folder}.{compute}.logits"
    for command in (("moe-compile", folder, "--compute", compute, "--target", "cpu:native", "-o", module),
                    ("moe-run", "score", module, "--weights", folder, "--ids", ids, "--logits", logits)):
        done = call(*command)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: exit {done.returncode}: {done.stderr}")
    return oracle.tensors(logits)


def refused(folder, code, command):
    done = call(*command)
    lines = [line for line in done.stderr.splitlines() if "error" in line]
    good = done.returncode in (3, 5) and len(lines) == 1 and f"MOE-{code}" in lines[0]
    print(f"{os.path.basename(folder)}: {lines[0] if lines else done.returncode}")
    return good


def load(fixture):
    with open(f"{fixture}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    return config, oracle.tensors(f"{fixture}/model.safetensors")


def case(name, fixture, quantization, split, compute):
    config, tensors = load(fixture)
    small, plain = split(tensors)
    write(f"{work}/{name}", {**config, "quantization_config": quantization}, small)
    write(f"{work}/{name}-plain", config, plain)
    one, two = (score(f"{work}/{folder}", f"{fixture}/ids.json", compute) for folder in (name, f"{name}-plain"))
    same = len(small) > len(plain) and len(one) == 3 and one == two
    values = [x for tensor in one.values() for x in oracle.floats(tensor)]
    print(f"{name} {compute}: {len(small) - len(plain)} tensors with scales, {len(values)} logits, "
          f"largest {max(map(abs, values)):.3f}: {'same bits' if same else 'DIFFER'}")
    return same


def damaged(name, scales, change):
    """A folder in which the tensor |scales| is another, and the module of the sound folder."""
    with open(f"{work}/{name}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    tensors = dict(oracle.tensors(f"{work}/{name}/model.safetensors"))
    shape, dtype, raw = tensors.pop(scales)
    if changed := change(shape, dtype, raw):
        tensors[scales] = changed
    folder = f"{work}/{name}-damaged"
    shutil.rmtree(folder, ignore_errors=True)
    write(folder, config, tensors)
    return folder


def check_damage(name, fixture, scales, bad):
    good = True
    module = f"{work}/{name}.f32.moe"
    for code_import, code_run, change in (
            ("W101", "W101", lambda shape, dtype, raw: None),
            ("W102", "W102", lambda shape, dtype, raw: ([len(raw) // (4 if dtype == "F32" else 1), 1, 1], dtype, raw)),
            ("W110", "W103", lambda shape, dtype, raw: (shape, "I32" if dtype == "F32" else "I8", raw)),
            (None, "W111", lambda shape, dtype, raw: (shape, dtype, bad + raw[len(bad):]))):
        folder = damaged(name, scales, change)
        run = ("moe-run", "score", module, "--weights", folder, "--ids", f"{fixture}/ids.json")
        good &= refused(folder, code_run, run)
        good &= code_import is None or refused(folder, code_import, ("moe-import", folder, "-o", f"{folder}.mlir"))
    return good


fixtures, work = sys.argv[1:]
shutil.rmtree(work, ignore_errors=True)
os.makedirs(work)
block = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic"}
good = case("fp8", f"{fixtures}/deepseek_v3-1", {**block, "weight_block_size": [8, 5]}, lambda t: fp8(t, 8, 5), "f32")
good &= case("fp8-of-bf16", f"{fixtures}/deepseek_v3-4", {**block, "weight_block_size": [128, 128]},
             lambda t: fp8(t, 128, 128), "bf16")
good &= case("mxfp4", f"{fixtures}/gpt_oss-6", {"quant_method": "mxfp4"}, mxfp4, "f32")
good &= check_damage("fp8", f"{fixtures}/deepseek_v3-1", "model.layers.0.self_attn.o_proj.weight_scale_inv",
                     struct.pack("<f", math.inf))
good &= check_damage("mxfp4", f"{fixtures}/gpt_oss-6", "model.layers.1.mlp.experts.down_proj_scales", b"\xff")
print("quantised folders agree" if good else "FAILED")
sys.exit(not good)
