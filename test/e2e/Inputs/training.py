# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""All fixtures of one family against what torch said of training: every gradient, and the losses of 20 AdamW steps.

    training.py FIXTURES FAMILY WORK

Gradients within 1e-4 of the norm of their tensor (kGradients of lib/reference/tolerances.h), losses within 1e-4 nats.
A tensor whose gradient is rounding noise in torch, below 1e-6 of the norm of all gradients, is compared with that norm:
the weights of one chosen expert, scaled to sum 1, have the gradient 0. AdamW makes steps of full size of such noise, so
that the curve of such a model is chance and is not compared; nor is that of weights that are stored in bf16, which
torch kept in f32. Gradients of the first fixture are the same to the bit whatever is computed again.
"""

import json
import math
import pathlib
import shutil
import subprocess
import sys

import oracle


def call(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def norm(values):
    return math.sqrt(sum(x * x for x in values))


def gradient_error(folder, module, work):
    """The largest relative error of a gradient, whose it is, and whether a gradient is noise."""
    out = work / "gradients.safetensors"
    call("moe-run", "grad", module, "--weights", folder, "--ids", folder / "ids.json", "--gradients", out, "--no-aux")
    have, want = oracle.tensors(str(out)), oracle.tensors(str(folder / "gradients.safetensors"))
    expected = {name: oracle.floats(want[name]) for name in want}
    largest = norm([norm(values) for values in expected.values()])
    worst, noise = (0.0, ""), False
    for name, values in expected.items():
        if name not in have:
            sys.exit(f"{folder.name}: no gradient of {name}")
        size = norm(values)
        faint = size < 1e-6 * largest
        noise |= faint and size > 0
        error = norm([a - b for a, b in zip(values, oracle.floats(have[name]))])
        worst = max(worst, (error / (largest if faint else size), name))
    return worst[0], worst[1], noise


def check_recompute(folder, work):
    """What is computed again is the same to the bit."""
    want = (work / "gradients.safetensors").read_bytes()
    for policy in ("none", "full"):
        other, out = work / "recompute.moe", work / "recompute.safetensors"
        call("moe-compile", folder, "--entries", "train", "--compute", "f32", "--target", "cpu:native", "--recompute",
             policy, "-o", other)
        call("moe-run", "grad", other, "--weights", folder, "--ids", folder / "ids.json", "--gradients", out,
             "--no-aux")
        if out.read_bytes() != want:
            sys.exit(f"{folder.name}: gradients with --recompute {policy} differ from those with selective")


def curve_error(folder, module, work):
    rows = json.loads((folder / "ids.json").read_text())
    run = work / "run"
    shutil.rmtree(run, ignore_errors=True)
    call("moe-run", "train", module, "--init", folder, "--data", folder / "ids.json", "--out", run, "--steps", 20,
         "--batch", len(rows), "--seq", max(map(len, rows)), "--lr", "1e-3", "--schedule", "constant", "--clip", 0,
         "--beta1", 0.9, "--beta2", 0.95, "--weight-decay", 0.1, "--no-aux")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    want = json.loads((folder / "curve.json").read_text())
    if len(losses) != len(want):
        sys.exit(f"{folder.name}: {len(losses)} losses, not {len(want)}")
    return max(abs(a - b) for a, b in zip(losses, want))


fixtures, family, work = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
work.mkdir(parents=True, exist_ok=True)
good, count = True, 0
for folder in sorted(fixtures.glob(f"{family}-[0-9]*")):
    if not (folder / "gradients.safetensors").exists() or not (folder / "curve.json").exists():
        continue
    module = work / "train.moe"
    config = json.loads((folder / "config.json").read_text())
    stored = config.get("dtype", config.get("torch_dtype"))
    call("moe-compile", folder, "--entries", "train", "--compute", "f32", "--target", "cpu:native", "-o", module)
    error, name, noise = gradient_error(folder, module, work)
    good &= error <= 1e-4
    if not count:
        check_recompute(folder, work)
    text = f"{folder.name}: gradients max_rel={error:.2e} ({name}) tol=1e-4"
    if stored == "float32" and not noise:
        losses = curve_error(folder, module, work)
        good &= losses <= 1e-4
        text += f", losses max_abs={losses:.2e} tol=1e-4"
    print(text)
    count += 1
print(f"{family}: {count} fixtures")
sys.exit(not good or not count)
