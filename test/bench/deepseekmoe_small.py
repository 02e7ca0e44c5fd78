#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The claim of DeepSeekMoE in small: mixtures of equal parameters and equal work for a token, and the dense model of that work.

    deepseekmoe_small.py --bin DIR [--out test/bench/results] [--seeds 1,2,3] [--steps 1000] [--threads 1]

All are models/gpt_shakespeare.mlir with another MLP: `dense` of 512 neurons; `switch` top-1 of 4 experts of 512 (Fedus et al.
2021, its balance loss times 0.01); `gshard` top-2 of 8 of 256 (weights of sum 1); `fine` top-8 of 32 of 64; `fine_shared` top-7
of 31 of 64 beside one shared expert of 64 (DeepSeekMoE; both with its balance loss times 0.01). Routers are a softmax; no
capacity. Same data, steps and hyper-parameters as shakespeare.py. Writes deepseekmoe_small.jsonl and deepseekmoe_small.svg:
the validation loss (mean and spread of the seeds), parameters, multiply-adds of a token and wall time."""
import argparse
import json
import math
import pathlib
import re
import statistics
import subprocess
import tempfile

import svg
from shakespeare import LAYERS, ROOT, WIDTH, prepare, train

# Experts, chosen, neurons of each, neurons shared, whether weights are scaled to sum 1, coefficient of the balance loss.
VARIANTS = {
    "dense": None,
    "switch": (4, 1, 512, 0, False, 0.01),
    "gshard": (8, 2, 256, 0, True, 0.01),
    "fine": (32, 8, 64, 0, False, 0.01),
    "fine_shared": (31, 7, 64, 64, False, 0.01),
}


def described(variant):
    """The text of the description."""
    text = (ROOT / "models" / "gpt_shakespeare.mlir").read_text()
    if VARIANTS[variant] is None:
        return text
    experts, top, neurons, shared, unit, coef = VARIANTS[variant]
    d = WIDTH

    def param(name, shape, source, tail=""):
        dims = "x".join(map(str, shape))
        return (f'  nn.param @{name} : tensor<{dims}xf32> layers [0, {LAYERS}] from '
                f'[#nn.source<"transformer.h.{{i}}.{source}.weight", {shape[-2:]}{tail}>]\n')

    params = (param("gate", [experts, d], "mlp.gate") + param("up", [experts, neurons, d], "mlp.experts.{e}.c_fc")
              + param("down", [experts, d, neurons], "mlp.experts.{e}.c_proj"))
    if shared:
        params += param("s_up", [shared, d], "mlp.shared.c_fc") + param("s_down", [d, shared], "mlp.shared.c_proj")
    kept = re.compile(r"  nn\.param @(up|down) .*\n")
    text = kept.sub("", text)
    scaled = f"""    %sum = nn.reduce sum %s axis(1) : tensor<?x{top}xf32>
    %sums = nn.broadcast %sum axis(1) : tensor<?xf32> -> tensor<?x{top}xf32>
    %weights = arith.divf %s, %sums : tensor<?x{top}xf32>
""" if unit else ""
    router = f"""  moe.router @router(%x: tensor<?x{d}xf32>, %w: tensor<{experts}x{d}xf32>)
      -> (!moe.plan<{experts}, {top}>, tensor<?x{top}xf32>, tensor<f32> {{moe.loss = "balance"}}) {{
    %z = nn.linear %x, %w : tensor<?x{d}xf32>, tensor<{experts}x{d}xf32>
    %p = nn.softmax %z axis(1) : tensor<?x{experts}xf32>
    %idx = moe.select %p top_k({top}) : tensor<?x{experts}xf32>
    %s = moe.pick %p, %idx : tensor<?x{experts}xf32>, tensor<?x{top}xi32>
{scaled}    %l = moe.balance_loss expert %p, %idx coef({coef}) per_choice : tensor<?x{experts}xf32>, tensor<?x{top}xi32> -> tensor<f32>
    %plan = moe.make_plan %idx experts({experts}) : tensor<?x{top}xi32>
    moe.return %plan, {"%weights" if unit else "%s"}, %l : !moe.plan<{experts}, {top}>, tensor<?x{top}xf32>, tensor<f32>
  }}
