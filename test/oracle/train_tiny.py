#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Trains a small byte-level MoE on a text with transformers and saves a Hugging Face folder in bf16 with what was measured.

    train_tiny.py deepseek_v2|mixtral TEXT OUT [--steps 1500] [--threads 1] [--minutes 15]

The last tenth of the text is held out. OUT/meta.json holds versions, losses and: `f32_nll`, `bf16_nll` (mean nats per byte on the first
128 windows of 128 held-out bytes, of the saved bf16 weights computed in f32 and in bf16), `greedy`: 64 continuation bytes of `prompt`."""
import argparse, json, math, time, torch, transformers
from transformers import AutoModelForCausalLM, DeepseekV2Config, MixtralConfig
transformers.utils.logging.set_verbosity_error(); transformers.utils.logging.disable_progress_bar()
ap = argparse.ArgumentParser(); ap.add_argument("kind"); ap.add_argument("text"); ap.add_argument("out"); ap.add_argument("--steps", type=int, default=1500); ap.add_argument("--threads", type=int, default=1); ap.add_argument("--minutes", type=float, default=15); a = ap.parse_args()
torch.set_num_threads(a.threads); torch.manual_seed(1); B, S = 24, 128
data = torch.tensor(list(open(a.text, "rb").read()), dtype=torch.long); n = len(data) * 9 // 10; train, val = data[:n], data[n:]
common = dict(vocab_size=256, hidden_size=128, num_hidden_layers=4, num_attention_heads=4, max_position_embeddings=512, pad_token_id=None, bos_token_id=None, eos_token_id=None, tie_word_embeddings=False)
cfg = DeepseekV2Config(**common, num_key_value_heads=4, q_lora_rank=None, kv_lora_rank=48, qk_nope_head_dim=24, qk_rope_head_dim=16, v_head_dim=32, intermediate_size=384, moe_intermediate_size=96, n_routed_experts=16, n_shared_experts=2,
    num_experts_per_tok=4, first_k_dense_replace=1, n_group=1, topk_group=1, topk_method="greedy", routed_scaling_factor=1.0, norm_topk_prob=False) if a.kind == "deepseek_v2" else \
    MixtralConfig(**common, num_key_value_heads=2, intermediate_size=256, num_local_experts=8, num_experts_per_tok=2, sliding_window=None, output_router_logits=True, router_aux_loss_coef=0.01)
m = AutoModelForCausalLM.from_config(cfg, attn_implementation="sdpa", experts_implementation="grouped_mm", dtype=torch.float32); print(a.kind, sum(p.numel() for p in m.parameters()), "parameters", flush=True)
opt = torch.optim.AdamW([{"params": [p for p in m.parameters() if p.dim() > 1], "weight_decay": .1}, {"params": [p for p in m.parameters() if p.dim() < 2], "weight_decay": 0.}], lr=1, betas=(.9, .95), fused=True)
g = torch.Generator().manual_seed(2); start = time.time(); steps = a.steps
for i in range(steps):
    frac = max(i / steps, (time.time() - start) / (a.minutes * 60)); lr = 2e-3 * min(1, (i + 1) / 50) * (.1 + .9 * .5 * (1 + math.cos(math.pi * min(1, frac))))
    for q in opt.param_groups: q["lr"] = lr
    o = torch.randint(0, len(train) - S - 1, (B,), generator=g); x = torch.stack([train[k:k + S + 1] for k in o])
    r = m(x[:, :-1], use_cache=False); loss = torch.nn.functional.cross_entropy(r.logits.reshape(-1, 256), x[:, 1:].reshape(-1)); aux = getattr(r, "aux_loss", None)
    opt.zero_grad(); (loss + (.01 * aux if aux is not None else 0)).backward(); torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0); opt.step()
    if i % 50 == 0: print(f"step {i} loss {float(loss):.3f} {time.time() - start:.0f} s", flush=True)
    if frac >= 1: break
m.config.output_router_logits = False; m.to(torch.bfloat16).save_pretrained(a.out)
def nll(dt):
    q = AutoModelForCausalLM.from_pretrained(a.out, dtype=dt, attn_implementation="eager", experts_implementation="eager").eval(); s = c = 0
    with torch.no_grad():
        for k in range(128):
            w = val[k * 128:(k + 1) * 128]; l = q(w[None], use_cache=False).logits[0, :-1].float(); s += float(torch.nn.functional.cross_entropy(l, w[1:], reduction="sum")); c += 127
    return s / c, q
f, q = nll(torch.float32); b, _ = nll(torch.bfloat16); prompt = "ROMEO:\n"; ids = list(prompt.encode())
with torch.no_grad():
    for _ in range(64): ids.append(int(q(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
meta = dict(kind=a.kind, torch=torch.__version__, transformers=transformers.__version__, steps=i + 1, train_loss=float(loss), f32_nll=f, bf16_nll=b, windows=128, window=128, heldout_from=n, prompt=prompt, greedy=ids[len(prompt):], text=bytes(ids).decode("utf-8", "replace"))
json.dump(meta, open(f"{a.out}/meta.json", "w"), indent=1); print(json.dumps(meta), flush=True)
