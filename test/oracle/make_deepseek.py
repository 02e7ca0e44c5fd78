# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Fixtures of DeepSeekMoE (v1), for which transformers has no class: its Llama with the feed-forward part exchanged.

    make_deepseek.py OUT        makes OUT/deepseek-1 … -3 (needs torch, transformers, safetensors)

The block is that of the paper (Dai et al. 2024) and of the released code: softmax over all experts in f32, the best K,
weights scaled to sum 1 if norm_topk_prob, plus the shared experts as one MLP of n_shared times the width.
"""

import json
import os
import sys

import torch
import transformers
from safetensors.torch import save_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaMLP


def mlp(config, width):
    return LlamaMLP(LlamaConfig(hidden_size=config.hidden_size, intermediate_size=width, num_attention_heads=1))


class DeepseekMoE(nn.Module):
    def __init__(self, config, c):
        super().__init__()
        self.k, self.normalize = c["num_experts_per_tok"], c["norm_topk_prob"]
        self.experts = nn.ModuleList(mlp(config, c["moe_intermediate_size"]) for _ in range(c["n_routed_experts"]))
        self.gate = nn.Linear(config.hidden_size, c["n_routed_experts"], bias=False)
        if c["n_shared_experts"]:
            self.shared_experts = mlp(config, c["moe_intermediate_size"] * c["n_shared_experts"])

    def forward(self, x):
        flat = x.view(-1, x.shape[-1])
        scores = nn.functional.linear(flat.float(), self.gate.weight.float()).softmax(-1)
        weights, idx = scores.topk(self.k, -1)
        if self.normalize:
            weights = weights / weights.sum(-1, keepdim=True)
        y = torch.zeros_like(flat)
        for t in range(flat.shape[0]):
            for w, e in zip(weights[t], idx[t]):
                y[t] += w * self.experts[int(e)](flat[t])
        y = y.view_as(x)
        return y + self.shared_experts(x) if hasattr(self, "shared_experts") else y


CASES = [
    dict(vocab_size=61, hidden_size=20, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=2,
         intermediate_size=34, moe_intermediate_size=7, n_routed_experts=9, n_shared_experts=2, num_experts_per_tok=3,
         first_k_dense_replace=1, moe_layer_freq=1, norm_topk_prob=False, rms_norm_eps=1e-6),
    dict(vocab_size=96, hidden_size=36, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=3,
         intermediate_size=24, moe_intermediate_size=17, n_routed_experts=6, n_shared_experts=1, num_experts_per_tok=2,
         first_k_dense_replace=0, moe_layer_freq=1, norm_topk_prob=True, rms_norm_eps=1e-5),
    dict(vocab_size=67, hidden_size=16, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=4,
         intermediate_size=40, moe_intermediate_size=8, n_routed_experts=5, n_shared_experts=0, num_experts_per_tok=4,
         first_k_dense_replace=1, moe_layer_freq=2, norm_topk_prob=True, rms_norm_eps=1e-6),
]


def make(n, c, out):
    generator = torch.Generator().manual_seed(9000 + n)
    config = LlamaConfig(**{k: c[k] for k in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                                              "num_key_value_heads", "intermediate_size", "rms_norm_eps")},
                         max_position_embeddings=64, rope_theta=10000.0, attn_implementation="eager")
    model = LlamaForCausalLM(config).float().eval()
    for i, layer in enumerate(model.model.layers):
        if i >= c["first_k_dense_replace"] and i % c["moe_layer_freq"] == 0:
            layer.mlp = DeepseekMoE(config, c)
    for name, p in model.named_parameters():
        p.data = (1 + 0.1 * torch.randn(p.shape, generator=generator) if name.endswith("norm.weight") else
                  torch.randn(p.shape, generator=generator) * (0.5 if "embed" in name else p.shape[-1] ** -0.5))
    folder = f"{out}/deepseek-{n}"
    os.makedirs(folder, exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, f"{folder}/model.safetensors")
    json.dump(c | {"model_type": "deepseek", "architectures": ["DeepseekForCausalLM"], "hidden_act": "silu",
                   "max_position_embeddings": 64, "rope_theta": 10000.0, "scoring_func": "softmax",
                   "aux_loss_alpha": 0.001, "seq_aux": True, "tie_word_embeddings": False, "dtype": "float32"},
              open(f"{folder}/config.json", "w"), indent=1)
    rows = [torch.randint(2, c["vocab_size"], (k,), generator=generator).tolist() for k in (1, 9, 23)]
    logits, greedy, margin = {}, [], 1e9
    with torch.no_grad():
        for i, row in enumerate(rows):
            logits[f"logits.{i}"] = model(torch.tensor([row])).logits[0].contiguous()
            ids = list(row)
            for _ in range(16):
                best = model(torch.tensor([ids])).logits[0, -1].topk(2)
                margin = min(margin, float(best.values[0] - best.values[1]))
                ids.append(int(best.indices[0]))
            greedy.append(ids[len(row):])
    save_file(logits, f"{folder}/expect.safetensors")
    json.dump(rows, open(f"{folder}/ids.json", "w"))
    json.dump(greedy, open(f"{folder}/greedy.json", "w"))
    json.dump(dict(family="deepseek", seed=9000 + n, torch=torch.__version__, transformers=transformers.__version__,
                   parameters=sum(p.numel() for p in model.parameters()), greedy_margin=margin),
              open(f"{folder}/meta.json", "w"), indent=1)
    print(f"deepseek-{n}: margin {margin:.1e}")


for number, case in enumerate(CASES, 1):
    make(number, case, sys.argv[1])
