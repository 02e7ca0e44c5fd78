# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compares a compiled model with what transformers said about it.

    oracle.py logits EXPECT.safetensors GOT.safetensors [TOLERANCE]   largest error over the largest logit
    oracle.py greedy FOLDER MODULE [moe-run flags…]                   16 greedy tokens for each row of ids.json
    oracle.py nll META.json SCORE.json KEY TOLERANCE                  mean nats per token against META[KEY], relative
    oracle.py heldout TEXT META.json OUT.json                         the held-out windows of a trained model as id rows
    oracle.py same A.safetensors B.safetensors                        every tensor equal to the bit
"""
import json
import struct
import subprocess
import sys


def tensors(path):
    raw = open(path, "rb").read()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    return {name: (t["shape"], t["dtype"], raw[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]])
            for name, t in header.items() if name != "__metadata__"}


def floats(tensor):
    return struct.unpack(f"<{len(tensor[2]) // 4}f", tensor[2])


def logits(expect, got, tolerance="2e-5"):
    want, have, worst = tensors(expect), tensors(got), 0.0
    for name in sorted(want):
        a, b = floats(want[name]), floats(have[name])
        assert want[name][0] == have[name][0], f"{name}: shape {have[name][0]}, expected {want[name][0]}"
        worst = max(worst, max(abs(x - y) for x, y in zip(a, b)) / max(abs(x) for x in a))
    print(f"max_rel={worst:.2e} tol={tolerance} tensors={len(want)}")
    return worst <= float(tolerance)


def greedy(folder, module, *flags):
    rows = json.load(open(f"{folder}/ids.json"))
    for row, want in zip(rows, json.load(open(f"{folder}/greedy.json"))):
        out = subprocess.run(["moe-run", "generate", module, "--weights", folder, "--ids", ",".join(map(str, row)),
                              "-n", str(len(want)), "-o", "json", *flags], check=True, capture_output=True, text=True)
        have = json.loads(out.stdout)["ids"]
        if have != want:
            print(f"row of {len(row)}: got {have}, expected {want}")
            return False
    print(f"rows={len(rows)} greedy tokens equal")
    return True


def nll(meta, score, key, tolerance):
    values = [x for line in open(score) if line.strip() for x in json.loads(line)["nll"]]
    mean, want = sum(values) / len(values), json.load(open(meta))[key]
    print(f"tokens={len(values)} nats={mean:.6f} expected={want:.6f} relative={abs(mean - want) / want:.2e} tol={tolerance}")
    return abs(mean - want) <= float(tolerance) * want


def heldout(text, meta, out):
    data, m = open(text, "rb").read(), json.load(open(meta))
    first, width = m["heldout_from"], m["window"]
    json.dump([list(data[first + i * width:first + (i + 1) * width]) for i in range(m["windows"])], open(out, "w"))
    return True


def same(a, b):
    one, two = tensors(a), tensors(b)
    different = [name for name in one.keys() | two.keys() if one.get(name) != two.get(name)]
    print(f"tensors={len(one)} different={different[:5]}")
    return not different


if __name__ == "__main__":
    sys.exit(0 if globals()[sys.argv[1]](*sys.argv[2:]) else 1)
