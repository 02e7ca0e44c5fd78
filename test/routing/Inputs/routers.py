# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The routers of the literature against the fixtures of their algorithms, interpreted and compiled.

    routers.py ROUTING FIXTURES WORK PART PARTS

takes every PARTS-th file of the folder ROUTING, from PART on. Each case of a file sets the sizes in the header, calls the router from a function, and compares what it says with the
fixture: the experts of every token as a set (no fixture has a tie at the boundary, so that no row is skipped), and the
weights within 1e-5 of the largest. Where the fixture drops pairs for want of capacity, its choices before the drops count,
and the weights of what was kept (`kept`): of every pair, or, where the original divides by the sum of what was kept, of
the tokens of which nothing was dropped (`whole`; `second`: of these, without second experts of little weight). Compiled and interpreted choices agree in order too.
"""

import json
import os
import re
import struct
import subprocess
import sys

TOLERANCE = 1e-5
SECOND = 0.2  # what GShard asks of the weight of a second expert
SIZE = {"F32": ("f", "f32"), "I32": ("i", "i32")}


class Case:
    """One fixture of a router; `header` gives other values than the file's, `idx` and `w` the names of the expected."""

    def __init__(self, fixture, params="Wg", router=None, header=None, idx="idx", w="w", weights="all"):
        self.fixture, self.params, self.router, self.weights = fixture, params.split(), router, weights
        self.header, self.idx, self.w = header or {}, idx, w


def many(fixtures, *args, **named):
    name, numbers = fixtures.rsplit("-", 1)
    return [Case(f"{name}-{n}", *args, **named) for n in numbers.split(",")]


def scale(value):
    return {"#scale": f"dense<{value}> : !per_choice"}


def groups(number, keep, **more):
    return {"#groups": f"{number} : i64", "#keep": f"{keep} : i64", **more}


def selectors(number, bits, experts, gamma):
    """The header of DSelect-k for selectors of so many bits."""
    pairs, codes = number * bits, [[float(e >> (bits - 1 - b) & 1) for b in range(bits)] for e in range(experts)]
    wide = f"?x{number}x{experts}"
    types = {"zeta": f"{pairs}x?", "zeta_bias": f"{pairs}", "alpha": f"{number}x?", "alpha_bias": f"{number}",
             "selectors": f"?x{number}", "flat_bits": f"?x{pairs}", "bits": f"?x{number}x{bits}",
             "codes": f"{experts}x{bits}", "codes_of_selectors": f"{number}x{experts}x{bits}",
             "bits_of_experts": f"{wide}x{bits}", "experts_of_selectors": wide}
    return {**{f"!{name}": f"tensor<{shape}xf32>" for name, shape in types.items()}, "!flat_mask": f"tensor<?x{pairs}xi1>",
            "!bit_masks": f"tensor<{wide}x{bits}xi1>", "#codes": f"dense<{codes}> : !codes",
            "#inverse_gamma": f"dense<{1 / gamma}> : !zeta_bias"}


def before_drops(fixtures, *args, **named):
    return many(fixtures, *args, **{"idx": "chosen", "weights": "kept", **named})


