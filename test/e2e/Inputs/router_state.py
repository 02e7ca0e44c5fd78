# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Loss-free balancing in training: after each step the bias of an expert moves by gamma towards the mean load.

    router_state.py FIXTURE ROUTER WORK

Loads come from `moe-run score --routing` with the weights before the step. A run that was stopped goes on with the same
bias, and steps of several passes, which see no whole load, are refused.
"""

import json
import pathlib
import shutil
import struct
import subprocess
import sys

import oracle

GAMMA = struct.unpack("f", struct.pack("f", 0.001))[0]
STEPS = 3


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def good(*command):
    done = run(*command)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr}")
    return done


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def bias_of(folder):
    tensors = oracle.tensors(str(folder / "model.safetensors"))
    (name,) = [name for name in tensors if name.endswith("e_score_correction_bias")]
    return oracle.floats(tensors[name])


def loads_of(weights, rows, experts):
    """Tokens of each expert in layer 1."""
    routing = work / "routing.safetensors"
    good("moe-run", "score", module, "--weights", weights, "--ids", fixture / "ids.json", "--routing", routing, "-o",
         "json")
    tensors, counts = oracle.tensors(str(routing)), [0] * experts
    for row in range(rows):
        _, kind, data = tensors[f"layer.1.{row}.idx"]
        assert kind == "I32"
        for (expert,) in struct.iter_unpack("<i", data):
            counts[expert] += 1
    return counts


def train(out, steps, *flags):
    return run("moe-run", "train", module, "--data", fixture / "ids.json", "--init", fixture, "--batch", rows, "--seq",
               64, "--save-every", 1, "--keep", 0, "--schedule", "constant", "--out", out, "--steps", steps, *flags)


fixture, router, work = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
shutil.rmtree(work, ignore_errors=True)
work.mkdir(parents=True)
rows = len(json.loads((fixture / "ids.json").read_text()))
# The published sizes become those of the fixture.
text = router.read_text()
for old, new in (("256", "8"), ("#k = 8", "#k = 3"), ("<8, 8>", "<8, 3>"), ("tensor<?x8xi32>", "tensor<?x3xi32>"),
                 ("!weights = tensor<?x8xf32>", "!weights = tensor<?x3xf32>"), ("#groups = 8", "#groups = 4"),
                 ("#keep = 4", "#keep = 2")):
    assert old in text, old
    text = text.replace(old, new)
(work / "router.mlir").write_text(text)
module = work / "state.moe"
good("moe-compile", fixture, "--entries", "train,score", "--router", f"{work / 'router.mlir'}@deepseek_v3", "--target",
     "cpu:native", "-o", module)

done = train(work / "run", STEPS)
if done.returncode:
    sys.exit(done.stderr)
before, moved = fixture, 0
for step in range(1, STEPS + 1):
    after = work / "run" / f"step-{step}"
    bias, now = bias_of(before), bias_of(after)
    loads = loads_of(before, rows, len(bias))
    mean = sum(loads) / len(loads)
    want = [f32(b + GAMMA) if load < mean else f32(b - GAMMA) if load > mean else b for b, load in zip(bias, loads)]
    print(f"step {step}: loads {loads}, largest error {max(abs(a - b) for a, b in zip(now, want))}")
    if list(now) != want:
        sys.exit(f"step {step}: bias {now}, not {want}")
    moved += sum(a != b for a, b in zip(now, bias))
    before = after
if not moved:
    sys.exit("no bias moved")

good("moe-run", "train", module, "--data", fixture / "ids.json", "--init", fixture, "--batch", rows, "--seq", 64,
     "--save-every", 1, "--keep", 0, "--schedule", "constant", "--out", work / "part", "--steps", 2)
done = train(work / "part", STEPS)
same = (work / "part" / "step-3" / "model.safetensors").read_bytes()
if done.returncode or same != (work / "run" / "step-3" / "model.safetensors").read_bytes():
    sys.exit(f"a run that was stopped differs: {done.stderr}")

done = run("moe-run", "train", module, "--data", fixture / "ids.json", "--init", fixture, "--batch", 1, "--accumulate",
           2, "--seq", 64, "--out", work / "passes", "--steps", 1)
print(done.stderr)
if done.returncode != 2 or "MOE-U104" not in done.stderr or (work / "passes").exists():
    sys.exit(f"two passes: exit {done.returncode}, or a run was begun")
