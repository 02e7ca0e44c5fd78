# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A routing trace against the routing that `score` writes for the same rows.

    trace.py TRACE.json ROUTING.safetensors IDS.json WINDOWS
"""

import json
import struct
import sys

from oracle import tensors

trace, routing = json.load(open(sys.argv[1], encoding="utf-8")), tensors(sys.argv[2])
rows, windows = json.load(open(sys.argv[3], encoding="utf-8")), int(sys.argv[4])
total = sum(map(len, rows))
loads = [[[0] * trace["experts"] for _ in trace["layers"]] for _ in range(windows)]
choices = [[] for _ in range(total)]
for l, layer in enumerate(trace["layers"]):
    first = 0
    for r, row in enumerate(rows):
        (length, k), _, raw = routing[f"layer.{layer}.{r}.idx"]
        idx = struct.unpack(f"<{length * k}i", raw)
        for t in range(length):
            chosen = list(idx[t * k:t * k + k])
            choices[first + t].append(chosen)
            for expert in chosen:
                loads[(first + t) * windows // total][l][expert] += 1
        first += length
good = trace["loads"] == loads and trace["tokens"] == total and trace["format"] == "moe-place-trace/1"
samples = trace["samples"]
stride = -(-total // len(samples["experts"]))
good &= samples["experts"] == choices[::stride] and len(samples["row"]) == len(samples["experts"])
print(f"{total} tokens, {windows} windows, {len(samples['experts'])} samples: {'equal' if good else 'DIFFERENT'}")
sys.exit(not good)
