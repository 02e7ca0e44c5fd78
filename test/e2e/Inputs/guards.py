# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Numbers that are not finite stop a run before the optimizer; full disks leave the last checkpoint as it was.

    guards.py FIXTURE MODEL WORK     FIXTURE is small; MODEL has weights of more than two MiB
"""

import json
import os
import pathlib
import resource
import shutil
import signal
import struct
import subprocess
import sys

import oracle

fixture, model, work = map(pathlib.Path, sys.argv[1:])
shutil.rmtree(work, ignore_errors=True)
work.mkdir(parents=True)


def call(*command, limit=0):
    def prepare():
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, preexec_fn=prepare,
                          restore_signals=False)
    return done.returncode, done.stderr


def compiled(folder):
    module = work / f"{folder.name}.moe"
    code, text = call("moe-compile", folder, "--entries", "train", "--compute", "f32", "--target", "cpu:native", "-o", module)
    if code:
        sys.exit(text)
    return module


def changed(name, change):
    """A copy of the fixture whose tensors |change| may alter: {name: [floats]} in place."""
    folder = work / name
    shutil.copytree(fixture, folder)
    values = {key: [shape, dtype, list(oracle.floats((shape, dtype, raw)))]
              for key, (shape, dtype, raw) in oracle.tensors(str(fixture / "model.safetensors")).items()}
    change(values)
    header, data = {}, b""
    for key, (shape, dtype, numbers) in values.items():
        raw = struct.pack(f"<{len(numbers)}f", *numbers)
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return folder


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


small = compiled(fixture)
layers = sorted({int(name.split(".")[2]) for name in oracle.tensors(str(fixture / "model.safetensors"))
                 if ".mlp.gate.weight" in name})
last = layers[-1]
expert = f"model.layers.{last}.mlp.experts.1.down_proj.weight"
gate = f"model.layers.{last}.mlp.gate.weight"
shared = f"model.layers.{layers[0]}.mlp.shared_experts.{{}}_proj.weight"


def weights(values):
    values[expert][2][5] = float("nan")


def router_weights(values):
    values[gate][2][0] = float("inf")


def router_logits(values):
    # Finite, but products with activations are beyond f32.
    values[gate][2] = [3e38 if i % 2 else -3e38 for i in range(len(values[gate][2]))]


def activations(values):
    for part, factor in (("gate", 1e29), ("up", 1e30)):
        values[shared.format(part)][2] = [x * factor for x in values[shared.format(part)][2]]


def gradients(values):
    # A feature that is large everywhere, which the last norm makes 0 so that no logit sees it. Its head weights are positive
    # for tokens that are targets and negative for others, so that the gradient of the norm is a sum beyond f32.
    width = values["lm_head.weight"][0][1]
    targets = {token for row in json.loads((fixture / "ids.json").read_text()) for token in row}
    values["model.norm.weight"][2][0] = 0.0
    for name, value in (("model.embed_tokens.weight", lambda token: 50.0),
                        ("lm_head.weight", lambda token: 3e38 if token in targets else -3e38)):
        numbers = values[name][2]
        numbers[::width] = [value(token) for token in range(len(numbers) // width)]


for change, first in ((weights, f"weights '{expert}'"), (router_weights, f"weights '{gate}'"), 
                      (router_logits, f"activations of layer {last} behind '{gate}'"),
                      (activations, f"activations of layer {layers[0]} behind '{shared.format('up')}'"), (gradients, "the gradient of 'model.norm.weight'")):
    run = work / f"run-{change.__name__}"
    start = changed(change.__name__, change)
    code, text = call("moe-run", "train", small, "--init", start, "--data", fixture / "ids.json", "--out", run, "--steps", 9,
                      "--batch", 1, "--accumulate", 2, "--seq", 64, "--save-every", 6)
    line = text.splitlines()[-1]
    if code != 7 or not line.startswith("moe-run: error[MOE-R302]: step 5: ") or f"first in {first}." not in line or len(line) > 300:
        sys.exit(f"{change.__name__}: exit {code}: {text}")
    steps = [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()][1:]
    if [row["step"] for row in steps] != [1, 2, 3, 4] or any(row["skipped"] != first for row in steps):
        sys.exit(f"{change.__name__}: {steps}")
    if list(run.glob("step-*")):
        sys.exit(f"{change.__name__}: saved a step that was none")
    finite = change.__name__ == "gradients"
    if any((row["loss"] is not None) != finite for row in steps):
        sys.exit(f"{change.__name__}: losses {[row['loss'] for row in steps]}")
    print(f"{change.__name__}: {line[len('moe-run: '):]}")

# A run that is good and then is not: the last good step is as it was, and goes on.
large, run = compiled(model), work / "full"
text = work / "text.txt"
text.write_bytes(b"To be, or not to be, that is the question.\n" * 40)


def train(steps, *flags, out=run, limit=0):
    return call("moe-run", "train", large, "--data", text, "--out", out, "--steps", steps, "--batch", 2, "--seq", 32,
                "--schedule", "constant", "--save-every", 1, "--keep", 1, *flags, limit=limit)


code, said = train(1)
if code:
    sys.exit(said)
good, metrics = files(run / "step-1"), (run / "metrics.jsonl").read_text()
sizes = {name: (run / "step-1" / name).stat().st_size for name in ("model.safetensors", "optimizer.safetensors")}
room = max(path.stat().st_size for path in (large, run / "metrics.jsonl")) + 65536  # for the module's own code
cases = 0
for limit in (room, sizes["model.safetensors"] - 1, sizes["model.safetensors"], sizes["optimizer.safetensors"] - 1):
    code, said = train(2, limit=limit)
    line = said.splitlines()[-1]
    if code != 4 or not line.startswith("moe-run: error[MOE-F201]: ") or len(line) > 300:
        sys.exit(f"limit {limit}: exit {code}: {said}")
    if files(run / "step-1") != good:
        sys.exit(f"limit {limit}: the last good step changed")
    cases += 1
code, said = train(2)
if code or files(run).keys() != {pathlib.Path(name) for name in (
        "metrics.jsonl", *(["experts.jsonl"] if (run / "experts.jsonl").exists() else []),
        *(f"step-2/{name}" for name in ("config.json", "manifest.json", "model.safetensors", "optimizer.safetensors")))}:
    sys.exit(f"exit {code}, {sorted(map(str, files(run)))}: {said}")
code, said = train(2, out=work / "straight")
if code or files(run / "step-2") != files(work / "straight" / "step-2"):
    sys.exit(f"a run on a disk that was full {cases} times is not the one that never was: {said}")
print(f"{cases} full disks: the last step as it was, and the next equal to the bit")

# Rates that throw weights away end in one of the guards, whatever comes first, and keep a step that is whole.
code, said = train(20, "--lr", "10", "--clip", "0", out=work / "wild")
line = said.splitlines()[-1]
if code not in (0, 7) or code == 7 and "not finite" not in line:
    sys.exit(f"lr 10: exit {code}: {said}")
for manifest in (work / "wild").glob("step-*/manifest.json"):
    numbers = oracle.tensors(str(manifest.parent / "optimizer.safetensors"))
    if any(x != x or abs(x) == float("inf") for name, tensor in numbers.items() if name.startswith("master") for x in oracle.floats(tensor)):
        sys.exit(f"{manifest.parent.name} has weights that are not finite")
print(f"lr 10: exit {code}")
