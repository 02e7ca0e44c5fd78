# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""All fixtures of one family against what transformers said: logits of every row and greedy continuations.

    families.py FIXTURES FAMILY WORK

In f32 within 2e-5 of the largest logit (kLogitsF32 of lib/reference/tolerances.h) and all greedy tokens equal; where the
weights are stored in bf16, also computed in bf16 within 0.05 of it (kLogitsBF16), over the tokens in front of the first
that rounding sends to another expert: from there on another model is computed, in transformers as here.
"""

import json
import os
import struct
import subprocess
import sys

import oracle


def call(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr}")


def run(folder, work, compute):
    """The files of logits and routing."""
    module, logits, routing = (f"{work}/{compute}.{end}" for end in ("moe", "logits", "routing"))
    call("moe-compile", folder, "--compute", compute, "--target", "cpu:native", "-o", module)
    call("moe-run", "score", module, "--weights", folder, "--ids", f"{folder}/ids.json", "--logits", logits,
         *([] if dense else ["--routing", routing]), "-o", "json")
    return module, logits, routing


def agreeing(row, one, two):
    """Tokens of a row in front of the first that the two routings send to different experts."""
    count = None
    for name in one:
        if not name.startswith("layer.") or not name.endswith(f".{row}.idx"):
            continue
        (tokens, k), _, raw = one[name]
        pairs = list(zip(struct.unpack(f"<{tokens * k}i", raw), struct.unpack(f"<{tokens * k}i", two[name][2])))
        same = next((t for t in range(tokens) if {a for a, _ in pairs[t * k:t * k + k]} !=
                     {b for _, b in pairs[t * k:t * k + k]}), tokens)
        count = same if count is None else min(count, same)
    return count


def check_bf16(folder, work, routing_f32):
    _, logits, routing = run(folder, work, "bf16")
    want, have = oracle.tensors(f"{folder}/expect.safetensors"), oracle.tensors(logits)
    one, two = ({}, {}) if dense else (oracle.tensors(routing_f32), oracle.tensors(routing))
    worst, seen, tokens = 0.0, 0, 0
    for name in want:
        length, vocab = want[name][0]
        count = length if dense else agreeing(name.split(".")[1], one, two)
        expected, got = oracle.floats(want[name]), oracle.floats(have[name])
        largest = max(abs(x) for x in expected)
        worst = max([worst] + [abs(x - y) / largest for x, y in zip(expected[:count * vocab], got)])
        seen, tokens = seen + count, tokens + length
    print(f"{os.path.basename(folder)} bf16: max_rel={worst:.2e} tol=0.05 over {seen} of {tokens} tokens")
    return worst <= 0.05 and 4 * seen >= tokens


def check(folder, work):
    module, logits, routing = run(folder, work, "f32")
    print(f"{os.path.basename(folder)} f32: ", end="")
    good = oracle.logits(f"{folder}/expect.safetensors", logits)
    good &= oracle.greedy(folder, module)
    with open(f"{folder}/config.json", encoding="utf-8") as file:
        stored = json.load(file).get("dtype")
    return good and (stored != "bfloat16" or check_bf16(folder, work, routing))


fixtures, family, work = sys.argv[1:]
dense = family in ("llama", "mistral", "qwen3")  # no layer routes
good, count = True, 0
while os.path.isdir(folder := f"{fixtures}/{family}-{count + 1}"):
    count += 1
    directory = f"{work}/{count}"
    os.makedirs(directory, exist_ok=True)
    good &= check(folder, directory)
print(f"{family}: {count} fixtures {'agree' if good else 'DIFFER'}")
sys.exit(not good or count == 0)
