# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Mutated programs through moe-opt.

    mutate.py WORK TEST_FOLDER [COUNT [SEED]]

Takes the programs of the tests, damages COUNT copies of them (the same for the same SEED), gives them to moe-opt many at
a time, and those that are still programs to each line of MODES. Every process must end with 0, 1 or 3 and say why, or
with 70, one line and a reproducer whose printed command ends with 70 again; a pass must not crash on any single text.
"""

import bisect
import os
import pathlib
import random
import re
import shlex
import shutil
import subprocess
import sys
import time

MODES = [["--canonicalize", "--cse"], ["--moe-to-fused=functions"], ["--moe-to-cpu=functions"], ["--moe-to-nvvm=functions"],
         ["--moe-to-cpu"], ["--moe-differentiate"], ["--mlir-print-op-generic", "--allow-unregistered-dialect"]]
BATCH = 50
MARKER = "\n// -----\n"
TOKEN = re.compile(r"[%@#!^]?[\w.]+|->|[^\s\w]")
VALUES = ["0", "-1", "1", "64", "4294967296", "9223372036854775807", "-9223372036854775808", "1.0e+40", "0x7FC00000", "nan",
          "true", "dense<0>", "tensor<?x?xf32>", "tensor<*xf32>", "tensor<0x0xf32>", "tensor<4xbf16>", "tensor<f64>", "index", "i1",
          "none", "!moe.plan<0, 0>", "!moe.plan<9999999999, 3>", "[]", "[0, 2]", "[2, 0]", "{", "}",
          "(", ")", "<", ">", '"', "@gate", "@nobody", "%x", "%0", "^bb0", "loc(unknown)", "affine_map<(d0) -> (d0)>", "unit"]


def programs(folder):
    """The programs of the tests, without comments; few of those that are invalid already."""
    found = set()
    for path in sorted(pathlib.Path(folder).rglob("*.mlir")):
        for index, part in enumerate(path.read_text(encoding="utf-8").split("// -----")):
            if path.stem.endswith("invalid") and index % 8:
                continue
            lines = [line for line in part.splitlines() if line.strip() and not line.strip().startswith(("//", "#---"))]
            if 2 < len(lines) < 120:
                found.add("\n".join(lines) + "\n")
    return sorted(found)


def phases(model):
    """The same model at later phases."""
    flags = ("--moe-to-step=entries=score", "--moe-to-step=entries=decode", "--moe-to-fused=entries=score")
    return [subprocess.run(["moe-opt", model, flag], capture_output=True, text=True, check=True).stdout for flag in flags]


SWAPS = [("f32", "bf16", "f64", "f16", "i32", "i1"), ("silu", "gelu_tanh", "relu", "sigmoid"), ("sum", "max", "mean", "min"),
         ("half", "interleaved"), ("axis(0)", "axis(1)", "axis(2)"), ("score", "prefill", "decode"), ("?x", "4x", "0x", "1x")]


def change(rng, sources):
    """A copy of a program that still looks like one: other sizes, types, operands, order."""
    text = rng.choice(sources)
    for _ in range(rng.choice((1, 1, 2))):
        kind = rng.randrange(5)
        numbers = sorted(set(re.findall(r"(?<![\w.%-])\d+(?=[x,>)\]\s])", text)))
        values, lines = sorted(set(re.findall(r"%\w+", text))), text.splitlines()
        if kind == 0 and numbers:
            number = rng.choice(numbers)
            other = rng.choice(["0", "1", "2", "3", "7", "64", "65", str(int(number) + 1), "1000000", "4611686018427387904"])
            text = re.sub(rf"(?<![\w.%-]){number}(?=[x,>)\]\s])", other, text, count=rng.choice((0, 0, 1)))
        elif kind == 1:
            one, other = rng.sample(rng.choice(SWAPS), 2)
            text = text.replace(one, other) if rng.random() < 0.5 else text.replace(one, other, 1)
        elif kind == 2 and len(values) > 1:
            uses = list(re.finditer(r"%\w+", text))
            use = rng.choice(uses)
            text = text[:use.start()] + rng.choice(values) + text[use.end():]
        elif kind == 3:
            at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[at], lines[to] = lines[to], lines[at]
            text = "\n".join(lines) + "\n"
        elif kind == 4:
            pieces = list(re.finditer(r" \w+\([^()]*\)| \{[^{}]*\}", text))
            if pieces:
                piece = rng.choice(pieces)
                text = text[:piece.start()] + text[piece.end():]
    return text


def mutate(rng, sources):
    """A copy of a program with other tokens, lines or bytes."""
    text = rng.choice(sources)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        tokens, lines = list(TOKEN.finditer(text)), text.splitlines()
        if not tokens or not lines:
            break
        one, other = rng.choice(tokens), rng.choice(tokens)
        kind = rng.randrange(8)
        if kind == 0:
            text = text[:one.start()] + other.group() + text[one.end():]
        elif kind == 1:
            text = text[:one.start()] + rng.choice(VALUES) + text[one.end():]
        elif kind == 2:
            text = text[:one.start()] + text[one.end():]
        elif kind == 3:
            text = text[:one.start()] + one.group() + " " + rng.choice(VALUES) + " " + text[one.end():]
        elif kind == 4:
            at = rng.randrange(len(lines))
            text = "\n".join(lines[:at] + lines[at + 1:]) + "\n"
        elif kind == 5:
            at = rng.randrange(len(lines))
            lines.insert(at, rng.choice(rng.choice(sources).splitlines()))
            text = "\n".join(lines) + "\n"
        elif kind == 6:
            numbers = [token for token in tokens if re.fullmatch(r"\d+", token.group())]
            if numbers:
                one = rng.choice(numbers)
                text = text[:one.start()] + rng.choice(VALUES[:7]) + text[one.end():]
        else:
            at = rng.randrange(len(text))
            text = text[:at] + chr(rng.randrange(1, 127)) + text[at + 1:]
    return text.replace("// -----", "")


class Run:
    def __init__(self):
        self.processes = self.diagnostics = self.crashes = 0
        self.failures = []

    def opt(self, mode, texts):
        """Exit code and errors of moe-opt on all |texts|."""
        with open("in.mlir", "w", encoding="utf-8") as file:
            file.write(MARKER.join(texts))
        done = subprocess.run(["moe-opt", "--split-input-file", *mode, "in.mlir"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=120, check=False)
        self.processes += 1
        return done.returncode, done.stderr.decode("utf-8", "replace")

    def fail(self, mode, texts, text):
        keep = os.path.abspath(f"failed-{self.processes}.mlir")
        with open(keep, "w", encoding="utf-8") as file:
            file.write(MARKER.join(texts))
        self.failures.append(f"moe-opt {shlex.join(mode)} {keep}: {text}")

    def batch(self, mode, texts):
        """The indices of the texts that moe-opt takes."""
        code, errors = self.opt(mode, texts)
        half = len(texts) // 2
        # Brackets that one text leaves open count for those behind it.
        apart = "error[MOE-K104]" in errors
        if code == 70:
            self.crashed(mode, texts, errors)
            apart = True
        elif code not in (0, 1, 3) or (code and not re.search(r"error(:|\[)", errors)):
            self.fail(mode, texts, f"exit {code}: {errors[-300:]}")
        if apart and half:
            return self.batch(mode, texts[:half]) + [half + i for i in self.batch(mode, texts[half:])]
        self.diagnostics += len(re.findall(r"error(:|\[)", errors))
        if apart:
            return []
        ends = [0]
        for text in texts:
            ends.append(ends[-1] + text.count("\n") + MARKER.count("\n"))
        refused = {bisect.bisect_left(ends, int(n)) - 1 for n in re.findall(r"in\.mlir:(\d+):\d+: error", errors)}
        return [i for i in range(len(texts)) if i not in refused]

    def crashed(self, mode, texts, errors):
        """One line, and a reproducer that reproduces. MLIR's parser may crash on what it has refused; our passes not."""
        line = errors.strip().splitlines()[-1]
        print(f"exit 70: {line}")
        self.crashes += 1
        again = subprocess.run(shlex.split(line.split(". Run: ")[-1]), capture_output=True, timeout=120, check=False).returncode
        if "error[MOE-I001]" not in line or "Reproducer: " not in line or again != 70:
            self.fail(mode, texts, f"{line}: the command ends with {again}")
        if len(texts) == 1 and "bug in the parser" not in line:
            self.fail(mode, texts, line)

    def all(self, mode, texts):
        taken = []
        for first in range(0, len(texts), BATCH):
            taken += [first + i for i in self.batch(mode, texts[first:first + BATCH])]
        return [texts[i] for i in taken]


def main():
    work, folder = sys.argv[1:3]
    count, seed = (int(a) for a in (sys.argv[3:5] + ["400", "1"][len(sys.argv) - 3:]))
    folder = os.path.abspath(folder)
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    os.chdir(work)
    rng, run, start = random.Random(seed), Run(), time.monotonic()
    sources = run.all([], programs(folder) + phases(os.path.join(folder, "passes/entry/Inputs/mixtral.mlir")))
    texts = [(mutate if number % 4 == 0 else change)(rng, sources) for number in range(count)]
    taken = run.all([], texts)
    for mode in MODES:
        run.all(mode, taken)
    for failure in run.failures:
        print(f"FAILED {failure}")
    print(f"mutants={count} of {len(sources)} programs, accepted={len(taken)}, pipelines={len(MODES)} processes={run.processes} "
          f"diagnostics={run.diagnostics} crashes={run.crashes} failed={len(run.failures)} seconds={time.monotonic() - start:.1f}")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
