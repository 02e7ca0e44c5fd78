# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A model whose layers route by a table of token ids, the table a tensor of integers in its folder.

    hashed.py FOLDER WORK

Gives the mixtral model of FOLDER such a router and a table, and compares: the experts of every token with the table, logits
with those of the interpreter (within 2e-5 of the largest), greedy tokens with the last logits of ever longer scores.
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys

import oracle

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "routing", "Inputs"))
import tensors  # noqa: E402


def call(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def score(module, weights, rows, at):
    with open(f"{at}.json", "w", encoding="utf-8") as file:
        json.dump(rows, file)
    call("moe-run", "score", module, "--weights", weights, "--ids", f"{at}.json", "--logits", f"{at}.logits", "--routing",
         f"{at}.routing", "-o", "json")
    return tensors.read(f"{at}.logits"), tensors.read(f"{at}.routing")


folder, work = sys.argv[1:]
shutil.rmtree(work, ignore_errors=True)
os.makedirs(f"{work}/model")
with open(f"{folder}/config.json", encoding="utf-8") as config:
    sizes = json.load(config)
vocab, hidden, experts, k = (sizes[key] for key in ("vocab_size", "hidden_size", "num_local_experts",
                                                    "num_experts_per_tok"))
number = random.Random(1)
table = [number.sample(range(experts), k) for _ in range(vocab)]
weights = tensors.read(f"{folder}/model.safetensors")
weights["table"] = ("I32", [vocab, k], [expert for row in table for expert in row])
tensors.write(f"{work}/model/model.safetensors", weights)
shutil.copy(f"{folder}/config.json", f"{work}/model")

call("moe-import", folder, "-o", f"{work}/own.mlir")
with open(f"{work}/own.mlir", encoding="utf-8") as file:
    text = file.read()
plan, chosen = f"!moe.plan<{experts}, {k}>", f"tensor<?x{k}xi32>"
router = f"""  nn.param @table : tensor<{vocab}x{k}xi32> from [#nn.source<"table", [{vocab}, {k}]>]
  moe.router @hashed(%x: tensor<?x{hidden}xf32>, %ids: tensor<?xi32> {{moe.input = "ids"}}, %t: tensor<{vocab}x{k}xi32>)
      -> ({plan}, tensor<?x{k}xf32>) {{
    %idx = nn.embedding %ids, %t : tensor<?xi32>, tensor<{vocab}x{k}xi32> -> {chosen}
    %w = nn.fill 0.5 like %ids : tensor<?xi32> -> tensor<?x{k}xf32>
    %plan = moe.make_plan %idx experts({experts}) : {chosen}
    moe.return %plan, %w : {plan}, tensor<?x{k}xf32>
  }}
"""
text = re.sub(r"  moe\.router @.*?\n  }\n", lambda _: router, text, flags=re.S)
text, layers = re.subn(r"router\(@\w+, \[@gate\]\)", "router(@hashed, [@table])", text)
source, module = f"{work}/hashed.mlir", f"{work}/hashed.moe"
with open(source, "w", encoding="utf-8") as file:
    file.write(text)
call("moe-compile", source, "--compute", "f32", "-o", module)

rows = [[number.randrange(vocab) for _ in range(length)] for length in (1, 9, 23)]
logits, routing = score(module, f"{work}/model", rows, f"{work}/rows")
good, tokens = layers > 0, 0
for name, (_, _, values) in routing.items():
    if name.endswith(".idx"):
        row = rows[int(name.split(".")[2])]
        good &= values == [expert for token in row for expert in table[token]]
        tokens += len(row)
print(f"experts of {tokens} tokens {'are those of the table' if good and tokens else 'DIFFER'}")

worst = 0.0
for i, row in enumerate(rows):
    tensors.write(f"{work}/in", {"ids": ("I32", [len(row)], row), "positions": ("I32", [len(row)], list(range(len(row)))),
                                 "cu_seqlens": ("I32", [2], [0, len(row)])})
    name = re.search(r"nn\.model @(\w+)", text).group(1)
    call("moe-opt", source, f"--moe-interpret={name}", "--weights", f"{work}/model", "--inputs", f"{work}/in", "--outputs",
         f"{work}/ref")
    want = next(iter(tensors.read(f"{work}/ref").values()))[2]
    worst = max(worst, max(abs(a - b) for a, b in zip(want, logits[f"logits.{i}"][2])) / max(map(abs, want)))
print(f"compiled against interpreted: largest error {worst:.1e} of the largest logit")
good &= worst <= 2e-5

row, want = list(rows[1]), []
for _ in range(6):
    last = tensors.rows(score(module, f"{work}/model", [row], f"{work}/one")[0]["logits.0"])[-1]
    want.append(last.index(max(last)))
    row.append(want[-1])
with open(f"{work}/model/ids.json", "w", encoding="utf-8") as file:
    json.dump([rows[1]], file)
with open(f"{work}/model/greedy.json", "w", encoding="utf-8") as file:
    json.dump([want], file)
good &= oracle.greedy(f"{work}/model", module)
sys.exit(not (good and tokens))