"""

    def body(width, start):
        return f"""      ^bb0(%t: tensor<?x{d}xf32>, %a1: tensor<{width}x{d}xf32>, %a2: tensor<{d}x{width}xf32>):
        %{start}0 = nn.linear %t, %a1 : tensor<?x{d}xf32>, tensor<{width}x{d}xf32>
        %{start}1 = nn.activate gelu %{start}0 : tensor<?x{width}xf32>
        %{start}2 = nn.linear %{start}1, %a2 : tensor<?x{width}xf32>, tensor<{d}x{width}xf32>
        moe.yield %{start}2 : tensor<?x{d}xf32>
      }}"""

    more = " shared([@s_up, @s_down])" if shared else ""
    layer = (f"      %mixed_out = moe.layer %m layer(%i) router(@router, [@gate]) experts({experts}, segments = 1, [@up, @down]){more}"
             f" : tensor<?x{d}xf32> -> tensor<?x{d}xf32> body {{\n{body(neurons, 'e')}"
             + " shared_body {" + (f"\n{body(shared, 'h')}" if shared else "}") + "\n")
    begin, end = text.index("      %up_w ="), text.index("      %y = arith.addf")
    text = text[:begin] + layer + text[end:].replace("%stream, %down", "%stream, %mixed_out")
    at = text.index("  nn.model")
    return text[:at] + params + router + text[at:]


def tensors(text):
    """Names and shapes of the checkpoint."""
    found = {}
    for line in re.findall(r"  nn\.param .*", text):
        layers = re.search(r"layers \[(\d+), (\d+)\]", line)
        experts = int(re.search(r"tensor<(\d+)x", line).group(1))
        for pattern, shape in re.findall(r'#nn\.source<"([^"]+)", \[([\d, ]+)\]', line):
            for i in range(int(layers.group(2)) if layers else 1):
                for e in range(experts if "{e}" in pattern else 1):
                    found[pattern.replace("{i}", str(i)).replace("{e}", str(e))] = list(map(int, shape.split(",")))
    return found


def multiply_adds(variant):
    """Of the products of a token, without attention itself."""
    rest = LAYERS * 4 * WIDTH * WIDTH + 65 * WIDTH
    if VARIANTS[variant] is None:
        return rest + LAYERS * 2 * 512 * WIDTH
    experts, top, neurons, shared = VARIANTS[variant][:4]
    return rest + LAYERS * (experts * WIDTH + 2 * WIDTH * (top * neurons + shared))


def plot(path, rows):
    low = min(min(r["losses"]) for r in rows) - 0.01
    high = max(max(r["losses"]) for r in rows) + 0.01
    y = lambda loss: 20 + (high - loss) / (high - low) * 220
    parts = []
    step = 0.02 if high - low > 0.08 else 0.01
    tick = math.ceil(low / step) * step
    while tick < high:
        parts.append(f'<path d="M60 {y(tick):.1f}H540" stroke="#ddd"/><text x="52" y="{y(tick) + 4:.1f}" '
                     f'text-anchor="end">{tick:.2f}</text>')
        tick += step
    for i, row in enumerate(rows):
        x = 110 + 100 * i
        parts += [f'<circle cx="{x}" cy="{y(loss):.1f}" r="4" fill="#8ab"/>' for loss in row["losses"]]
        parts.append(f'<path d="M{x - 18} {y(row["validation_loss"]):.1f}h36" stroke="#124" stroke-width="2"/>'
                     f'<text x="{x}" y="265" text-anchor="middle">{row["variant"]}</text>'
                     f'<text x="{x}" y="280" text-anchor="middle" fill="#666">{row["parameters"] / 1e6:.2f} M</text>')
    parts.append('<text x="60" y="14">validation loss, nats per character; lines are means, dots seeds</text>')
    path.write_text(svg.document(560, 300, parts))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--bin", required=True)
    p.add_argument("--text", default=str(ROOT / "models" / "data" / "tinyshakespeare.txt"))
    p.add_argument("--out", default=str(ROOT / "test" / "bench" / "results"))
    p.add_argument("--seeds", default="1,2,3")
    p.add_argument("--steps", type=int, default=1000)
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args()
    out, rows = pathlib.Path(a.out), []
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        prepare(work, a.text)
        for variant in VARIANTS:
            description = described(variant)
            found = tensors(description)
            source, module = work / f"{variant}.mlir", work / f"{variant}.moe"
            source.write_text(description)
            subprocess.run([f"{a.bin}/moe-compile", source, "--entries", "train", "--target", "cpu:native", "-o", module],
                           check=True)
            runs = [train(a, work, module, found, work / f"{variant}{seed}", seed) for seed in map(int, a.seeds.split(","))]
            losses, seconds = zip(*runs)
            count = sum(map(math.prod, found.values()))
            rows.append({"variant": variant, "parameters": count, "multiply_adds": multiply_adds(variant),
                         "steps": a.steps, "validation_loss": round(statistics.mean(losses), 4),
                         "spread": round(max(losses) - min(losses), 4), "losses": [round(x, 4) for x in losses],
                         "seconds": round(statistics.median(seconds), 1)})
            print(json.dumps(rows[-1]), flush=True)
    (out / "deepseekmoe_small.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plot(out / "deepseekmoe_small.svg", rows)


if __name__ == "__main__":
    main()
