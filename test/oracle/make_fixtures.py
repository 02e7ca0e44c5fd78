#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tiny random Hugging Face MoE models with awkward configurations, and what transformers says about them.

    make_fixtures.py OUT [--families mixtral,...] [--per-family 5] [--no-gradients]

The dense families in ../dense are made by --families llama,mistral,qwen3 --no-gradients.

Each OUT/FAMILY-N/ is a Hugging Face folder (config.json, model.safetensors; number 3 is sharded, number 4 holds bf16 weights, computed in f32;
of gpt_oss, qwen2_moe and phimoe there is a number 6, made with --per-family 6 --no-gradients) plus
  ids.json               rows of token ids (lengths 1, 9, 23)
  expect.safetensors     logits.R [len, vocab] f32, one per row (eager attention, eager experts, f32)
  greedy.json            16 greedy continuation ids per row
  gradients.safetensors  gradient of the mean next-token cross-entropy over all target tokens of all rows, checkpoint names
  curve.json             losses of 20 AdamW steps on those rows (lr 1e-3, betas 0.9 0.95, eps 1e-8, decay 0.1 on parameters of two or more dimensions)
  meta.json              versions, seed, parameters, loss, and `sensitivity`: the largest relative logit change when every weight
                         is perturbed by 1e-6 relative noise (a routing or argmax near-tie would make it jump; such seeds are skipped)
