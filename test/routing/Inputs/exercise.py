# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The exercise of models/routing/README.md as a reader does it: its router in a model, against the formula.

    exercise.py README MODEL WORK

Takes the solution out of the page, sets the number of experts of the Mixtral folder MODEL in its first lines, compiles the
folder with it, and compares the logits with a forward pass written out here, which weighs the two experts of the largest
s = sigmoid(W·x) by s² / Σ s². The same forward pass with Mixtral's own rule gives the logits of expect.safetensors.
"""

import json
import math
import os
import re
import sys

from formulas import linear, softmax
from routers import call, resized
from tensors import read, rows

TOLERANCE = 2e-5  # kLogitsF32 of lib/reference/tolerances.h
LINES = 10


def solution(path):
    with open(path, encoding="utf-8") as file:
        blocks = re.findall(r"```mlir\n(.*?)```", file.read().split("## Exercise")[1], re.S)
    body = re.search(r"\{\n(.*)^\}", blocks[0], re.S | re.M).group(1).strip().splitlines()
    if len(body) > LINES:
        sys.exit(f"the solution has {len(body)} lines, more than {LINES}")
    return blocks[0], re.search(r"moe\.router @(\w+)", blocks[0]).group(1), len(body)


def mixtral(z, k):
    best = sorted(range(len(z)), key=lambda e: -z[e])[:k]
    p = softmax(z)
    return [(e, p[e] / sum(p[b] for b in best)) for e in best]


def squares(z, k):
    s = [1 / (1 + math.exp(-v)) for v in z]
    best = sorted(range(len(z)), key=lambda e: -s[e])[:k]
    return [(e, s[e] ** 2 / sum(s[b] ** 2 for b in best)) for e in best]


class Model:
    """A Mixtral of one attention head."""

    def __init__(self, folder):
        with open(f"{folder}/config.json", encoding="utf-8") as file:
            self.config = json.load(file)
        assert self.config["num_attention_heads"] == self.config["num_key_value_heads"] == 1
        self.weights = {name: rows(t) if len(t[1]) == 2 else t[2] for name, t in read(f"{folder}/model.safetensors").items()}

    def norm(self, x, name):
        weight, eps = self.weights[name], self.config["rms_norm_eps"]
        scales = [1 / math.sqrt(sum(v * v for v in row) / len(row) + eps) for row in x]
        return [[v * scale * w for v, w in zip(row, weight)] for row, scale in zip(x, scales)]

    def rotated(self, x):
        half = len(x[0]) // 2
        theta = self.config["rope_parameters"]["rope_theta"]
        out = []
        for t, row in enumerate(x):
            angles = [t * theta ** (-j / half) for j in range(half)]
            out.append([row[j] * math.cos(a) - row[j + half] * math.sin(a) for j, a in enumerate(angles)] +
                       [row[j + half] * math.cos(a) + row[j] * math.sin(a) for j, a in enumerate(angles)])
        return out

    def attention(self, x, at):
        q, k, v = (linear(x, self.weights[f"{at}self_attn.{name}_proj.weight"]) for name in "qkv")
        q, k, out = self.rotated(q), self.rotated(k), []
        for t, query in enumerate(q):
            seen = range(max(0, t - (self.config["sliding_window"] or t + 1) + 1), t + 1)
            p = softmax([sum(a * b for a, b in zip(query, k[j])) / math.sqrt(len(query)) for j in seen])
            out.append([sum(w * v[j][d] for w, j in zip(p, seen)) for d in range(len(v[0]))])
        return linear(out, self.weights[f"{at}self_attn.o_proj.weight"])

    def experts(self, x, at, rule):
        out = []
        for row, z in zip(x, linear(x, self.weights[f"{at}gate.weight"])):
            y = [0.0] * len(row)
            for e, weight in rule(z, self.config["num_experts_per_tok"]):
                w1, w2, w3 = (self.weights[f"{at}experts.{e}.w{n}.weight"] for n in (1, 2, 3))
                h = [g / (1 + math.exp(-g)) * u for g, u in zip(linear([row], w1)[0], linear([row], w3)[0])]
                y = [a + weight * b for a, b in zip(y, linear([h], w2)[0])]
            out.append(y)
        return out

    def logits(self, ids, rule):
        x = [self.weights["model.embed_tokens.weight"][i] for i in ids]
        for layer in range(self.config["num_hidden_layers"]):
            at = f"model.layers.{layer}."
            a = self.attention(self.norm(x, at + "input_layernorm.weight"), at)
            x = [[p + q for p, q in zip(*pair)] for pair in zip(x, a)]
            m = self.experts(self.norm(x, at + "post_attention_layernorm.weight"), at + "block_sparse_moe.", rule)
            x = [[p + q for p, q in zip(*pair)] for pair in zip(x, m)]
        return linear(self.norm(x, "model.norm.weight"), self.weights["lm_head.weight"])


def error(model, rule, ids, path):
    """Largest difference over the largest logit."""
    got, worst = read(path), 0.0
    for (name, tensor), row in zip(sorted(got.items()), ids):
        want = [v for logits in model.logits(row, rule) for v in logits]
        assert len(want) == len(tensor[2]), f"{name}: {len(tensor[2])} logits, expected {len(want)}"
        worst = max(worst, max(abs(a - b) for a, b in zip(want, tensor[2])) / max(map(abs, want)))
    return worst


def main():
    page, folder, work = sys.argv[1:]
    os.makedirs(work, exist_ok=True)
    model = Model(folder)
    with open(f"{folder}/ids.json", encoding="utf-8") as file:
        ids = json.load(file)
    text, name, lines = solution(page)
    with open(f"{work}/mine.mlir", "w", encoding="utf-8") as file:
        file.write(resized(text, {"#experts": model.config["num_local_experts"], "#k": 2}, {}))
    call("moe-compile", folder, "--router", f"{work}/mine.mlir@{name}", "--compute", "f32", "--entries", "score", "-o", f"{work}/mine.moe")
    call("moe-run", "score", f"{work}/mine.moe", "--weights", folder, "--ids", f"{folder}/ids.json", "--logits", f"{work}/mine.logits",
         "-o", "json")
    own, ours = error(model, mixtral, ids, f"{folder}/expect.safetensors"), error(model, squares, ids, f"{work}/mine.logits")
    other = error(model, mixtral, ids, f"{work}/mine.logits")
    good = own <= TOLERANCE and ours <= TOLERANCE < other
    print(f"{name}, {lines} lines: {'agrees' if good else 'DIFFERS'}: max_rel={ours:.1e} tol={TOLERANCE:.0e}; the forward pass itself "
          f"max_rel={own:.1e}; the model's own rule is {other:.1e} away")
    return not good


if __name__ == "__main__":
    sys.exit(main())
