#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The character-level Tiny Shakespeare baseline (nanoGPT's train_shakespeare_char for CPUs: validation loss about 1.88).

    shakespeare.py --bin DIR [--text models/data/tinyshakespeare.txt] [--seeds 1,2,3] [--steps 2000] [--threads 1]

Trains models/gpt_shakespeare.mlir: batches of 12 blocks of 64 characters, 2000 steps, learning rate 1e-3 to 1e-4 (cosine, 100
steps of warm-up), betas 0.9 and 0.99, decay 0.1, clip 1, no dropout, weights from a normal distribution of 0.02, those before
a sum of 0.02/sqrt(8). The last tenth of the text is for validation, all of it, in blocks of 64. The recipe draws blocks at
random offsets, here they are the blocks of the text in random order, one epoch after the other. Prints a JSON line for each
seed and one with the mean; needs nothing but Python."""
import argparse
import json
import math
import pathlib
import random
import shutil
import statistics
import struct
import subprocess
import tempfile
import time

from checkpoint import write_tensors

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAYERS, WIDTH, BLOCK = 4, 128, 64
TARGET = 1.88


def shapes(vocabulary):
    """Names and shapes of the checkpoint."""
    found = {"transformer.wte.weight": [vocabulary, WIDTH], "transformer.wpe.weight": [BLOCK, WIDTH],
             "transformer.ln_f.weight": [WIDTH]}
    for i in range(LAYERS):
        layer = f"transformer.h.{i}."
        found |= {layer + "ln_1.weight": [WIDTH], layer + "ln_2.weight": [WIDTH],
                  layer + "attn.c_attn.weight": [3 * WIDTH, WIDTH], layer + "attn.c_proj.weight": [WIDTH, WIDTH],
                  layer + "mlp.c_fc.weight": [4 * WIDTH, WIDTH], layer + "mlp.c_proj.weight": [WIDTH, 4 * WIDTH]}
    return found


def initial_weights(path, found, seed):
    """A safetensors file with the weights a run starts from."""
    draw = random.Random(seed)

    def data(name, shape):
        count = math.prod(shape)
        deviation = 0.02 / math.sqrt(2 * LAYERS) if "c_proj" in name else 0.02
        values = [1.0] * count if len(shape) == 1 else [draw.gauss(0, deviation) for _ in range(count)]
        return struct.pack(f"<{count}f", *values)

    write_tensors(path, "F32", found, data)


def prepare(work, path):
    """Writes WORK/train.bin and val.bin, the first nine tenths of the text and the last; the number of its characters."""
    text = pathlib.Path(path).read_text()
    characters = sorted(set(text))
    number = {c: i for i, c in enumerate(characters)}
    ids = [number[c] for c in text]
    cut = int(0.9 * len(ids))
    for name, part in (("train", ids[:cut]), ("val", ids[cut:])):
        (work / f"{name}.bin").write_bytes(struct.pack(f"<{len(part)}H", *part))
    return len(characters)


def train(a, work, module, found, run, seed):
    """One run of the recipe; the validation loss at its end, and seconds."""
    start = work / "start"
    shutil.rmtree(start, ignore_errors=True)
    start.mkdir()
    initial_weights(start / "model.safetensors", found, seed)
    begin = time.perf_counter()
    subprocess.run([f"{a.bin}/moe-run", "train", module, "--data", work / "train.bin", "--eval-data", work / "val.bin", "--init",
                    start, "--out", run, "--seed", str(seed), "--steps", str(a.steps), "--batch", "12", "--seq", str(BLOCK),
                    "--lr", "1e-3", "--min-lr", "1e-4", "--warmup", "100", "--beta1", "0.9", "--beta2", "0.99",
                    "--weight-decay", "0.1", "--clip", "1", "--threads", str(a.threads)], check=True, capture_output=True)
    seconds = time.perf_counter() - begin
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["eval_loss"] for line in lines if "eval_loss" in line][-1], seconds


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--bin", required=True)
    p.add_argument("--text", default=str(ROOT / "models" / "data" / "tinyshakespeare.txt"))
    p.add_argument("--seeds", default="1,2,3")
    p.add_argument("--steps", type=int, default=2000)
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args()
    losses = []
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        found = shapes(prepare(work, a.text))
        subprocess.run([f"{a.bin}/moe-compile", ROOT / "models" / "gpt_shakespeare.mlir", "--entries", "train", "--target",
                        "cpu:native", "-o", work / "gpt.moe"], check=True)
        for seed in map(int, a.seeds.split(",")):
            loss, seconds = train(a, work, work / "gpt.moe", found, work / f"run{seed}", seed)
            losses.append(loss)
            print(json.dumps({"seed": seed, "validation_loss": round(loss, 4), "seconds": round(seconds, 1)}), flush=True)
    mean = statistics.mean(losses)
    print(json.dumps({"test": "shakespeare", "steps": a.steps, "seeds": len(losses), "validation_loss": round(mean, 4),
                      "spread": round(max(losses) - min(losses), 4), "published": TARGET,
                      "difference": round(mean - TARGET, 4)}))


if __name__ == "__main__":
    main()
