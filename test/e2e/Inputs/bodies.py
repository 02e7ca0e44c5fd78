# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Functions of a file, compiled and interpreted on the same random inputs; also with no tokens and one.

    bodies.py FILE.mlir WORK
"""

import os
import random
import re
import sys

from oracle import floats, tensors
from ranks import call, save

source, work = sys.argv[1:]
os.makedirs(work, exist_ok=True)
text = open(source, encoding="utf-8").read()
module = f"{work}/bodies.moe"
call("moe-compile", source, "-o", module)
good, number = True, random.Random(11)
for name, signature in re.findall(r"func\.func @(\w+)\((.*?)\) ->", text):
    arguments = re.findall(r"tensor<([?\dx]+)xf32>", signature)
    for count in (0, 1, 23):
        values = {}
        for i, shape in enumerate(arguments):
            extents = [count if part == "?" else int(part) for part in shape.split("x")]
            size = 1
            for extent in extents:
                size *= extent
            values[f"arg{i}"] = (extents, [number.gauss(0, 0.5) for _ in range(size)])
        given, compiled, interpreted = (f"{work}/{part}.safetensors" for part in ("in", "out", "ref"))
        save(given, values)
        call("moe-run", "call", module, name, "--inputs", given, "--outputs", compiled)
        call("moe-opt", source, f"--moe-interpret={name}", "--inputs", given, "--outputs", interpreted)
        have, want = tensors(compiled)["result0"], tensors(interpreted)["result0"]
        pairs = list(zip(floats(have), floats(want)))
        error = max((abs(a - b) for a, b in pairs), default=0.0) / max((abs(b) for _, b in pairs), default=1.0)
        same = have[0] == want[0] and len(pairs) == have[0][0] * have[0][1] and error <= 1e-5
        print(f"{name}, {count} tokens: largest error {error:.1e} of the largest value{'' if same else ' DIFFERENT'}")
        good &= same
sys.exit(not good)
