#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A model folder of a size worth timing, with weights drawn from a normal distribution of 0.02.

    random_model.py OUT [--dtype bf16|f32] [--seed 1]

Writes an OLMoE of 695 million parameters (6 layers of width 1024, 64 experts of 512, 8 of them for a token, 16 heads, 32,000
words; 134 million of them for a token): config.json and model.safetensors. Needs numpy."""
import argparse
import json
import pathlib

import numpy as np

from checkpoint import write_tensors

LAYERS, WIDTH, NEURONS, EXPERTS, TOP, HEADS, WORDS = 6, 1024, 512, 64, 8, 16, 32000


def config(dtype):
    return {"architectures": ["OlmoeForCausalLM"], "model_type": "olmoe", "hidden_size": WIDTH, "intermediate_size": NEURONS,
            "num_experts": EXPERTS, "num_experts_per_tok": TOP, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
            "num_key_value_heads": HEADS, "vocab_size": WORDS, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "max_position_embeddings": 4096, "hidden_act": "silu", "norm_topk_prob": False, "tie_word_embeddings": False,
            "attention_bias": False, "clip_qkv": None, "torch_dtype": dtype}


def shapes():
    found = {"model.embed_tokens.weight": [WORDS, WIDTH], "lm_head.weight": [WORDS, WIDTH], "model.norm.weight": [WIDTH]}
    for i in range(LAYERS):
        layer = f"model.layers.{i}."
        found |= {layer + f"self_attn.{name}_proj.weight": [WIDTH, WIDTH] for name in "qkvo"}
        found |= {layer + name + ".weight": [WIDTH] for name in ("self_attn.q_norm", "self_attn.k_norm", "input_layernorm",
                                                                 "post_attention_layernorm")}
        found[layer + "mlp.gate.weight"] = [EXPERTS, WIDTH]
        for e in range(EXPERTS):
            expert = f"{layer}mlp.experts.{e}."
            found |= {expert + "gate_proj.weight": [NEURONS, WIDTH], expert + "up_proj.weight": [NEURONS, WIDTH],
                      expert + "down_proj.weight": [WIDTH, NEURONS]}
    return found


def main():
    p = argparse.ArgumentParser()
    p.add_argument("out")
    p.add_argument("--dtype", default="bf16", choices=["bf16", "f32"])
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    out = pathlib.Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    dtype, torch_name = {"bf16": ("BF16", "bfloat16"), "f32": ("F32", "float32")}[a.dtype]
    (out / "config.json").write_text(json.dumps(config(torch_name), indent=1) + "\n")
    draw = np.random.default_rng(a.seed)

    def data(_, shape):
        values = np.ones(shape, np.float32) if len(shape) == 1 else draw.standard_normal(shape, np.float32) * np.float32(0.02)
        if dtype == "BF16":
            values = (values.view(np.uint32) + 0x8000 >> 16).astype(np.uint16)
        return values.tobytes()

    write_tensors(out / "model.safetensors", dtype, shapes(), data)


if __name__ == "__main__":
    main()
