# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A training run that was stopped goes on as if nothing had happened, whatever the threads; a damaged one is refused.

    resume.py FIXTURE WORK
"""

import json
import pathlib
import shutil
import subprocess
import sys

import oracle

fixture, work = map(pathlib.Path, sys.argv[1:])
shutil.rmtree(work, ignore_errors=True)
work.mkdir(parents=True)
module = work / "train.moe"


def call(*command, exit_code=0):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != exit_code:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}, not {exit_code}: {done.stderr}")
    return done.stderr


def train(run, steps, *flags, exit_code=0):
    return call("moe-run", "train", module, "--init", fixture, "--data", fixture / "ids.json", "--out", work / run, "--steps",
                steps, "--batch", 1, "--accumulate", 2, "--seq", 64, "--schedule", "constant", *flags, exit_code=exit_code)


def losses(run):
    lines = [json.loads(line) for line in (work / run / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line["grad_norm"]) for line in lines if "loss" in line]


def same(one, two, step):
    for name in ("model.safetensors", "optimizer.safetensors"):
        if (work / one / f"step-{step}" / name).read_bytes() != (work / two / f"step-{step}" / name).read_bytes():
            sys.exit(f"{one} and {two}: {name} of step {step} differs")


call("moe-compile", fixture, "--entries", "train", "--target", "cpu:native", "-o", module)
train("straight", 6, "--threads", 2)
train("stopped", 3, "--threads", 1)
train("stopped", 5, "--threads", 2)
# What a crash leaves behind the last checkpoint: lines of later steps, and half a line.
with (work / "stopped" / "metrics.jsonl").open("a") as lines:
    lines.write('{"step":6,"loss":1.0,"grad_norm":1.0}\n{"step":7,"lo')
train("stopped", 6, "--threads", 1)
same("straight", "stopped", 6)
if losses("straight") != losses("stopped") or [line[0] for line in losses("stopped")] != list(range(1, 7)):
    sys.exit(f"losses differ: {losses('straight')} and {losses('stopped')}")

# --keep 2 left the last two; a folder without a manifest does not exist.
kept = sorted(path.name for path in (work / "stopped").glob("step-*"))
if kept != ["step-5", "step-6"]:
    sys.exit(f"kept {kept}")
(work / "stopped" / "step-6" / "manifest.json").unlink()
text = train("stopped", 6, "--threads", 1)
if "resumed from" not in text or "step-5" not in text:
    sys.exit(f"not resumed from step 5: {text}")
same("straight", "stopped", 6)

# Export, and training weights come back through a folder that a new module is made from.
call("moe-run", "export", work / "stopped", work / "exported")
call("moe-compile", work / "exported", "--entries", "score", "--target", "cpu:native", "-o", work / "score.moe")
call("moe-run", "score", work / "score.moe", "--weights", work / "exported", "--ids", fixture / "ids.json")
exported, given = (oracle.tensors(str(folder / "model.safetensors")) for folder in (work / "exported", fixture))
if {name: value[:2] for name, value in exported.items()} != {name: value[:2] for name, value in given.items()}:
    sys.exit("names, shapes or dtypes of the export differ from those of the checkpoint")

# Damage, and runs that are not this one.
weights = work / "stopped" / "step-6" / "model.safetensors"
raw = bytearray(weights.read_bytes())
raw[-1] ^= 1
weights.write_bytes(raw)
for flags, code, words in (((), 3, "model.safetensors is not the file that was saved"),
                           (("--resume", "5", "--seed", "9"), 3, "was saved with seed"),
                           (("--resume", "never"), 3, "holds checkpoints"),
                           (("--resume", "4"), 3, "has no checkpoint of step"),
                           (("--lr", "-1"), 2, "--lr"), (("--beta2", "1"), 2, "--beta2"),
                           (("--max-memory", "1KiB"), 4, "needs")):
    text = train("stopped", 7, *flags, exit_code=code)
    if words not in text:
        sys.exit(f"{flags}: {text}")
print("6 steps: stopped twice and straight, 1 and 2 threads: every bit equal")