CASES = {
    "switch": [*many("residual-1,2"), *many("switch-1"), *before_drops("switch-4")],
    "olmoe": [*many("orders-1"), *many("deepseek_v1-1,3"), *many("moa-2"), *many("dsmoe-2"), *many("sinkhorn-4"),
              *many("st_moe-1")],
    "mixtral": [*many("orders-2"), *many("residual-3"), *many("prune-1,2,3", "ref.Wg"),
                *many("merge-1,2,3", idx="ref.idx_old", w="ref.w_old"), *before_drops("gshard-5,6", weights="whole")],
    "granite": [*many("orders-3"), *many("noisy_topk-4"), *many("moa-1,3"), *many("upcycle-1,2,3")],
    "gpt_oss": many("upcycle-1,2,3", "Wg shift"),
    "llama4": [*many("input_weighted-1,2,3"), *many("sinkhorn-3")],
    "deepseek_v1": many("deepseek_v1-2"),
    "deepseek_v2": [Case("deepseek_v2-1", header=groups(3, 2, **scale(1.0))),
                    Case("deepseek_v2-2", header=groups(4, 2, **scale(16.0))),
                    Case("deepseek_v2-3", header=groups(4, 3, **scale(2.5)))],
    "deepseek_v3": [Case("deepseek_v3-1", "Wg bias", header=groups(4, 2)),
                    Case("deepseek_v3-2", "Wg bias", header=groups(3, 2, **{"#fill": "0.0 : f64"})),
                    Case("deepseek_v3-2", "Wg bias", header=groups(3, 2), idx="ref.idx_fill_minus_inf", w="", weights="none"),
                    Case("deepseek_v3-3", "Wg bias", header=groups(4, 2))],
    "dbrx": [Case(f"lp_norm-{p}", header={"#power": f"dense<{p}.0> : !per_choice"}) for p in (1, 2, 3)],
    "score_functions": [*many("score_fn-1", router="sigmoid"), *many("score_fn-2", router="sigmoid_renorm"),
                        *many("score_fn-3", router="sqrt_softplus", header=scale(1.5))],
    "base": [*many("base-4", "C"), *many("stable_moe-1", "C"), *before_drops("stable_moe-2", "C")],
    "gshard": [*many("gshard-2"), *before_drops("gshard-5", weights="second")],
    "remoe": many("remoe-1,2,3", idx="dense"),
    "dsmoe": many("dsmoe-3", idx="dense"),
    "all_experts": [*many("dsmoe-1", idx="dense"), *many("molora-1,2,3", "Wg b", router="molora", idx="dense")],
    "lora_topk": [*many("molora_topk-1,2", "Wg b"), *many("molora_topk-3", "Wg b", router="lora_topk_renorm")],
    "dselect_k": [Case(f"dselect_k-{n}", "Wz bz Wa ba", header=selectors(*sizes), idx="dense")
                  for n, sizes in ((2, (2, 3, 6, 1.0)), (3, (3, 4, 11, 0.8)), (4, (2, 3, 8, 1.0)))],
    "phimoe": many("sparsemixer-2"),
    "adamoe": many("adamoe-1,2,3", "Wg Wnull"),
    "xmoe": [*before_drops("xmoe_cosine-1", "Wr c"),
             *before_drops("xmoe_cosine-4", "Wr c", router="xmoe_top2", weights="whole")],
    "tutel_cosine": [*before_drops("xmoe_cosine-2", "Wr br c log_scale"),
                     *many("xmoe_cosine-3", "Wr br c log_scale", router="tutel_cosine_top1")],
    "quantile": [*many("quantile-1", "Wg beta"), *many("quantile-2", "Wg beta", router="quantile_softmax"),
                 *many("quantile-3", "Wg beta", router="quantile_sigmoid")],
    "skywork": [*many("skywork-1", idx="ref.idx_before_drop", weights="kept"),
                *many("skywork-2", idx="ref.idx_before_drop", weights="kept", header={"#lambda": "dense<2.0> : !per_expert"}),
                # 0.5·√(11/12): the deviation of a sample of 12.
                *many("skywork-3", idx="ref.idx_before_drop", weights="kept",
                      header={"#lambda": "dense<0.47871355> : !per_expert"})],
    "llama_moe": [Case("neuron_split-1", header=scale(2.0)), Case("neuron_split-3", header=scale(3.0))],
    "moefication": many("neuron_split-2", "Wg Wr"),
}
BY_FAMILY = ("ernie4_5_moe", "glm4_moe")  # no fixture of their own: families.py


