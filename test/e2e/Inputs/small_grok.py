# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The description of Grok-1 at small sizes with random weights: compiled against interpreted, and decoding.

    small_grok.py GROK.mlir WORK

Logits within 2e-5 of the largest of the interpreter's; greedy tokens are those of the last logits of ever longer scores;
without the cap of attention the logits are others.
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys

import oracle

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "routing", "Inputs"))
import tensors  # noqa: E402

TOLERANCE = 2e-5  # kLogitsF32 of lib/reference/tolerances.h
VOCAB, LAYERS = 64, 3
# In this order: heads by their shapes before the numbers of experts and of dimensions.
SMALLER = [
    (r"x48x128x", "x4x8x"), (r"x8x128x", "x2x8x"), (r"\?x128x", "?x8x"),
    (r"\b131072\b|(?<=x)131072(?=x)|(?<=<)131072(?=x)", str(VOCAB)),
    (r"6144", "32"), (r"1024", "16"), (r"65536", "96"), (r"32768", "48"), (r"layers \[0, 64\]", f"layers [0, {LAYERS}]"),
    (r"layers 0 to 64", f"layers 0 to {LAYERS}"), (r"(inv_freq\(\[[^,]*, [^,]*, [^,]*, [^,]*)[^\]]*", r"\1"),
    (r"array<i64: 2>", "array<i64>"), (r"bf16", "f32"),
    # Already in f32.
    (r" *%rows_f32 = .*\n", ""), (r"%rows_f32", "%rows"), (r" *%first = .*\n", ""), (r"%first", "%scaled"),
]


def call(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}: {done.stderr}")


def score(module, rows):
    with open(f"{work}/rows.json", "w", encoding="utf-8") as file:
        json.dump(rows, file)
    call("moe-run", "score", module, "--weights", f"{work}/model", "--ids", f"{work}/rows.json", "--logits",
         f"{work}/logits", "-o", "json")
    return tensors.read(f"{work}/logits")


def compiled(name, text):
    with open(f"{work}/{name}.mlir", "w", encoding="utf-8") as file:
        file.write(text)
    call("moe-compile", f"{work}/{name}.mlir", "-o", f"{work}/{name}.moe")
    return f"{work}/{name}.moe"


def difference(have, want):
    return max(abs(a - b) for a, b in zip(have, want)) / max(map(abs, want))


source, work = sys.argv[1:]
shutil.rmtree(work, ignore_errors=True)
os.makedirs(f"{work}/model")
text = open(source, encoding="utf-8").read()
for pattern, by in SMALLER:
    text = re.sub(pattern, by, text)

number, weights = random.Random(1), {}
for pattern, shape in re.findall(r'#nn.source<"([^"]*)", \[([\d, ]*)\]', text):
    extents = [int(extent) for extent in shape.split(",")]
    names = {pattern.replace("{i}", str(i)).replace("{e}", str(e)) for i in range(LAYERS) for e in range(8)}
    for name in sorted(names):
        size, scale = extents[0] * extents[-1] if extents[1:] else extents[0], extents[-1] ** -0.5
        # Queries and keys so large that the cap is felt.
        scale *= 8 if "q_proj" in name or "k_proj" in name else 1
        values = [number.gauss(0, scale) if extents[1:] else number.uniform(0.5, 1.5) for _ in range(size)]
        weights[name] = tensors.floats(extents, values)
tensors.write(f"{work}/model/model.safetensors", weights)

module = compiled("grok", text)
rows = [[number.randrange(VOCAB) for _ in range(length)] for length in (1, 9, 40)]
logits, worst = score(module, rows), 0.0
for i, row in enumerate(rows):
    given, made = f"{work}/in", f"{work}/out"
    tensors.write(given, {"ids": tensors.ints(row), "positions": tensors.ints(range(len(row))),
                          "cu_seqlens": tensors.ints([0, len(row)])})
    call("moe-opt", f"{work}/grok.mlir", "--moe-interpret=grok_1", "--weights", f"{work}/model", "--inputs", given,
         "--outputs", made)
    worst = max(worst, difference(logits[f"logits.{i}"][2], next(iter(tensors.read(made).values()))[2]))
print(f"compiled against interpreted: largest error {worst:.1e} of the largest logit, tolerance {TOLERANCE}")

plain = score(compiled("plain", text.replace(", cap = 30.0 : f64", "")), rows)
felt = difference(plain["logits.2"][2], logits["logits.2"][2])
print(f"without the cap logits differ by {felt:.1e}")

row, want = list(rows[1]), []
for _ in range(6):
    last = tensors.rows(score(module, [row])["logits.0"])[-1]
    want.append(last.index(max(last)))
    row.append(want[-1])
for name, value in ("ids", rows[1]), ("greedy", want):
    with open(f"{work}/model/{name}.json", "w", encoding="utf-8") as file:
        json.dump([value], file)
sys.exit(not (worst <= TOLERANCE and felt > 1e-2 and oracle.greedy(f"{work}/model", module)))
