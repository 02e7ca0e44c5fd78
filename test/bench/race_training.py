#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A training step (forward, backward, AdamW) of a mixture of experts, compiled and in transformers, in turn in one run.

    race_training.py --bin DIR [--folder DIR] [--batch 8] [--seq 256] [--rounds 5] [--steps 4] [--threads 1] [--compute f32]

Without --folder the model is one of 51 million parameters, 15 of them active: 8 layers of width 384, 32 experts of 128 with
4 chosen, shared experts of 256, 8192 tokens (class Qwen2Moe: fine-grained and shared experts). The peer has its fastest
settings on CPUs: grouped_mm experts, SDPA, fused AdamW, and no clipping of gradients; ours has the norm of all gradients
and the clip. Prints a JSON line: tokens per second (medians over all steps but the first of a round), their ratio, above 1
the compiled step is faster, and the peaks of resident memory."""
import argparse
import json
import os
import pathlib
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

SIZES = dict(hidden_size=384, moe_intermediate_size=128, shared_expert_intermediate_size=256, intermediate_size=1024,
             num_hidden_layers=8, num_attention_heads=6, num_key_value_heads=6, num_experts=32, num_experts_per_tok=4,
             vocab_size=8192, max_position_embeddings=512, tie_word_embeddings=False)


def make(folder):
    import torch
    from transformers import AutoModelForCausalLM, Qwen2MoeConfig
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(Qwen2MoeConfig(**SIZES)).float().save_pretrained(folder)


def peer(a):
    """Makes a.steps steps for each line that comes in, and prints their seconds and the peak of memory."""
    import resource
    import torch
    from transformers import AutoModelForCausalLM
    torch.set_num_threads(a.threads)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[a.compute]
    model = AutoModelForCausalLM.from_pretrained(a.folder, dtype=dtype, attn_implementation="sdpa").train()
    model.set_experts_implementation("grouped_mm")
    model.config.use_cache = False
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    generator = torch.Generator().manual_seed(1)
    for _ in sys.stdin:
        seconds = []
        for _ in range(a.steps):
            ids = torch.randint(0, model.config.vocab_size, (a.batch, a.seq), generator=generator)
            start = time.perf_counter()
            model(ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            seconds.append(time.perf_counter() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak_mib": peak}), flush=True)


def compiled(a, work, module, data):
    run = work / "run"
    shutil.rmtree(run, ignore_errors=True)
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.dup2(2, 1)
        os.execv(f"{a.bin}/moe-run", ["moe-run", "train", str(module), "--data", str(data), "--init", a.folder, "--out",
                                      str(run), "--steps", str(a.steps), "--batch", str(a.batch), "--seq", str(a.seq),
                                      "--threads", str(a.threads), "--lr", "1e-4", "--save-every", "0"])
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"moe-run train: status {status}")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["seconds"] for line in lines if "loss" in line], usage.ru_maxrss / 1024


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--bin")
    p.add_argument("--folder")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--seq", type=int, default=256)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--steps", type=int, default=4)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--compute", default="f32", choices=["f32", "bf16"])
    p.add_argument("--peer", action="store_true", help="this process is the peer")
    a = p.parse_args()
    if a.peer:
        return peer(a)
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        if not a.folder:
            a.folder = str(work / "model")
            make(a.folder)
        vocabulary = json.loads((pathlib.Path(a.folder) / "config.json").read_text())["vocab_size"]
        data, module = work / "data.bin", work / "train.moe"
        ids = random.Random(1)
        data.write_bytes(b"".join(struct.pack("<H", ids.randrange(vocabulary)) for _ in range(64 * a.batch * a.seq)))
        subprocess.run([f"{a.bin}/moe-compile", a.folder, "--entries", "train", "--compute", a.compute, "--target",
                        "cpu:native", "-o", module], check=True, capture_output=True)
        other = subprocess.Popen([sys.executable, __file__, "--peer", "--folder", a.folder, "--batch", str(a.batch), "--seq",
                                  str(a.seq), "--steps", str(a.steps), "--threads", str(a.threads), "--compute", a.compute],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        ours, theirs, our_peak, their_peak = [], [], 0.0, 0.0
        for _ in range(a.rounds):
            seconds, peak = compiled(a, work, module, data)
            ours, our_peak = ours + seconds[1:], max(our_peak, peak)
            other.stdin.write("\n")
            other.stdin.flush()
            line = json.loads(other.stdout.readline())
            theirs, their_peak = theirs + line["seconds"][1:], max(their_peak, line["peak_mib"])
        other.stdin.close()
        other.wait()
    tokens = a.batch * a.seq
    mine, peers = tokens / statistics.median(ours), tokens / statistics.median(theirs)
    print(json.dumps({"test": "train", "model": pathlib.Path(a.folder).name, "compute": a.compute, "threads": a.threads,
                      "batch": a.batch, "seq": a.seq, "compiled_tokens_per_s": round(mine, 1),
                      "transformers_tokens_per_s": round(peers, 1), "ratio": round(mine / peers, 3),
                      "compiled_peak_mib": round(our_peak), "transformers_peak_mib": round(their_peak),
                      "memory_ratio": round(our_peak / their_peak, 3)}))


if __name__ == "__main__":
    main()
