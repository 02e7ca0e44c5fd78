# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Gradients of the routers of the literature against those of the fixtures, interpreted and compiled.

    gradients.py ROUTING FIXTURES WORK

Where a case of cases.py has what the fixture differentiates, S = Σ output·given + Σ losses, the program of the case becomes a
function that gives S; --moe-differentiate makes its gradient, which is compared with the fixture's for every parameter and x,
within 1e-4 of the largest, or 1e-6 where it is 0 in real arithmetic. The first case of each router runs as native code too.
"""

import json
import os
import re
import sys

from cases import CASES
from routers import Call, call, marked, signature, split
from tensors import floats, read, rows, write

TOLERANCE, SMALL, ZERO = 1e-4, 1e-6, 1e-9  # the first is kGradientF32 of lib/reference/tolerances.h
# mu is given the other way round.
OTHER_LAYOUT = {("soft_moe", "mu")}


def scattered(c, given):
    """What multiplies the weight of each expert of each token, [T, E]."""
    e, tokens, out = c.expected, c.inputs["x"][1][0], [0.0] * (c.inputs["x"][1][0] * c.experts)
    if "tok" in e:
        pairs = [(t, row, g) for row, (ts, gs) in enumerate(zip(rows(e["tok"]), rows(given))) for t, g in zip(ts, gs)]
    else:
        pairs = [(t, n, g) for t, (ns, gs) in enumerate(zip(rows(e["idx"]), rows(given))) for n, g in zip(ns, gs) if n >= 0]
    for t, n, g in pairs:
        out[t * c.experts + n] += g
    return floats([tokens, c.experts], out)


def total(c, op, given):
    """The function `op` with S as its only result, and its inputs; None where the outputs differ from the fixture's."""
    arguments, results = signature(c.source, op)
    kinds = {name: kind for name, (_, kind, _) in zip(c.outs, results)}
    values = dict(zip(c.outs, re.search(r"return (.*?) : ", op[op.rindex("  return"):]).group(1).split(", ")))
    losses = {name for name in c.expected if name.startswith("loss.")}
    if losses != {name for name in c.outs if name.startswith("loss.")}:
        return None, None
    inputs, more, lines, terms = dict(c.inputs), [], [op[op.index(" {\n") + 3:op.rindex("  return")].rstrip()], sorted(values[n] for n in losses)
    for name, tensor in given.items():
        plan = "idx" in c.outs and name in ("w", "dense")
        target = "w" if plan else name
        if target not in kinds or (name == "w" and not plan) or "w_r" in c.inputs:
            return None, None
        tensor = scattered(c, tensor) if plan and name == "w" else tensor
        kind = f"tensor<?x{tensor[1][1]}xf32>" if plan else kinds[name]
        more.append(f"%g_{name}: {kind} {marked('given.' + name, c.case.rows)}")
        inputs[f"given.{name}"] = tensor
        if plan:
            lines.append(f"  %f_{name} = moe.pick %g_{name}, {values['idx']} : {kind}, {kinds['idx']}")
        lines.append(f"  %s_{name} = arith.mulf {values[target]}, %{'f' if plan else 'g'}_{name} : {kinds[target]}")
        sizes, last = re.search(r"<(.*)xf32>", kinds[target]).group(1).split("x"), f"%s_{name}"
        while sizes:
            lines.append(f"  {last}_ = nn.reduce sum {last} axis({len(sizes) - 1}) : tensor<{'x'.join(sizes)}xf32>")
            last, sizes = last + "_", sizes[:-1]
        terms.append(last)
    while len(terms) > 1:
        lines.append(f"  %t{len(terms)} = arith.addf {terms[0]}, {terms[1]} : tensor<f32>")
        terms = [f"%t{len(terms)}", *terms[2:]]
    head = re.match(r"func\.func @\w+\((.*?)\)\s*->", op, re.S).group(1)
    results = '(tensor<f32> {nn.name = "S"}) attributes {nn.entry = "total"}'
    text = f"func.func @total({', '.join([head, *more])}) -> {results} {{\n" + "\n".join(lines)
    return text + f"\n  return {terms[0]} : tensor<f32>\n}}\n", inputs


def errors(got, want):
    """The largest error of each gradient, as a part of its largest element."""
    found = {}
    for key, tensor in want.items():
        largest = max(map(abs, tensor[2]))
        largest = largest if largest > ZERO else SMALL / TOLERANCE
        found[key] = max(abs(a - b) for a, b in zip(got["grad." + key][2], tensor[2])) / largest
    return found


def check(name, c, fixtures, at, compiled):
    """Whether the gradients agree; None where the case does not have what is differentiated."""
    folder = f"{fixtures}/{c.case.fixture}"
    with open(f"{folder}/meta.json", encoding="utf-8") as file:
        of = json.load(file).get("grad_of")
    given = {of or key[5:]: t for key, t in read(f"{folder}/inputs.safetensors").items() if key.startswith("grad_")}
    op = split(c.source)[1][c.entry]
    text, inputs = total(c, op, given)
    want = {key[5:]: t for key, t in c.expected.items() if key.startswith("grad.") and key[5:] in c.inputs and (name, key[5:]) not in OTHER_LAYOUT}
    if not text or not want:
        return None
    with open(at + ".step.mlir", "w", encoding="utf-8") as file:
        file.write(c.source.replace(op, text))
    write(at + ".in", {**inputs, "grad.S": floats([], [1.0])})
    call("moe-opt", at + ".step.mlir", "--moe-expand-sugar", "--moe-inline-routers", "--moe-expand-losses",
         f"--moe-differentiate=entry=total of={','.join(want)} wrt=none", "-o", at + ".mlir")
    call("moe-opt", at + ".mlir", "--moe-interpret=total_grad", "--inputs", at + ".in", "--outputs", at + ".ref")
    if compiled:
        call("moe-compile", at + ".mlir", "--entries", "total_grad", "--target", "cpu:native", "-o", at + ".moe")
        call("moe-run", "call", at + ".moe", "total_grad", "--inputs", at + ".in", "--outputs", at + ".out")
    found = [errors(read(path), want) for path in (at + ".ref", at + ".out")[:1 + compiled]]
    good = max(max(one.values()) for one in found) <= TOLERANCE
    print(f"{c.case.call} {c.case.fixture}: {'agrees' if good else 'DIFFERS'}: {' '.join('%s=%.1e' % each for each in found[-1].items())} tol={TOLERANCE:.0e}"
          f"{'' if compiled else ' (interpreted alone)'}")
    return good


def main():
    routing, fixtures, work = sys.argv[1:]
    os.makedirs(work, exist_ok=True)
    good, compiled = [], set()
    for name in sorted(CASES):
        with open(f"{routing}/{name}.mlir", encoding="utf-8") as file:
            text = file.read()
        for n, case in enumerate(CASES[name]):
            if not case.also and not case.only:
                one = check(name, Call(n, case, text, fixtures), fixtures, f"{work}/{name}-{n}", (name, case.call) not in compiled)
                if one is not None:
                    good.append((case.fixture, one))
                    compiled.add((name, case.call))
    print(f"gradients of {len({f for f, _ in good})} fixtures: {sum(g for _, g in good)} of {len(good)} cases agree, {len(compiled)} of them compiled")
    return not (good and all(g for _, g in good))


if __name__ == "__main__":
    sys.exit(main())
