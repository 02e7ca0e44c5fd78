# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Models of the importer under the router file of their family: the logits that transformers gave.

    families.py ROUTING FIXTURES WORK

Compiles each folder with --router in place of the importer's own router and compares its logits with expect.safetensors,
within 2e-5 of the largest (kLogitsF32 of lib/reference/tolerances.h).
"""

import json
import os
import sys

from cases import BY_FAMILY, groups, numbers
from routers import call, resized

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "e2e", "Inputs"))
import oracle  # noqa: E402

MODELS = [
    ("dbrx-5", "dbrx", numbers(power=2)),
    ("deepseek_v2-2", "deepseek_v2", None),
    ("deepseek_v3-2", "deepseek_v3", None),
    ("ernie4_5_moe-3", "ernie4_5_moe", {}),
    ("glm4_moe-2", "glm4_moe", numbers(scale=1.5)),
    ("granitemoe-5", "granite", {}),
    ("mixtral-3", "mixtral", {}),
    ("olmoe-5", "olmoe", {}),
    ("phimoe-1", "phimoe", None),
]
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
CHOICES = ("num_experts_per_tok", "moe_k", "moe_top_k")


def header(config):
    if config["model_type"] == "phimoe":
        return numbers(near=2 * config["router_jitter_noise"])
    return groups(config["n_group"], config["topk_group"]) | numbers(scale=config["routed_scaling_factor"])


def main():
    routing, fixtures, work = sys.argv[1:]
    os.makedirs(work, exist_ok=True)
    good = set(BY_FAMILY) <= {router for _, router, _ in MODELS}
    for fixture, router, values in MODELS:
        folder, at = f"{fixtures}/{fixture}", f"{work}/{fixture}"
        with open(f"{folder}/config.json", encoding="utf-8") as file:
            config = json.load(file)
        config |= config.get("ffn_config", {})
        experts, k = (next(config[key] for key in keys if key in config) for keys in (EXPERTS, CHOICES))
        with open(f"{routing}/{router}.mlir", encoding="utf-8") as file:
            sizes = {"#experts": experts, "#k": k, "#both": 2 * experts}
            text = resized(file.read(), sizes, header(config) if values is None else dict(values))
        with open(f"{at}.mlir", "w", encoding="utf-8") as file:
            file.write(text)
        call("moe-compile", folder, "--router", f"{at}.mlir@{router}", "--compute", "f32", "--entries", "score", "-o",
             f"{at}.moe")
        call("moe-run", "score", f"{at}.moe", "--weights", folder, "--ids", f"{folder}/ids.json", "--logits", f"{at}.logits",
             "-o", "json")
        print(f"{fixture} with {router}.mlir, {k} of {experts}: ", end="")
        good &= oracle.logits(f"{folder}/expect.safetensors", f"{at}.logits")
    print(f"{len(MODELS)} families {'agree' if good else 'DIFFER'}")
    return not good


if __name__ == "__main__":
    sys.exit(main())
