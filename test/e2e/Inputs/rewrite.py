# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights made by recipes: the compiled result against the compiled donor on the same ids, right behind the rewrite.

    rewrite.py CHECK FIXTURES DENSE WORK     CHECK is a function below

Both in f32: within 2e-5 of the largest logit (kLogitsF32 of lib/reference/tolerances.h), and for the donors of DENSE also
against what transformers said of them.
"""

import json
import pathlib
import shutil
import struct
import subprocess
import sys

import oracle

TOLERANCE = 2e-5


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def call(*command):
    done = run(*command)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def weights(folder):
    found = {}
    for file in sorted(folder.glob("model*.safetensors")):
        found.update(oracle.tensors(str(file)))
    return found


def write(folder, config, tensors):
    """A folder with these tensors (shape, dtype, bytes)."""
    folder.mkdir(parents=True, exist_ok=True)
    header, at = {}, 0
    for name, (shape, dtype, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(raw for _, _, raw in tensors.values()))
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


class Work:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.good, self.count = True, 0

    def path(self, name):
        return self.folder / f"{self.count}.{name}"

    def compile(self, donor, recipe):
        self.count += 1
        module = self.path("rewrite.moe")
        call("moe-compile", donor, "--compute", "f32", "--target", "cpu:native", "--rewrite", recipe, "-o", module)
        return module

    def rewrite(self, donor, recipe, others=(), flags=()):
        """The module of the donor and the folder made of it."""
        module, out = self.compile(donor, recipe), self.path("out")
        given = [part for folder in (donor, *others) for part in ("--weights", folder)]
        call("moe-run", "rewrite", module, *given, "--out", out, *flags)
        return module, out

    def logits(self, module, folder, ids, name):
        out = self.path(name)
        call("moe-run", "score", module, "--weights", folder, "--ids", ids, "--logits", out, "-o", "json")
        return {row: oracle.floats(value) for row, value in oracle.tensors(str(out)).items()}

    def compare(self, what, want, have, tolerance=TOLERANCE):
        worst = max(max(abs(x - y) for x, y in zip(want[row], have[row])) / max(map(abs, want[row])) for row in want)
        same = all(len(want[row]) == len(have[row]) for row in want) and want.keys() == have.keys()
        print(f"{what}: max_rel={worst:.2e} tol={tolerance}")
        self.good &= same and worst <= tolerance
        return worst

    def step0(self, donor, recipe, others=(), expect=True, flags=(), ids=None):
        """Logits of what a recipe makes against those of its donor; back comes the folder."""
        ids = ids or donor / "ids.json"
        module, out = self.rewrite(donor, recipe, others, flags)
        made = self.path("made.moe")
        call("moe-compile", out, "--compute", "f32", "--target", "cpu:native", "-o", made)
        want, have = self.logits(module, donor, ids, "donor"), self.logits(made, out, ids, "new")
        if expect:
            self.compare(f"{donor.name} {recipe}", want, have)
            if (donor / "expect.safetensors").exists():
                oracle_says = oracle.tensors(str(donor / "expect.safetensors"))
                self.compare("  against transformers", {k: oracle.floats(v) for k, v in oracle_says.items()}, have)
        return out, want, have

    def demand(self, condition, what):
        if not condition:
            print(f"WRONG: {what}")
            self.good = False


def upcycle(work, _, dense):
    for donor in ("llama-1", "llama-3", "mistral-1", "qwen3-1"):
        work.step0(dense / donor, "upcycle=4")
    work.step0(dense / "mistral-3", "upcycle=3,top_k=3,seed=7")
    work.step0(dense / "llama-1", "upcycle=1")
    # Each part of a copy has a G-th of its weight, which the scale of G undoes.
    for donor, parts in (("llama-1", 2), ("mistral-2", 3), ("qwen3-4", 2)):
        width = config_of(dense / donor)["intermediate_size"]
        parts = parts if width % parts == 0 else 2
        out, _, _ = work.step0(dense / donor, f"upcycle=3,top_k=2,granular={parts}")
        work.demand(config_of(out).get("num_experts", config_of(out).get("num_local_experts")) == 3 * parts, "experts")
    sharded, _, _ = work.step0(dense / "llama-1", "upcycle=4", flags=("--shard-bytes", "20KB"))
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    work.demand(len(set(index["weight_map"].values())) > 3, "several shards")
    work.demand(set(index["weight_map"]) == set(weights(sharded)), "the index names every tensor")
    # Noise differs between experts, and repeats.
    one, want, have = work.step0(dense / "llama-1", "upcycle=4,noise=0.1", expect=False)
    two, _, _ = work.step0(dense / "llama-1", "upcycle=4,noise=0.1", expect=False)
    noisy, again = weights(one), weights(two)
    name = "model.layers.0.block_sparse_moe.experts.{}.w1.weight"
    raw = weights(dense / "llama-1")["model.layers.0.mlp.gate_proj.weight"]
    donor, made = oracle.floats(raw), oracle.floats(noisy[name.format(1)])
    rms = lambda values: (sum(x * x for x in values) / len(values))**0.5
    deviation = rms([a - b for a, b in zip(donor, made)]) / rms(donor)
    print(f"noise of 0.1 has a deviation of {deviation:.3f}")
    work.demand(abs(deviation - 0.1) < 0.01, "deviation of the noise")
    work.demand(noisy == again, "noise repeats")
    work.demand(noisy[name.format(0)] != noisy[name.format(1)], "noise differs")
    work.demand(work.compare("  noise changes logits", want, have, 1) > 1e-3, "noise is there")


def main():
    check, fixtures, dense, folder = sys.argv[1:]
    work = Work(folder)
    globals()[check](work, pathlib.Path(fixtures), pathlib.Path(dense))
    sys.exit(not work.good)


if __name__ == "__main__":
    main()