def read(path):
    with open(path, "rb") as file:
        raw = file.read()
    size = struct.unpack("<Q", raw[:8])[0]
    out = {}
    for name, t in json.loads(raw[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = t["data_offsets"]
            out[name] = (t["dtype"].upper(), t["shape"],
                         list(struct.unpack(f"<{(end - begin) // 4}{SIZE[t['dtype'].upper()][0]}", raw[8 + size + begin:8 + size + end])))
    return out


def write(path, tensors):
    header, data = [], b""
    for name, (dtype, shape, values) in tensors.items():
        raw = struct.pack(f"<{len(values)}{SIZE[dtype][0]}", *values)
        header.append(f'"{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{len(data)},{len(data) + len(raw)}]}}')
        data += raw
    text = ("{" + ",".join(header) + "}").encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def rows(tensor):
    _, shape, values = tensor
    return [values[i:i + shape[1]] for i in range(0, len(values), shape[1])]


def call(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stdout}{done.stderr}")


def resized(text, sizes, header):
    """The file with other sizes: each number of the header that is a size of the file becomes that of `sizes`."""
    old = {name: re.search(rf"^{name} = (\d+) : i64$", text, re.M).group(1) for name in ("#experts", "#k")}
    renamed = {old[name]: sizes[name] for name in old}
    extra = re.search(r"^!null_gate = tensor<(\d+)x", text, re.M)
    if extra:
        renamed[extra.group(1)] = sizes["null"]
        renamed[str(int(old["#experts"]) + int(extra.group(1)))] = sizes["#experts"] + sizes["null"]
    lines = []
    for line in text.splitlines():
        name, _, value = line.partition(" = ")
        if name in header:
            line = f"{name} = {header.pop(name)}"
        elif name in ("#experts", "#k", "#none") and "0x" not in value or name.startswith("!"):
            line = name + " = " + re.sub(r"(?<![fi\d])\d+", lambda m: str(renamed.get(m.group(), m.group())), value)
        lines.append(line)
    assert not header, f"the file has no {', '.join(header)}"
    return "\n".join(lines)


def type_of(tensor, tokens=False):
    dtype, shape, _ = tensor
    return f"tensor<{''.join(f'{n}x' for n in ([['?'], []][not tokens] + shape[int(tokens):]))}{SIZE[dtype][1]}>"


def shifted(inputs):
    """x − v and a bias W·v: the same logits. The fixture has no bias."""
    (dtype, (tokens, width), x), gate = inputs["x"], rows(inputs["Wg"])
    v = [0.25 * (i % 5 - 2) for i in range(width)]
    inputs["x"] = (dtype, [tokens, width], [value - v[i % width] for i, value in enumerate(x)])
    inputs["shift"] = (dtype, [len(gate)], [sum(a * b for a, b in zip(row, v)) for row in gate])


def compare(case, got, expected, experts):
    """(experts equal, largest error of the weights over the largest weight, weights compared)"""
    idx, weights = rows(got["idx"]), rows(got["w"])
    have = [{e: w for e, w in zip(*row) if e < experts} for row in zip(idx, weights)]
    if any(w != 0 for row in zip(idx, weights) for e, w in zip(*row) if e == experts):
        return False, float("inf"), 0
    if case.idx == "dense":
        want = [{e: w for e, w in enumerate(row) if w > 0} for row in rows(expected["dense"])]
        kept = [list(row) for row in want]
    else:
        choices, slots = rows(expected[case.idx]), rows(expected["idx"])
        values = rows(expected[case.w]) if case.w else choices
        want = [{e: w for e, w in zip(*row) if e >= 0} for row in zip(choices, values)]
        kept = [[e for e, slot in zip(*row) if slot >= 0 and e >= 0] for row in zip(choices, slots)]
        if case.weights == "all":
            kept = [list(row) for row in want]
        if case.weights in ("whole", "second"):
            kept = [row if len(row) == len(chosen) else [] for row, chosen in zip(kept, choices)]
        if case.weights == "second":
            have, want, kept = zip(*(row for row in zip(have, want, kept) if row[2]))
            want = [{e: w for n, (e, w) in enumerate(row.items()) if n == 0 or w > SECOND} for row in want]
            kept = [list(row) for row in want]
        if case.weights == "none":
            kept = [[] for _ in choices]
    equal = [set(row) for row in have] == [set(row) for row in want]
    pairs = [(h.get(e, float("inf")), w[e]) for h, w, es in zip(have, want, kept) for e in es]
    largest = max((abs(w) for _, w in pairs), default=1.0)
    return equal, max((abs(h - w) for h, w in pairs), default=0.0) / largest, len(pairs)


def check(name, text, case, fixtures, work):
    folder = os.path.join(fixtures, case.fixture)
    inputs, expected = read(f"{folder}/inputs.safetensors"), read(f"{folder}/expected.safetensors")
    for param in case.params:
        if param.startswith("ref."):
            inputs[param] = expected[param]
    if "shift" in case.params:
        shifted(inputs)
    first = next(p for p in reversed(case.params) if len(inputs[p][1]) == 2 and p != "Wnull")
    experts = expected["dense"][1][1] if case.idx == "dense" else inputs[first][1][0]
    k = experts if case.idx == "dense" else expected[case.idx][1][1]
    sizes = {"#experts": experts, "#k": k, "null": inputs.get("Wnull", (0, [0]))[1][0]}
    router = case.router or name
    operands = [("x", type_of(inputs["x"], True))] + [(p, type_of(inputs[p])) for p in case.params]
    names = [f"%a{i}" for i in range(len(operands))]
    source = resized(text, sizes, dict(case.header)) + f"""
func.func @route({', '.join(f'{n}: {t} {{nn.name = "{p}"}}' for n, (p, t) in zip(names, operands))})
    -> (!chosen {{nn.name = "idx"}}, !weights {{nn.name = "w"}}) {{
  %plan, %w = moe.route @{router}({', '.join(names)}) : ({', '.join(t for _, t in operands)}) -> (!plan, !weights)
  %idx = moe.plan_indices %plan : !plan
  return %idx, %w : !chosen, !weights
}}
"""
    at = lambda end: f"{work}/{case.fixture}.{end}"  # noqa: E731
    with open(at("mlir"), "w", encoding="utf-8") as file:
        file.write(source)
    write(at("in"), {p: inputs[p] for p, _ in operands})
    call("moe-opt", at("mlir"), "--moe-interpret=route", "--inputs", at("in"), "--outputs", at("ref"))
    call("moe-compile", at("mlir"), "-o", at("moe"))
    call("moe-run", "call", at("moe"), "route", "--inputs", at("in"), "--outputs", at("out"))
    interpreted, compiled = read(at("ref")), read(at("out"))
    one, two = (compare(case, got, expected, experts) for got in (interpreted, compiled))
    same = interpreted["idx"][2] == compiled["idx"][2]
    good = one[0] and two[0] and same and max(one[1], two[1]) <= TOLERANCE and (one[2] > 0 or case.weights == "none")
    print(f"{router} {case.fixture}: {'agrees' if good else 'DIFFERS'}: {inputs['x'][1][0]} tokens, {k} of {experts} "
          f"experts_equal={one[0]},{two[0]} same_order={same} weights={one[2]} max_rel={one[1]:.1e},{two[1]:.1e} "
          f"tol={TOLERANCE:.0e}")
    return good


def check_file(routing, name, fixtures, work):
    path = f"{routing}/{name}.mlir"
    with open(path, encoding="utf-8") as file:
        text = file.read()
    call("moe-opt", path)
    routers, cases = set(re.findall(r"^moe\.router @(\w+)", text, re.M)), CASES[name]
    untested = routers - {case.router or name for case in cases}
    if untested:
        sys.exit(f"{name}: no fixture for {', '.join(sorted(untested))}")
    results = [check(name, text, case, fixtures, work) for case in cases]
    print(f"{name}: {sum(results)} of {len(results)} fixtures agree")
    return all(results)


def main():
    routing, fixtures, work, part, parts = sys.argv[1:]
    os.makedirs(work, exist_ok=True)
    files = sorted(file[:-5] for file in os.listdir(routing) if file.endswith(".mlir"))
    if set(files) != set(CASES) | set(BY_FAMILY):
        sys.exit(f"not both a file and a test: {', '.join(sorted(set(files) ^ (set(CASES) | set(BY_FAMILY))))}")
    mine = [name for name in files if name in CASES][int(part)::int(parts)]
    good = [check_file(routing, name, fixtures, work) for name in mine]
    print(f"{sum(good)} of {len(good)} files agree")
    return not (good and all(good))


if __name__ == "__main__":
    sys.exit(main())
