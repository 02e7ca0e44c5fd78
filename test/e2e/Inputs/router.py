# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A router that the compiler has never seen, compiled and interpreted.

    router.py FOLDER ROUTERS.mlir NAME WORK

compiles the model of FOLDER with --router ROUTERS.mlir@NAME, scores its ids.json, and compares every row's logits and
routing with what the interpreter makes of the same program: at the model phase, where the router is a symbol, and at
the step phase, where it is inlined and its choices are results. Fails beyond 2e-5 of the largest logit or of the
largest weight, where an expert differs, or where the router has changed nothing.
"""

import json
import os
import struct
import subprocess
import sys

from oracle import floats, tensors

TOLERANCE = 2e-5  # kLogitsF32 of lib/reference/tolerances.h


def call(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def write_inputs(path, rows):
    """The rows as one pack: ids, positions, cu_seqlens."""
    ends = [0]
    for row in rows:
        ends.append(ends[-1] + len(row))
    values = {"ids": sum(rows, []), "positions": [p for row in rows for p in range(len(row))], "cu_seqlens": ends}
    header, data = {}, b""
    for name, ints in values.items():
        raw = struct.pack(f"<{len(ints)}i", *ints)
        header[name] = {"dtype": "I32", "shape": [len(ints)], "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def ints(tensor):
    return struct.unpack(f"<{len(tensor[2]) // 4}i", tensor[2])


def distance(have, want):
    return max(abs(a - b) for a, b in zip(have, want, strict=True)) / max(abs(b) for b in want)


def main():
    folder, routers, name, work = sys.argv[1:]
    os.makedirs(work, exist_ok=True)
    at = lambda file: os.path.join(work, file)  # noqa: E731
    ids = os.path.join(folder, "ids.json")
    with open(ids, encoding="utf-8") as file:
        rows = json.load(file)
    write_inputs(at("in.safetensors"), rows)
    router = ["--router", f"{routers}@{name}", "--compute", "f32"]
    call("moe-import", folder, "--quiet", "--name", "m", "-o", at("m.mlir"))
    call("moe-compile", at("m.mlir"), *router, "--entries", "score", "-o", at("m.moe"))
    call("moe-compile", at("m.mlir"), "--compute", "f32", "--entries", "score", "-o", at("own.moe"))
    score = ["--weights", folder, "--ids", ids, "-o", "json", "--logits"]
    call("moe-run", "score", at("m.moe"), *score, at("logits"), "--routing", at("routing"))
    call("moe-run", "score", at("own.moe"), *score, at("own"))
    interpret = {}
    for phase, entry in (("model", "m"), ("step", "score")):
        call("moe-compile", at("m.mlir"), *router, "--entries", "score", "--compile-to", phase, "-o", at(phase + ".mlir"))
        call("moe-opt", at(phase + ".mlir"), f"--moe-interpret={entry}", "--inputs", at("in.safetensors"), "--weights", folder,
             "--outputs", at(phase))
        interpret[phase] = tensors(at(phase))

    compiled, own, routing = tensors(at("logits")), tensors(at("own")), tensors(at("routing"))
    got = [x for r in range(len(rows)) for x in floats(compiled[f"logits.{r}"])]
    before = [x for r in range(len(rows)) for x in floats(own[f"logits.{r}"])]
    worst = max(distance(got, floats(interpret[phase]["logits"])) for phase in interpret)
    layers = sorted({int(key.split(".")[1]) for key in routing})
    idx = [x for layer in layers for r in range(len(rows)) for x in ints(routing[f"layer.{layer}.{r}.idx"])]
    weight = [x for layer in layers for r in range(len(rows)) for x in floats(routing[f"layer.{layer}.{r}.weight"])]
    step = interpret["step"]
    equal = list(ints(step["routing.idx"])) == idx
    weights = distance(weight, floats(step["routing.weight"]))
    change = distance(got, before)
    print(f"{name}: max_rel={worst:.2e} weights={weights:.2e} tol={TOLERANCE} experts_equal={equal} of {len(idx)} "
          f"top_k={routing[f'layer.{layers[0]}.0.idx'][0][1]} layers={len(layers)} change={change:.2f}")
    return 0 if worst <= TOLERANCE and weights <= TOLERANCE and equal and change > 1e-3 else 1


if __name__ == "__main__":
    sys.exit(main())
