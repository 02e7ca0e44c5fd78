# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A training run that is killed at 50 instants, and asked to stop at 5, ends with the bits of one that was left alone.

    kills.py FIXTURE WORK
"""

import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

fixture, work = map(pathlib.Path, sys.argv[1:])
shutil.rmtree(work, ignore_errors=True)
work.mkdir(parents=True)
module, steps = work / "train.moe", 5000


def command(run, last):
    return [str(part) for part in (
        "moe-run", "train", module, "--init", fixture, "--data", fixture / "ids.json", "--out", work / run, "--steps", last,
        "--batch", 1, "--accumulate", 2, "--seq", 64, "--schedule", "constant", "--lr", "1e-3", "--save-every", 1, "--threads", 1)]


def finish(run, last):
    done = subprocess.run(command(run, last), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{run} to step {last}: exit {done.returncode}: {done.stderr}")


def last_step(run):
    """The last step with a manifest, or 0."""
    return max((int(path.parent.name[5:]) for path in (work / run).glob("step-*/manifest.json")), default=0)


def lines(run, name):
    """What does not tell the time."""
    path = work / run / name
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{key: value for key, value in row.items() if key not in ("seconds", "tokens_per_s")} for row in rows]


def interrupted(run, after, number):
    """Ends the run |after| seconds with the signal |number|: exit code and what it said."""
    process = subprocess.Popen(command(run, steps), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(after)
    process.send_signal(number)
    _, text = process.communicate(timeout=60)
    return process.returncode, text


subprocess.run(["moe-compile", fixture, "--entries", "train", "--target", "cpu:native", "-o", module], check=True,
               capture_output=True)
# How long a start and a step take on this machine.
begin = time.monotonic()
finish("timing", 1)
start = time.monotonic() - begin
begin = time.monotonic()
finish("timing", 41)
step = max((time.monotonic() - begin - start) / 40, 1e-3)

no_progress = 0
for seed in range(50):
    before = last_step("killed")
    code, text = interrupted("killed", random.Random(seed).uniform(0, 1.5 * start + 12 * step), signal.SIGKILL)
    if code != -signal.SIGKILL:
        sys.exit(f"kill {seed}: exit {code}: {text}")
    after = last_step("killed")
    no_progress += after == before
    if after < before:
        sys.exit(f"kill {seed}: step {before} is gone, {after} is the last")
stopped = 0
for seed in range(50, 55):
    before = last_step("killed")
    code, text = interrupted("killed", random.Random(seed).uniform(0.2 * start, 1.5 * start + 8 * step), signal.SIGTERM)
    # A process that has not come to its own code yet ends as any does.
    if code not in (75, -signal.SIGTERM) or code == 75 and ("saved" not in text or "Traceback" in text):
        sys.exit(f"stop {seed}: exit {code}: {text}")
    stopped += code == 75
    if last_step("killed") < before:
        sys.exit(f"stop {seed}: step {before} is gone")

end = last_step("killed") + 2
finish("killed", end)
finish("straight", end)
for name in ("model.safetensors", "optimizer.safetensors", "config.json", "manifest.json"):
    if (work / "killed" / f"step-{end}" / name).read_bytes() != (work / "straight" / f"step-{end}" / name).read_bytes():
        sys.exit(f"{name} of step {end} differs")
for name in ("metrics.jsonl", "experts.jsonl"):
    one, two = lines("killed", name), lines("straight", name)
    if one != two:
        different = next((pair for pair in zip(one, two) if pair[0] != pair[1]), (len(one), len(two)))
        sys.exit(f"{name} differs: {different}")
if [row["step"] for row in lines("killed", "metrics.jsonl")[1:]] != list(range(1, end + 1)):
    sys.exit("a step has no line, or two")
left = sorted(path.name for path in (work / "killed").iterdir() if path.name not in ("metrics.jsonl", "experts.jsonl"))
if sorted(left) != sorted((f"step-{end}", f"step-{end - 1}")):
    sys.exit(f"left behind: {left}")
if end < 20 or no_progress > 40 or not stopped:
    sys.exit(f"the instants prove little: {end} steps, {no_progress} kills without a step, {stopped} stops")
print(f"50 kills and {stopped} stops over {end} steps, {no_progress} kills before a step was saved: every bit equal")
