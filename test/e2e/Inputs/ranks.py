# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The same program on one rank and on several, equal to the bit.

    ranks.py layer LAYER.mlir WORK      a layer with ragged, empty and one-sided shares of tokens on 2 and 4 ranks,
                                        compiled and interpreted
    ranks.py model FOLDER WORK COMPUTE  logits and routing of a model whose experts are spread over 2 ranks
"""

import os
import random
import struct
import subprocess
import sys

from oracle import floats, tensors

E, D, I, K = 8, 16, 12, 3


def call(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr}")


def save(path, values):
    """values: name -> (shape, list of floats or ints)."""
    header, data = [], b""
    for name, (shape, items) in values.items():
        integers = all(isinstance(item, int) for item in items) and name in ("ids", "positions", "cu_seqlens")
        raw = struct.pack(f"<{len(items)}{'i' if integers else 'f'}", *items)
        header.append(f'"{name}":{{"dtype":"{"I32" if integers else "F32"}","shape":{list(shape)},'
                      f'"data_offsets":[{len(data)},{len(data) + len(raw)}]}}')
        data += raw
    text = ("{" + ",".join(header) + "}").encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def joined(paths, name):
    """The bytes of the rows of all ranks, one behind another."""
    return b"".join(tensors(path)[name][2] for path in paths)


def layer_case(label, work, counts, x, weights):
    ranks, gate, up, down = len(counts), *weights
    inputs, outputs = f"{work}/in.{{rank}}.safetensors", f"{work}/out.{{rank}}.safetensors"
    whole = {"x": ((len(x) // D, D), x), "gate": ((E, D), gate), "up": ((E, 2 * I, D), up), "down": ((E, D, I), down)}
    save(f"{work}/one.safetensors", whole)
    start, here = 0, E // ranks
    for rank, count in enumerate(counts):
        share = lambda v, size: v[rank * here * size:(rank + 1) * here * size]
        save(f"{work}/in.{rank}.safetensors",
             {"x": ((count, D), x[start * D:(start + count) * D]), "gate": ((E, D), gate),
              "up": ((here, 2 * I, D), share(up, 2 * I * D)), "down": ((here, D, I), share(down, D * I))})
        start += count
    of_ranks = [outputs.format(rank=rank) for rank in range(ranks)]
    call("moe-run", "call", f"{work}/layer1.moe", "layer", "--inputs", f"{work}/one.safetensors", "--outputs",
         f"{work}/one.out")
    want = joined([f"{work}/one.out"], "y")
    assert len(want) == 4 * len(x), f"{label}: {len(want)} bytes for {len(x)} numbers"
    call("moe-run", "call", f"{work}/layer{ranks}.moe", "layer", "--channel", f"sim:{ranks}", "--inputs", inputs,
         "--outputs", outputs)
    compiled = joined(of_ranks, "y") == want
    mlir = f"{work}/layer.mlir"
    call("moe-opt", mlir, "--moe-interpret=layer", "--inputs", f"{work}/one.safetensors", "--outputs", f"{work}/one.ref")
    call("moe-opt", mlir, f"--moe-partition-experts=mesh=dp={ranks},ep={ranks}", "--verify-local",
         "--moe-interpret=layer", "--ranks", ranks, "--inputs", inputs, "--outputs", outputs)
    reference = joined([f"{work}/one.ref"], "y")
    interpreted = joined(of_ranks, "y") == reference
    pairs = list(zip(floats((0, 0, want)), floats((0, 0, reference))))
    largest = max((abs(b) for _, b in pairs), default=1.0)
    error = max((abs(a - b) for a, b in pairs), default=0.0) / largest
    print(f"{label}: tokens {counts}, compiled {'equal' if compiled else 'DIFFERENT'}, "
          f"interpreted {'equal' if interpreted else 'DIFFERENT'}, compiled against interpreted {error:.1e}")
    return compiled and interpreted and error < 1e-5


def layer(source, work):
    os.makedirs(work, exist_ok=True)
    mlir = f"{work}/layer.mlir"
    with open(mlir, "w", encoding="utf-8") as file:
        file.write(open(source, encoding="utf-8").read())
    call("moe-compile", mlir, "-o", f"{work}/layer1.moe")
    for ranks in (2, 4):
        call("moe-compile", mlir, "--mesh", f"dp={ranks},ep={ranks}", "-o", f"{work}/layer{ranks}.moe")
    number = random.Random(7)
    normal = lambda n, scale=1.0: [number.gauss(0, scale) for _ in range(n)]
    weights = normal(E * D), normal(E * 2 * I * D, 0.25), normal(E * D * I, 0.25)
    good = True
    for counts in ((5, 3), (0, 6), (7, 0), (0, 0), (1, 40), (3, 0, 50, 1), (0, 0, 0, 9)):
        good &= layer_case("ragged", work, counts, normal(sum(counts) * D), weights)
    # Every token alike: all rows go to the same experts, on one rank or two.
    row = normal(D)
    for counts in ((30, 2), (9, 0, 9, 0)):
        good &= layer_case("one-sided", work, counts, row * sum(counts), weights)
    return good


def model(folder, work, compute):
    os.makedirs(work, exist_ok=True)
    flags = ["--entries", "score", "--compute", compute]
    call("moe-compile", folder, *flags, "-o", f"{work}/one.moe")
    call("moe-compile", folder, *flags, "--mesh", "dp=2,ep=2", "-o", f"{work}/two.moe")
    number = random.Random(3)
    good = True
    for lengths in ([[19, 4], [30]], [[25], []]):
        rows = [[[number.randrange(50) for _ in range(n)] for n in rank] for rank in lengths]

        def pack(path, rows):
            ends = [0]
            for row in rows:
                ends.append(ends[-1] + len(row))
            if len(ends) == 1:
                ends.append(0)
            save(path, {"ids": ((ends[-1],), sum(rows, [])), "cu_seqlens": ((len(ends),), ends),
                        "positions": ((ends[-1],), [p for row in rows for p in range(len(row))])})
        pack(f"{work}/one.in", rows[0] + rows[1])
        for rank in range(2):
            pack(f"{work}/in.{rank}", rows[rank])
        call("moe-run", "call", f"{work}/one.moe", "score", "--weights", folder, "--inputs", f"{work}/one.in",
             "--outputs", f"{work}/one.out")
        call("moe-run", "call", f"{work}/two.moe", "score", "--weights", folder, "--channel", "sim:2", "--inputs",
             f"{work}/in.{{rank}}", "--outputs", f"{work}/out.{{rank}}")
        same = joined([f"{work}/out.0", f"{work}/out.1"], "logits") == joined([f"{work}/one.out"], "logits")
        print(f"{os.path.basename(folder)} {compute}: sequences {lengths}, logits {'equal' if same else 'DIFFERENT'}")
        good &= same
    return good


if __name__ == "__main__":
    sys.exit(not {"layer": layer, "model": model}[sys.argv[1]](*sys.argv[2:]))