Needs torch, transformers, safetensors. Deterministic for a given pair of versions."""
import argparse, copy, json, os, random, shutil, warnings
import torch, transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
warnings.filterwarnings("ignore"); transformers.utils.logging.set_verbosity_error(); transformers.utils.logging.disable_progress_bar()
import transformers as T

def taking_turns(fam):
    """Fixture 6: layers of several kinds that take turns; sizes of gpt_oss that MXFP4 can hold; longrope of phimoe."""
    b = dict(vocab_size=61, max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=False, pad_token_id=None, bos_token_id=1, eos_token_id=None)
    if fam == "gpt_oss": return T.GptOssConfig(**b, hidden_size=32, num_hidden_layers=5, num_attention_heads=4, num_key_value_heads=2, head_dim=8, intermediate_size=32, num_local_experts=4, num_experts_per_tok=2, sliding_window=5, layer_types=[["sliding_attention", "full_attention"][i % 2] for i in range(5)])
    if fam == "qwen2_moe": return T.Qwen2MoeConfig(**b, hidden_size=16, num_hidden_layers=6, num_attention_heads=2, num_key_value_heads=1, intermediate_size=24, moe_intermediate_size=12, shared_expert_intermediate_size=11, num_experts=5, num_experts_per_tok=2, norm_topk_prob=True, decoder_sparse_step=2, use_sliding_window=False)
    if fam == "phimoe": return T.PhimoeConfig(**b, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, intermediate_size=12, num_local_experts=5, num_experts_per_tok=2, router_jitter_noise=.2, attention_bias=True, lm_head_bias=True,
        rope_parameters=dict(rope_type="longrope", rope_theta=1e4, short_factor=[1.0, 1.1, 1.5, 2.25], long_factor=[1.0, 2.0, 9.5, 31.0], short_mscale=1.2, long_mscale=1.5, original_max_position_embeddings=48))
    raise KeyError(fam)
def config(fam, r, n):
    if n == 6: return taking_turns(fam)
    """Fixture n: 1..5 awkward sizes (2 may have top-1), always at least one MoE layer; 3 is saved sharded, 4 with bf16 weights on disk."""
    kv = r.choice([1, 2]); h = kv * r.choice([1, 2]); hd = r.choice([6, 8, 10, 16]); E = r.choice([4, 5, 6, 7, 8, 11]); K = 1 if n == 2 else r.randint(2, min(E - 1, 5)); I = r.choice([12, 17, 24]); d = h * hd
    L = r.choice([2, 3])
    b = dict(vocab_size=r.choice([61, 67, 96]), hidden_size=d, num_hidden_layers=L, num_attention_heads=h, num_key_value_heads=kv, max_position_embeddings=64,
             rms_norm_eps=r.choice([1e-5, 1e-3]), tie_word_embeddings=r.random() < .3, pad_token_id=None, bos_token_id=1, eos_token_id=None)
    mha = {**b, "num_key_value_heads": h}; wide = {**b, "hidden_size": d + r.choice([0, 4, 10])}
    G = r.choice([2, 3, 4]); per = r.choice([2, 3]); EG = G * per; M = r.randint(1, G - 1); KG = r.randint(2, min(M * per, 5))
    mla = dict(q_lora_rank=[None, 9][n % 2], kv_lora_rank=r.choice([8, 14]), qk_nope_head_dim=r.choice([6, 8]), qk_rope_head_dim=r.choice([8, 16]), v_head_dim=r.choice([6, 10]))
    yarn = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": r.choice([16, 512, 2048])}
    rope = [{"rope_type": "default", "rope_theta": 1e4}, {"rope_type": "default", "rope_theta": 5e5}, {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}, yarn,
            {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": r.choice([16, 256])}][n - 1]
    rp = dict(rope_parameters=rope); dsrope = dict(rope_parameters={**yarn, "mscale": r.choice([.707, 1.0]), "mscale_all_dim": r.choice([.707, 1.0]), "beta_fast": 32, "beta_slow": 1}) if n in (2, 5) else {}
    if fam == "mixtral": return T.MixtralConfig(**wide, **rp, head_dim=hd, intermediate_size=I, num_local_experts=E, num_experts_per_tok=K, sliding_window=[None, 5][n % 2])
    if fam == "qwen2_moe": return T.Qwen2MoeConfig(**b, **rp, intermediate_size=2 * I, moe_intermediate_size=I, shared_expert_intermediate_size=r.choice([11, 16]), num_experts=E, num_experts_per_tok=K, norm_topk_prob=bool(n % 2), decoder_sparse_step=[1, 2][n % 2], mlp_only_layers=[[], [0]][n % 2 == 0 and L > 1], use_sliding_window=n == 4, sliding_window=5, max_window_layers=28)
    if fam == "qwen3_moe": return T.Qwen3MoeConfig(**wide, **rp, head_dim=hd, intermediate_size=2 * I, moe_intermediate_size=I, num_experts=E, num_experts_per_tok=K, norm_topk_prob=n != 3, mlp_only_layers=[[], [0]][n % 2], attention_bias=n == 5)
    if fam == "olmoe": return T.OlmoeConfig(**b, **rp, intermediate_size=I, num_experts=E, num_experts_per_tok=K, norm_topk_prob=n in (1, 4), clip_qkv=[None, .5][n % 2])
    if fam == "deepseek_v2": return T.DeepseekV2Config(**mha, **mla, **dsrope, intermediate_size=2 * I, moe_intermediate_size=I, n_routed_experts=EG, n_shared_experts=r.choice([1, 2]), num_experts_per_tok=KG, n_group=G, topk_group=M, topk_method="greedy" if n == 3 else "group_limited_greedy", routed_scaling_factor=r.choice([1.0, 2.5]), first_k_dense_replace=n % 2, norm_topk_prob=False)
    if fam == "deepseek_v3": return T.DeepseekV3Config(**mha, **{**mla, "q_lora_rank": [None, 9][(n + 1) % 2]}, **dsrope, intermediate_size=2 * I, moe_intermediate_size=I, n_routed_experts=EG, n_shared_experts=1, num_experts_per_tok=KG, n_group=G, topk_group=M, routed_scaling_factor=2.5, first_k_dense_replace=n % 2, norm_topk_prob=n != 4)
    if fam in ("granitemoe", "granitemoeshared"):
        c = dict(**b, **rp, intermediate_size=I, num_local_experts=E, num_experts_per_tok=K, embedding_multiplier=r.choice([1.5, 3.0]), attention_multiplier=r.choice([.2, .35]), residual_multiplier=r.choice([.7, .4]), logits_scaling=r.choice([2.0, 4.0]), attention_bias=n == 5)
        return T.GraniteMoeConfig(**c) if fam == "granitemoe" else T.GraniteMoeSharedConfig(**c, shared_intermediate_size=16)
    if fam == "dbrx":
        c = T.DbrxConfig(d_model=d * 2, n_heads=h * 2, n_layers=L, max_seq_len=64, vocab_size=b["vocab_size"], pad_token_id=None, bos_token_id=1, eos_token_id=None)
        c.attn_config.kv_n_heads = h; c.attn_config.clip_qkv = r.choice([.6, 1.0]); c.ffn_config.ffn_hidden_size = I; c.ffn_config.moe_num_experts = E; c.ffn_config.moe_top_k = K; c.ffn_config.hidden_size = d * 2; c.attn_config.rope_theta = 1e4; c.num_key_value_heads = h
        c.ffn_config.moe_normalize_expert_weights = 2.0 if n == 5 else 1.0; return c
    if fam == "gpt_oss": return T.GptOssConfig(**wide, head_dim=8, intermediate_size=I, num_local_experts=E, num_experts_per_tok=K, sliding_window=5, layer_types=[["sliding_attention", "full_attention"][i % 2] for i in range(L)])
    if fam == "glm4_moe": return T.Glm4MoeConfig(**wide, head_dim=8, intermediate_size=2 * I, moe_intermediate_size=I, n_routed_experts=EG, n_shared_experts=1, num_experts_per_tok=KG, n_group=G if n == 5 else 1, topk_group=M if n == 5 else 1, routed_scaling_factor=1.5, first_k_dense_replace=n % 2, norm_topk_prob=True, use_qk_norm=n % 2 == 0, attention_bias=n > 2)
    if fam == "ernie4_5_moe": return T.Ernie4_5_MoeConfig(**b, intermediate_size=2 * I, moe_intermediate_size=I, moe_num_experts=E, moe_k=K, moe_num_shared_experts=r.choice([1, 2]), moe_layer_start_index=n % 2, moe_layer_end_index=-1, moe_layer_interval=1, use_bias=n > 2)
    if fam == "phimoe": return T.PhimoeConfig(**b, intermediate_size=I, num_local_experts=E, num_experts_per_tok=2, router_jitter_noise=.2, attention_bias=n % 2 == 0, lm_head_bias=n > 2)
    if fam == "jetmoe": return T.JetMoeConfig(vocab_size=b["vocab_size"], hidden_size=d, num_hidden_layers=L, num_key_value_heads=max(kv, 2), kv_channels=hd, intermediate_size=I, num_local_experts=E, num_experts_per_tok=2, max_position_embeddings=64, pad_token_id=None, bos_token_id=1, eos_token_id=None)
    if fam == "llama": return T.LlamaConfig(**b, **rp, head_dim=hd, intermediate_size=2 * I, attention_bias=n == 5, mlp_bias=n == 5)
    if fam == "mistral": return T.MistralConfig(**wide, **rp, head_dim=hd, intermediate_size=2 * I, sliding_window=[None, 5][n % 2])
    if fam == "qwen3": return T.Qwen3Config(**wide, **rp, head_dim=hd, intermediate_size=2 * I, attention_bias=n == 2)
    raise KeyError(fam)
FAMILIES = "mixtral qwen2_moe qwen3_moe olmoe deepseek_v2 deepseek_v3 granitemoe granitemoeshared dbrx gpt_oss glm4_moe ernie4_5_moe phimoe jetmoe".split()

def randomise(m, g):
    with torch.no_grad():
        for n, p in list(m.named_parameters()) + [x for x in m.named_buffers() if "correction_bias" in x[0]]:
            if "norm" in n and p.dim() == 1 and "bias" not in n: p.copy_(.7 + .6 * torch.rand(p.shape, generator=g))
            elif p.dim() > 1: p.copy_(torch.randn(p.shape, generator=g) * ((1.5 if "gate.weight" in n or "router" in n else .9) / p.shape[-1] ** .5))
            else: p.copy_(torch.randn(p.shape, generator=g) * .1)
def logits(m, rows):
    with torch.no_grad(): return [m(torch.tensor([x]), use_cache=False).logits[0].float() for x in rows]
def ce(m, rows):
    n = sum(len(x) - 1 for x in rows); s = 0
    for x in rows:
        if len(x) > 1: t = torch.tensor([x]); s = s + torch.nn.functional.cross_entropy(m(t, use_cache=False).logits[0, :-1].float(), t[0, 1:], reduction="sum")
    return s / n
def save_as(m, values, path):           # values under the names that save_pretrained gives to parameters
    with torch.no_grad():
        for k, p in m.named_parameters(): p.copy_(values[k])
    m.save_pretrained(path + ".tmp"); t = {}
    for f in sorted(os.listdir(path + ".tmp")):
        if f.endswith(".safetensors"): t.update(load_file(f"{path}.tmp/{f}"))
    shutil.rmtree(path + ".tmp"); save_file({k: v for k, v in t.items() if "correction_bias" not in k}, path)
def one(fam, n, out, grads):
    for seed in range(1000 * n + 1, 1000 * n + 40):
        r = random.Random(f"{fam}{seed}"); cfg = config(fam, r, n); g = torch.Generator().manual_seed(seed); torch.manual_seed(seed)
        m = AutoModelForCausalLM.from_config(cfg, attn_implementation="eager", experts_implementation="eager", dtype=torch.float32).eval()
        randomise(m, g); path = f"{out}/{fam}-{n}"; shutil.rmtree(path, ignore_errors=True); (m.to(torch.bfloat16) if n == 4 else m).save_pretrained(path, **({"max_shard_size": "30KB"} if n == 3 else {}))
        m = AutoModelForCausalLM.from_pretrained(path, attn_implementation="eager", experts_implementation="eager", dtype=torch.float32).eval()
        rows = [torch.randint(2, cfg.vocab_size, (k,), generator=g).tolist() for k in (1, 9, 23)]; want = logits(m, rows); greedy = []; sens = 0.
        for x in rows:
            y = list(x)
            for _ in range(16): y.append(int(logits(m, [y])[0][-1].argmax()))
            greedy.append(y[len(x):])
        full = [x + y for x, y in zip(rows, greedy)]; ref = logits(m, full)
        for trial in range(3):
            q = copy.deepcopy(m)
            with torch.no_grad():
                for p in q.parameters(): p.mul_(1 + 1e-6 * torch.randn(p.shape, generator=g))
            for a, b in zip(ref, logits(q, full)): sens = max(sens, float((a - b).abs().max() / a.abs().max()))
        top = torch.cat([t[len(x) - 1:-1].topk(2).values for t, x in zip(ref, rows)]); margin = float(((top[:, 0] - top[:, 1]) / top[:, 0].abs()).min())
        if sens < 5e-5 and margin > 2e-3 and all(bool(torch.isfinite(x).all()) for x in want): break
    else: raise RuntimeError("no stable seed")
    save_file({f"logits.{i}": x.contiguous() for i, x in enumerate(want)}, f"{path}/expect.safetensors")
    json.dump(rows, open(f"{path}/ids.json", "w")); json.dump(greedy, open(f"{path}/greedy.json", "w"))
    meta = dict(family=fam, seed=seed, torch=torch.__version__, transformers=transformers.__version__, parameters=sum(p.numel() for p in m.parameters()), sensitivity=sens, greedy_margin=margin)
    if grads:
        loss = ce(m, rows); loss.backward(); meta["loss"] = float(loss)
        gr = {k: (p.grad.clone() if p.grad is not None else torch.zeros_like(p)) for k, p in m.named_parameters()}
        q = copy.deepcopy(m); opt = torch.optim.AdamW([{"params": [p for p in q.parameters() if p.dim() > 1], "weight_decay": .1}, {"params": [p for p in q.parameters() if p.dim() <= 1], "weight_decay": 0.}], lr=1e-3, betas=(.9, .95), eps=1e-8); curve = []
        for _ in range(20): opt.zero_grad(); l = ce(q, rows); l.backward(); opt.step(); curve.append(float(l))
        json.dump(curve, open(f"{path}/curve.json", "w")); save_as(m, gr, f"{path}/gradients.safetensors")
    json.dump(meta, open(f"{path}/meta.json", "w"), indent=1); return meta
def main():
    ap = argparse.ArgumentParser(); ap.add_argument("out"); ap.add_argument("--families", default=",".join(FAMILIES)); ap.add_argument("--per-family", type=int, default=5); ap.add_argument("--no-gradients", action="store_true"); a = ap.parse_args()
    torch.set_num_threads(1)
    for fam in a.families.split(","):
        for n in range(1, a.per_family + 1):
            try: m = one(fam, n, a.out, not a.no_gradients); print(f"{fam}-{n}: {m['parameters']} parameters, sensitivity {m['sensitivity']:.1e}, margin {m['greedy_margin']:.1e}, seed {m['seed']}", flush=True)
            except Exception as e: shutil.rmtree(f"{a.out}/{fam}-{n}", ignore_errors=True); print(f"{fam}-{n}: not made: {type(e).__name__}: {str(e)[:200]}", flush=True)
main()
