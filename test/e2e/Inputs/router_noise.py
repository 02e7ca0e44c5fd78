# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A router with jitter and noise, and dropout, in training: numbers depend on seed, step, layer and place of a token alone.

    router_noise.py FIXTURE WORK

So steps are the same to the bit for any number of threads, with any recompute and behind a stop, other seeds give other losses, and a step of
several passes draws what one pass draws. Without a key numbers are neutral: scores are those of the router without them.
"""

import json
import pathlib
import shutil
import subprocess
import sys

import oracle

ROUTER = """
!x = tensor<?x{d}xf32>
!z = tensor<?x{e}xf32>
moe.router @plain(%x: !x, %w: tensor<{e}x{d}xf32>) -> (!moe.plan<{e}, {k}>, tensor<?x{k}xf32>) {{
  %z = nn.linear %x, %w : !x, tensor<{e}x{d}xf32>
  {choose}
}}
moe.router @noisy(%x: !x, %w: tensor<{e}x{d}xf32>, %key: tensor<6xi32> {{moe.input = "key"}})
    -> (!moe.plan<{e}, {k}>, tensor<?x{k}xf32>) {{
  %u = moe.random uniform stream(jitter) key(%key) like %x neutral(0.5) : tensor<6xi32>, !x
  %half = nn.fill 0.5 like %x : !x -> !x
  %f = arith.addf %u, %half : !x
  %j = arith.mulf %x, %f : !x
  %clean = nn.linear %j, %w : !x, tensor<{e}x{d}xf32>
  %n = moe.random normal stream(gate_noise) key(%key) like %clean neutral(0.0) : tensor<6xi32>, !z
  %z = arith.addf %clean, %n : !z
  {choose}
}}
"""
CHOOSE = """%idx = moe.select %z top_k({k}) : !z
  %s = moe.pick %z, %idx : !z, tensor<?x{k}xi32>
  %p = nn.softmax %s axis(1) : tensor<?x{k}xf32>
  %plan = moe.make_plan %idx experts({e}) : tensor<?x{k}xi32>
  moe.return %plan, %p : !moe.plan<{e}, {k}>, tensor<?x{k}xf32>"""


def good(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def compiled(name, *flags):
    module = work / f"{name}{''.join(flags)}.moe"
    good("moe-compile", fixture, "--entries", "train,score", "--router", f"{work / 'router.mlir'}@{name}", "--target",
         "cpu:native", "--dropout", 0.2, "-o", module, *flags)
    return module


def train(name, steps, *flags, module=None):
    """Losses and weights."""
    out = work / name
    good("moe-run", "train", module or noisy, "--data", fixture / "ids.json", "--init", fixture, "--seq", 64, "--save-every", 1,
         "--keep", 0, "--out", out, "--steps", steps, "--schedule", "constant", *flags)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [x["loss"] for x in lines if "loss" in x], (out / f"step-{steps}" / "model.safetensors").read_bytes()


def check(what, holds):
    print(what)
    if not holds:
        sys.exit(f"wrong: {what}")


fixture, work = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
shutil.rmtree(work, ignore_errors=True)
work.mkdir(parents=True)
config = json.loads((fixture / "config.json").read_text())
sizes = {"d": config["hidden_size"], "e": config["num_local_experts"], "k": config["num_experts_per_tok"]}
(work / "router.mlir").write_text(ROUTER.format(choose=CHOOSE.format(**sizes), **sizes))
plain, noisy, full = compiled("plain"), compiled("noisy"), compiled("noisy", "--recompute", "full")
rows = len(json.loads((fixture / "ids.json").read_text()))

for name, module in (("plain", plain), ("noisy", noisy)):
    good("moe-run", "score", module, "--weights", fixture, "--ids", fixture / "ids.json", "--logits",
         work / f"{name}.safetensors", "-o", "json")
check("scores without noise",
      (work / "plain.safetensors").read_bytes() == (work / "noisy.safetensors").read_bytes())

whole = train("whole", 3, "--batch", rows, "--threads", 1)
check("the same with two threads", train("threads", 3, "--batch", rows, "--threads", 2) == whole)
check("the same computed again", train("full", 3, "--batch", rows, module=full) == whole)
train("stopped", 2, "--batch", rows)
check("the same behind a stop", train("stopped", 3, "--batch", rows) == whole)
other = train("other", 3, "--batch", rows, "--seed", 2)
check(f"losses {whole[0]}, with another seed {other[0]}", other[0] != whole[0])
# Noise moves with the step; so small a rate leaves the weights alone.
still = train("still", 3, "--batch", rows, "--lr", "1e-30", "--weight-decay", 0)[0]
check(f"losses of the same weights {still}", len(set(still)) == 3)
passes = train("passes", 1, "--batch", 1, "--accumulate", rows)[0]
error = abs(passes[0] - whole[0][0])
check(f"a step of {rows} passes: max_abs={error:.2e} tol=1e-5", error < 1e-5)
