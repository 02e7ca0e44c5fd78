# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What gradients keep: a run takes the first policy that fits --max-memory, weights are the same to the bit with each,
and what a step really takes is within 10 % of what was planned.

    train_memory.py MODEL TEXT WORK
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

BATCH, TOKENS = 32, 256  # large enough that pages and huge pages of the process weigh little
POLICIES = ["none", "selective", "full"]


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def good(*command):
    done = run(*command)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr}")
    return done


def plan(module, batch, tokens, *flags):
    done = run("moe-run", "plan", module, "--train", "--batch", batch, "--tokens", tokens, "-o", "json", *flags)
    return json.loads(done.stdout), done


def check(what, holds):
    print(what)
    if not holds:
        sys.exit(f"wrong: {what}")


def peak_bytes(command):
    """Of a process that ends well."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.dup2(2, 1)
        os.execvp(str(command[0]), [str(part) for part in command])
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"{' '.join(map(str, command))}: status {status}")
    return usage.ru_maxrss * 1024


model, text, work = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
work.mkdir(parents=True, exist_ok=True)
module = work / "all.moe"
good("moe-compile", model, "--entries", "train", "--compute", "f32", "--target", "cpu:native", "--recompute",
     ",".join(POLICIES), "-o", module)

# Each policy where the one before does not fit.
plans, limit = [], None
for policy in POLICIES:
    planned, done = plan(module, BATCH, TOKENS, *([] if limit is None else ["--max-memory", limit]))
    check(f"{policy}: {planned['total_bytes']} bytes, kept {planned['kept']}",
          planned["recompute"] == policy and planned["fits"] and done.returncode == 0)
    plans.append(planned)
    limit = planned["total_bytes"] - 1
planned, done = plan(module, BATCH, TOKENS, "--max-memory", limit)
check(f"below that: {done.stderr.strip()}", done.returncode == 4 and "MOE-R102" in done.stderr)
kept = [sum(part["bytes"] * (part["layers"][1] - part["layers"][0]) for part in p["kept"]) for p in plans]
check(f"kept in all {kept}", kept[0] > kept[1] > kept[2])

def train(policy, steps, batch, tokens, *flags):
    """The command of a run into an empty folder."""
    out = work / policy
    shutil.rmtree(out, ignore_errors=True)
    return ["moe-run", "train", module, "--data", text, "--init", "seed:1", "--out", out, "--steps", steps,
            "--threads", 1, "--batch", batch, "--seq", tokens, *flags]


# What a process takes beside its plan: code, heap, the text.
process = peak_bytes(train("idle", 1, 1, 2)) - plan(module, 1, 2)[0]["total_bytes"]
weights = []
for policy, planned in zip(POLICIES, plans):
    command = train(policy, 2, BATCH, TOKENS, "--max-memory", planned["total_bytes"])
    measured = peak_bytes(command) - process
    ratio = measured / planned["total_bytes"]
    check(f"{policy}: measured {measured} bytes, {ratio:.3f} of the plan", 0.9 < ratio < 1.1)
    weights.append((work / policy / "step-2" / "model.safetensors").read_bytes())
check("weights are the same", weights[0] == weights[1] == weights[2])
