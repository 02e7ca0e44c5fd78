#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Prefill and decode of one model, compiled and in transformers, in turn in one run.

    race_transformers.py FOLDER --bin DIR [--dtype f32] [--experts eager,grouped_mm] [--attention eager|sdpa] [--prompt 512]
                         [--tokens 64] [--rounds 7] [--threads 1]

Prints one JSON line for prefill and one for decode: tokens per second of both (medians over the rounds), with the fastest of the
ways of transformers to compute experts, and their ratio; above 1 the compiled model is faster. The limit is what `moe-run bench`
gives: the largest of the time for the weights at the measured bandwidth and for the multiply-adds at the measured rate. Decode
starts from an empty cache with random tokens, as `moe-run bench` does."""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import torch
import transformers
from transformers import AutoModelForCausalLM

transformers.utils.logging.set_verbosity_error()


def compiled(a, module):
    command = [f"{a.bin}/moe-run", "bench", module, "--weights", a.folder, "-p", str(a.prompt), "-n", str(a.tokens), "-b", "1",
               "--threads", str(a.threads), "-o", "json"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = {row["test"]: row for row in map(json.loads, filter(str.strip, lines))}
    return rows[f"pp{a.prompt}"], rows[f"tg{a.tokens}"]


@torch.no_grad()
def eager(a, model, generator):
    vocabulary = model.config.vocab_size
    ids = torch.randint(0, vocabulary, (1, a.prompt), generator=generator)
    start = time.perf_counter()
    model(ids, use_cache=True, logits_to_keep=1)
    prefill = a.prompt / (time.perf_counter() - start)
    cache, token = None, ids[:, :1]
    start = time.perf_counter()
    for _ in range(a.tokens):
        out = model(token, past_key_values=cache, use_cache=True)
        cache, token = out.past_key_values, torch.randint(0, vocabulary, (1, 1), generator=generator)
    return prefill, a.tokens / (time.perf_counter() - start)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("--bin", required=True)
    p.add_argument("--dtype", default="f32", choices=["f32", "bf16"])
    p.add_argument("--experts", default="eager")
    p.add_argument("--attention", default="eager")
    p.add_argument("--prompt", type=int, default=512)
    p.add_argument("--tokens", type=int, default=64)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[a.dtype]
    model = AutoModelForCausalLM.from_pretrained(a.folder, dtype=dtype, attn_implementation=a.attention, experts_implementation="eager").eval()
    generator = torch.Generator().manual_seed(1)
    ours, theirs = [], {way: [] for way in a.experts.split(",")}
    with tempfile.TemporaryDirectory() as folder:
        module = os.path.join(folder, "model.moe")
        subprocess.run([f"{a.bin}/moe-compile", a.folder, "--compute", a.dtype, "-o", module], check=True, capture_output=True)
        for i in range(a.rounds + 1):
            if i:  # the first one warms up
                ours.append(compiled(a, module))
            for way, rates in theirs.items():
                model.set_experts_implementation(way)
                rates.append(eager(a, model, generator))
    for i, test in enumerate((f"pp{a.prompt}", f"tg{a.tokens}")):
        x, limit = (statistics.median(r[i][key] for r in ours) for key in ("tokens_per_s", "limit_tokens_per_s"))
        ways = {way: statistics.median(r[i] for r in rates[1:]) for way, rates in theirs.items()}
        best = max(ways, key=ways.get)
        print(json.dumps({"model": os.path.basename(a.folder.rstrip("/")), "dtype": a.dtype, "threads": a.threads, "test": test,
                          "compiled_tokens_per_s": round(x, 1), "limit_tokens_per_s": round(limit, 1),
                          "transformers_tokens_per_s": round(ways[best], 1), "experts": best, "attention": a.attention,
                          "ratio": round(x / ways[best], 2), "rounds": a.rounds, "torch": torch.__version__, "transformers": transformers.__version__,
                          "load_average": os.getloadavg()[0]}), flush=True)


if __name__ == "__main__":
    main()
