# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes the descriptions of published models: NAME.mlir from the sizes below.

    describe.py [NAME…]        needs moe-import on the PATH

Each model is the folder that its authors published, as far as moe-import reads it: config.json and the names, shapes and
dtypes of its tensors. No weight is needed or made (the data part of the file is a hole).
"""

import json
import os
import re
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def llama(c, q_bias=False):
    """Tensors of the frame and of grouped-query attention."""
    d, hd = c["hidden_size"], c.get("head_dim", c["hidden_size"] // c["num_attention_heads"])
    q, kv = c["num_attention_heads"] * hd, c["num_key_value_heads"] * hd
    yield "model.embed_tokens.weight", [c["vocab_size"], d]
    yield "model.norm.weight", [d]
    if not c.get("tie_word_embeddings"):
        yield "lm_head.weight", [c["vocab_size"], d]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", [d]
        yield p + "post_attention_layernorm.weight", [d]
        for part, rows in ("q", q), ("k", kv), ("v", kv):
            yield f"{p}self_attn.{part}_proj.weight", [rows, d]
            if q_bias:
                yield f"{p}self_attn.{part}_proj.bias", [rows]
        yield p + "self_attn.o_proj.weight", [d, q]


def glu(prefix, width, d, names=("gate_proj", "up_proj", "down_proj")):
    yield f"{prefix}{names[0]}.weight", [width, d]
    yield f"{prefix}{names[1]}.weight", [width, d]
    yield f"{prefix}{names[2]}.weight", [d, width]


def mixtral(c):
    yield from llama(c)
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}.block_sparse_moe."
        yield p + "gate.weight", [c["num_local_experts"], c["hidden_size"]]
        for e in range(c["num_local_experts"]):
            yield from glu(f"{p}experts.{e}.", c["intermediate_size"], c["hidden_size"], ("w1", "w3", "w2"))


def routed(c, count, width, first=0, shared=None, bias=False):
    d = c["hidden_size"]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}.mlp."
        if i < first:
            yield from glu(p, c["intermediate_size"], d)
            continue
        yield p + "gate.weight", [count, d]
        if bias:
            yield p + "gate.e_score_correction_bias", [count], "F32"
        for e in range(count):
            yield from glu(f"{p}experts.{e}.", width, d)
        if shared:
            yield from glu(p + shared[0], shared[1], d)


def olmoe(c):
    yield from llama(c)
    yield from routed(c, c["num_experts"], c["intermediate_size"])
    for i in range(c["num_hidden_layers"]):
        yield f"model.layers.{i}.self_attn.q_norm.weight", [c["hidden_size"]]
        yield f"model.layers.{i}.self_attn.k_norm.weight", [c["hidden_size"]]


def qwen2_moe(c):
    yield from llama(c, q_bias=True)
    yield from routed(c, c["num_experts"], c["moe_intermediate_size"],
                      shared=("shared_expert.", c["shared_expert_intermediate_size"]))
    for i in range(c["num_hidden_layers"]):
        yield f"model.layers.{i}.mlp.shared_expert_gate.weight", [1, c["hidden_size"]]


def qwen3_moe(c):
    yield from llama(c)
    yield from routed(c, c["num_experts"], c["moe_intermediate_size"])
    for i in range(c["num_hidden_layers"]):
        yield f"model.layers.{i}.self_attn.q_norm.weight", [c["head_dim"]]
        yield f"model.layers.{i}.self_attn.k_norm.weight", [c["head_dim"]]


def deepseek(c):
    yield from llama(c)
    yield from routed(c, c["n_routed_experts"], c["moe_intermediate_size"], c["first_k_dense_replace"],
                      ("shared_experts.", c["n_shared_experts"] * c["moe_intermediate_size"]))


def latent(c, bias):
    d, heads, rank = c["hidden_size"], c["num_attention_heads"], c["kv_lora_rank"]
    nope, rope, value = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
    yield "model.embed_tokens.weight", [c["vocab_size"], d]
    yield "model.norm.weight", [d]
    yield "lm_head.weight", [c["vocab_size"], d]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", [d]
        yield p + "post_attention_layernorm.weight", [d]
        a = p + "self_attn."
        if c["q_lora_rank"]:
            yield a + "q_a_proj.weight", [c["q_lora_rank"], d]
            yield a + "q_a_layernorm.weight", [c["q_lora_rank"]]
            yield a + "q_b_proj.weight", [heads * (nope + rope), c["q_lora_rank"]]
        else:
            yield a + "q_proj.weight", [heads * (nope + rope), d]
        yield a + "kv_a_proj_with_mqa.weight", [rank + rope, d]
        yield a + "kv_a_layernorm.weight", [rank]
        yield a + "kv_b_proj.weight", [heads * (nope + value), rank]
        yield a + "o_proj.weight", [d, heads * value]
    yield from routed(c, c["n_routed_experts"], c["moe_intermediate_size"], c["first_k_dense_replace"],
                      ("shared_experts.", c["n_shared_experts"] * c["moe_intermediate_size"]), bias)


def dbrx(c):
    d, ffn = c["d_model"], c["ffn_config"]
    kv, width = c["attn_config"]["kv_n_heads"] * d // c["n_heads"], ffn["moe_num_experts"] * ffn["ffn_hidden_size"]
    yield "transformer.wte.weight", [c["vocab_size"], d]
    yield "transformer.norm_f.weight", [d]
    yield "lm_head.weight", [c["vocab_size"], d]
    for i in range(c["n_layers"]):
        p = f"transformer.blocks.{i}."
        yield p + "norm_attn_norm.norm_1.weight", [d]
        yield p + "norm_attn_norm.norm_2.weight", [d]
        yield p + "norm_attn_norm.attn.Wqkv.weight", [d + 2 * kv, d]
        yield p + "norm_attn_norm.attn.out_proj.weight", [d, d]
        yield p + "ffn.router.layer.weight", [ffn["moe_num_experts"], d]
        for part in "w1", "v1", "w2":
            yield p + "ffn.experts.mlp." + part, [width, d]


def gpt_oss(c):
    d, w, e, heads = c["hidden_size"], c["intermediate_size"], c["num_local_experts"], c["num_attention_heads"]
    yield from llama(c, q_bias=True)
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        yield p + "self_attn.o_proj.bias", [d]
        yield p + "self_attn.sinks", [heads]
        yield p + "mlp.router.weight", [e, d]
        yield p + "mlp.router.bias", [e]
        yield p + "mlp.experts.gate_up_proj", [e, d, 2 * w]
        yield p + "mlp.experts.gate_up_proj_bias", [e, 2 * w]
        yield p + "mlp.experts.down_proj", [e, w, d]
        yield p + "mlp.experts.down_proj_bias", [e, d]


def jetmoe(c):
    d, w, e = c["hidden_size"], c["intermediate_size"], c["num_local_experts"]
    kv = c["num_key_value_heads"] * c["kv_channels"]
    yield "model.embed_tokens.weight", [c["vocab_size"], d]
    yield "model.norm.weight", [d]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", [d]
        yield p + "post_attention_layernorm.weight", [d]
        yield p + "self_attention.kv_proj.weight", [2 * kv, d]
        for part, rows, inner in ("self_attention.experts.", kv, kv), ("mlp.", 2 * w, w):
            yield p + part + "router.layer.weight", [e, d]
            yield p + part + "input_linear.weight", [e, rows, d]
            yield p + part + "output_linear.weight", [e, d, inner]
            yield p + part + "bias", [d]


def sizes(vocab, layers, hidden, heads, kv, positions, **more):
    return {"vocab_size": vocab, "num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads,
            "num_key_value_heads": kv, "max_position_embeddings": positions, "rms_norm_eps": 1e-6, "rope_theta": 1e4,
            "hidden_act": "silu", **more}


def mla(vocab, layers, hidden, heads, q_rank, **more):
    yarn = {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1,
            "mscale": 1.0, "mscale_all_dim": 1.0} | more.pop("yarn", {})
    return sizes(vocab, layers, hidden, heads, heads, 163840, q_lora_rank=q_rank, kv_lora_rank=512, qk_nope_head_dim=128,
                 qk_rope_head_dim=64, v_head_dim=128, rope_scaling=yarn, **more)


def gpt_oss_sizes(layers, experts):
    yarn = {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "beta_fast": 32.0,
            "beta_slow": 1.0, "truncate": False}
    return sizes(201088, layers, 2880, 64, 8, 131072, model_type="gpt_oss", head_dim=64, intermediate_size=2880,
                 num_local_experts=experts, num_experts_per_tok=4, sliding_window=128, rope_scaling=yarn) | {
                     "rms_norm_eps": 1e-5, "rope_theta": 150000, "swiglu_limit": 7.0}


# Sizes of the published config.json files.
MODELS = {
    "mixtral_8x7b": (mixtral, "Mixtral 8x7B (Jiang et al. 2024)", sizes(
        32000, 32, 4096, 32, 8, 32768, model_type="mixtral", intermediate_size=14336, num_local_experts=8,
        num_experts_per_tok=2, rope_theta=1e6, rms_norm_eps=1e-5)),
    "mixtral_8x22b": (mixtral, "Mixtral 8x22B (2024)", sizes(
        32000, 56, 6144, 48, 8, 65536, model_type="mixtral", intermediate_size=16384, num_local_experts=8,
        num_experts_per_tok=2, rope_theta=1e6, rms_norm_eps=1e-5)),
    "olmoe_1b_7b": (olmoe, "OLMoE-1B-7B (Muennighoff et al. 2024)", sizes(
        50304, 16, 2048, 16, 16, 4096, model_type="olmoe", intermediate_size=1024, num_experts=64,
        num_experts_per_tok=8, norm_topk_prob=False, rms_norm_eps=1e-5)),
    "qwen1_5_moe_a2_7b": (qwen2_moe, "Qwen1.5-MoE-A2.7B (2024)", sizes(
        151936, 24, 2048, 16, 16, 8192, model_type="qwen2_moe", intermediate_size=5632, moe_intermediate_size=1408,
        shared_expert_intermediate_size=5632, num_experts=60, num_experts_per_tok=4, norm_topk_prob=False,
        rope_theta=1e6)),
    "qwen3_30b_a3b": (qwen3_moe, "Qwen3-30B-A3B (2025)", sizes(
        151936, 48, 2048, 32, 4, 40960, model_type="qwen3_moe", head_dim=128, intermediate_size=6144,
        moe_intermediate_size=768, num_experts=128, num_experts_per_tok=8, norm_topk_prob=True, rope_theta=1e6)),
    "deepseek_moe_16b": (deepseek, "DeepSeekMoE 16B (Dai et al. 2024)", sizes(
        102400, 28, 2048, 16, 16, 4096, model_type="deepseek", intermediate_size=10944, moe_intermediate_size=1408,
        n_routed_experts=64, n_shared_experts=2, num_experts_per_tok=6, first_k_dense_replace=1, moe_layer_freq=1,
        norm_topk_prob=False)),
    "deepseek_moe_2b": (deepseek, "DeepSeekMoE 2B (Dai et al. 2024; width of experts derived)", sizes(
        8192, 9, 1280, 10, 10, 2048, model_type="deepseek", intermediate_size=3413, moe_intermediate_size=853,
        n_routed_experts=63, n_shared_experts=1, num_experts_per_tok=7, first_k_dense_replace=0, moe_layer_freq=1,
        norm_topk_prob=False)),
    "deepseek_moe_145b": (deepseek, "DeepSeekMoE 145B (Dai et al. 2024; widths derived)", sizes(
        102400, 62, 4096, 32, 32, 4096, model_type="deepseek", intermediate_size=22528, moe_intermediate_size=1408,
        n_routed_experts=128, n_shared_experts=4, num_experts_per_tok=12, first_k_dense_replace=1, moe_layer_freq=1,
        norm_topk_prob=False)),
    "skywork_moe": (mixtral, "Skywork-MoE (Wei et al. 2024), as a model of the family mixtral", sizes(
        65536, 52, 4608, 36, 36, 8192, model_type="mixtral", intermediate_size=12288, num_local_experts=16,
        num_experts_per_tok=2)),
    "arctic": (mixtral, "Snowflake Arctic (2024), a dense MLP beside the experts of each layer", sizes(
        32000, 35, 7168, 56, 8, 4096, model_type="mixtral", intermediate_size=4864, num_local_experts=128,
        num_experts_per_tok=2, rms_norm_eps=1e-5)),
    "jetmoe_8b": (jetmoe, "JetMoE-8B (Shen et al. 2024)", sizes(
        32000, 24, 2048, 32, 16, 4096, model_type="jetmoe", kv_channels=128, intermediate_size=5632,
        num_local_experts=8, num_experts_per_tok=2, tie_word_embeddings=True)),
    "gpt_oss_20b": (gpt_oss, "gpt-oss-20b (2025), its experts in bf16", gpt_oss_sizes(24, 32)),
    "gpt_oss_120b": (gpt_oss, "gpt-oss-120b (2025), its experts in bf16", gpt_oss_sizes(36, 128)),
    "deepseek_v2_lite": (lambda c: latent(c, False), "DeepSeek-V2-Lite (2024)", mla(
        102400, 27, 2048, 16, None, model_type="deepseek_v2", intermediate_size=10944, moe_intermediate_size=1408,
        n_routed_experts=64, n_shared_experts=2, num_experts_per_tok=6, first_k_dense_replace=1, topk_method="greedy",
        n_group=1, topk_group=1, routed_scaling_factor=1.0, yarn={"mscale": 0.707, "mscale_all_dim": 0.707})),
    "deepseek_v3": (lambda c: latent(c, True), "DeepSeek-V3 (2024), without the layer for multi-token prediction", mla(
        129280, 61, 7168, 128, 1536, model_type="deepseek_v3", intermediate_size=18432, moe_intermediate_size=2048,
        n_routed_experts=256, n_shared_experts=1, num_experts_per_tok=8, first_k_dense_replace=3, n_group=8,
        topk_group=4, norm_topk_prob=True, routed_scaling_factor=2.5)),
    "dbrx": (dbrx, "DBRX (2024)", {
        "model_type": "dbrx", "vocab_size": 100352, "d_model": 6144, "n_heads": 48, "n_layers": 40, "max_seq_len": 32768,
        "attn_config": {"kv_n_heads": 8, "clip_qkv": 8, "rope_theta": 500000},
        "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4,
                       "moe_normalize_expert_weights": 1}}),
}


def beside(text, d, w, layers):
    """A dense MLP on the stream that the experts of each layer read, both added to it; no family has one."""
    layer, m = "model.layers.{i}.", f"layers [0, {layers}] from"
    params = (
        f'  nn.param @residual_norm : tensor<{d}xbf16> {m} [#nn.source<"{layer}residual_layernorm.weight", [{d}]>]\n'
        f'  nn.param @residual_gate_up : tensor<{2 * w}x{d}xbf16> {m} [#nn.source<"{layer}residual_mlp.w1.weight", '
        f'[{w}, {d}] rows {w}>, #nn.source<"{layer}residual_mlp.w3.weight", [{w}, {d}] at {w} rows {w}>]\n'
        f'  nn.param @residual_down : tensor<{d}x{w}xbf16> {m} [#nn.source<"{layer}residual_mlp.w2.weight", [{d}, {w}]>]\n')
    text = text.replace("  moe.router @", params + "  moe.router @", 1)
    stream, experts = re.search(r"arith.addf (%\d+), (%\d+) : tensor<\?x\d+xbf16>\n *nn.yield", text).groups()
    layer_at = re.search(r"layer\((%\w+)\)", text).group(1)
    mlp = (f"      %dense = nn.mlp {stream} layer({layer_at}) norm(@residual_norm, 1.0e-05) glu(silu, @residual_gate_up, "
           f"@residual_down) : tensor<?x{d}xbf16> -> tensor<?x{d}xbf16>\n")
    norm_at = re.search(r"^ *%\d+ = nn.param_get @ffn_norm", text, re.M).start()
    text = text[:norm_at] + mlp + text[norm_at:]
    return text.replace(f"arith.addf {stream}, {experts}", f"arith.addf %dense, {experts}", 1)


def folder_of(config, tensors, directory):
    header, end = {}, 0
    for name, shape, *dtype in tensors:
        dtype = dtype[0] if dtype else "BF16"
        size = 4 if dtype == "F32" else 2
        for extent in shape:
            size *= extent
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(f"{directory}/model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    with open(f"{directory}/config.json", "w", encoding="utf-8") as file:
        json.dump(config, file)


for name in sys.argv[1:] or MODELS:
    tensors, title, config = MODELS[name]
    with tempfile.TemporaryDirectory() as directory:
        folder_of(config, tensors(config), directory)
        path = f"{HERE}/{name}.mlir"
        subprocess.run(["moe-import", directory, "--name", name, "-o", path], check=True, stderr=subprocess.DEVNULL)
    text = open(path, encoding="utf-8").read()
    if name == "arctic":
        text = beside(text, config["hidden_size"], config["hidden_size"], config["num_hidden_layers"])
        text = subprocess.run(["moe-opt", "-"], input=text, check=True, capture_output=True, text=True).stdout.strip() + "\n"
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"// {title}: sizes of its published config.json. Made by describe.py.\n{text}")
    print(f"{name}.mlir: {len(text.splitlines())} lines")
