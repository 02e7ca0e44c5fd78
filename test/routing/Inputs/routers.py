# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The routers of the literature against the fixtures of their algorithms, interpreted and compiled.

    routers.py ROUTING FIXTURES WORK PART PARTS

takes every PARTS-th file of the folder ROUTING, from PART on (with ROUTERS_ONLY=a,b in the environment, these). cases.py says which router or function of a file says what
fixture. All cases of a file make one program: each with the sizes and numbers of its fixture in the header, and a function
around the router. What it says is compared with the fixture: the experts of every token as a set (dropped pairs being none),
everything else within 1e-5 of the largest: weights, dense weights, outputs, losses, the next state. Compiled and interpreted
choices agree in order too. Every fixture must be compared in all it holds.
"""

import json
import os
import re
import subprocess
import sys

from cases import BY_FAMILY, CASES, NOT_COMPILED
from tensors import SIZE, read, rows, write

TOLERANCE = 1e-5
# Of these arguments the first size is a number of tokens, sequences or segments.
OPEN = {"x", "ids", "cu_seqlens", "gumbel", "u", "draws", "draw", "pass_1", "pass_2", "domain", "task", "groups", "segments",
        "previous", "first", "scaled_noise", "zeta_row", "alpha_row"}
ROWS = {name: "sequences" for name in ("domain", "task", "noise.keep", "draw", "pass_1", "pass_2", "previous", "first")}
ROWS |= {"segments": "boundaries", "groups": "boundaries"}
# Parts of a fixture that follow from others.
IMPLIED = re.compile(r"(grad|ref)\.|(counts|slot|chosen|valid|token_counts|nonzero|group|tok)$")
# Experts to run behind a router: parameters and body, rows being %t.
LAYERS = {
    "silu": (("W1", "W2"), ["nn.linear %t, %p0", "nn.activate silu %h0", "nn.linear %h1, %p1"]),
    "relu": (("ref.up_experts", "ref.down_experts"), ["nn.linear %t, %p0", "nn.activate relu %h0", "nn.linear %h1, %p1"]),
    "glu": (("ref.gate_experts", "ref.up_experts", "ref.down_experts"),
            ["nn.linear %t, %p0", "nn.activate silu %h0", "nn.linear %t, %p1", "arith.mulf %h1, %h2", "nn.linear %h3, %p2"]),
    "lora": (("A", "B"), ["nn.linear %t, %p0", "nn.linear %h0, %p1"]),
}


def tool(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def call(*command):
    done = tool(*command)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stdout}{done.stderr}")


def resized(text, sizes, header):
    """The file with other sizes: `#name = 8 : i64` becomes that of `sizes`, and 8 in the types of the header with it."""
    named = dict(re.findall(r"^(#\w+) = (\d+) : i64$", text, re.M))
    renamed = {}
    for name, old in named.items():
        if name in header or name not in sizes:
            continue
        assert renamed.setdefault(old, sizes[name]) == sizes[name], f"{name}: two sizes are {old}"
    lines, header = [], dict(header)
    for line in text.splitlines():
        name, _, value = line.partition(" = ")
        if name in header:
            line = f"{name} = {header.pop(name)}"
        elif name in named and name in sizes:
            line = f"{name} = {sizes[name]} : i64"
        elif name.startswith("!"):
            line = name + " = " + re.sub(r"(?<![fi\d])\d+", lambda m: str(renamed.get(m.group(), m.group())), value)
        lines.append(line)
    assert not header, f"the file has no {', '.join(header)}"
    return "\n".join(lines)


def split(text):
    """(header, {symbol: text of the operation})"""
    parts = re.split(r"^(?=(?:moe\.router|func\.func) @)", text, flags=re.M)
    return parts[0], {re.match(r"\S+ @(\w+)", part).group(1): part for part in parts[1:]}


def signature(text, op):
    """[(name, type, attributes)] of arguments and of results, aliases resolved where `text` has them."""
    types = dict(re.findall(r"^(!\w+) = (.*)$", text, re.M))
    head = op[:op.index(" {\n")]
    inside, results = re.match(r"\S+ @\w+\((.*?)\)\s*->\s*(.*)$", head, re.S).groups()
    results = results[1:-1] if results.startswith("(") else results

    def item(part):
        name, kind, attributes = re.match(r"\s*(?:(%\w+)\s*:\s*)?([^\s{]+)\s*(?:\{(.*)\})?\s*$", part, re.S).groups()
        return name, types.get(kind, kind), attributes or ""

    return tuple([item(part) for part in re.split(r",(?![^{<]*[}>])", side)] for side in (inside, results))


def shape_of(kind):
    return [None if size == "?" else int(size) for size in re.findall(r"(\?|\d+)x", kind.partition("<")[2])]


def type_of(name, tensor):
    dtype, shape, _ = tensor
    sizes = [str(n) for n in shape]
    if name in OPEN or name.startswith("noise."):
        sizes[:1] = ["?"]
    return f"tensor<{''.join(n + 'x' for n in sizes)}{SIZE[dtype][1]}>"


def named(types):
    return ", ".join(types)


def marked(name, rows):
    """The attributes of an argument or result of a function."""
    return f'{{nn.name = "{name}"' + (f', nn.rows = "{rows}"}}' if rows else "}")


def layer_text(case, tensors, argument, width):
    """Experts behind the plan %r#0: the text, and the type of y."""
    params, body = LAYERS[case.layer]
    shapes = [tensors[p][1] for p in params]
    slices = [f"tensor<{'x'.join(map(str, s[1:]))}xf32>" for s in shapes]
    wide = [f"tensor<?x{width}xf32>"]
    lines, kinds = [], {"%t": wide[0]}
    for n, text in enumerate(body):
        op, a, *b = text.replace(",", "").rsplit(" ", 2) if text.startswith("nn.linear") or "mulf" in text else text.rsplit(" ", 1)
        if op == "nn.linear":
            p = int(b[0][2:])
            lines.append(f"    %h{n} = nn.linear {a}, {b[0]} : {kinds[a]}, {slices[p]}")
            kinds[f"%h{n}"] = f"tensor<?x{shapes[p][1]}xf32>"
        else:
            lines.append(f"    %h{n} = {text} : {kinds[a]}")
            kinds[f"%h{n}"] = kinds[a]
    y = kinds[f"%h{len(body) - 1}"]
    whole = [f"tensor<{'x'.join(map(str, s))}xf32>" for s in shapes]
    out = [f"  %rows = moe.dispatch {argument['x']}, %r#0 : {wide[0]}, !plan",
           f"  %out = moe.experts %rows, %r#0 params({named(argument[p] for p in params)}) : ({named([wide[0], '!plan', *whole])}) -> {y} {{",
           f"  ^bb0({named(['%t: ' + wide[0]] + [f'%p{n}: {s}' for n, s in enumerate(slices)])}):", *lines, f"    moe.yield %h{len(body) - 1} : {y}", "  }",
           f"  %y0 = moe.combine %out, %r#0, %r#1 : {y}, !plan, !weights"]
    if case.layer == "lora":
        w0 = tensors["W0"][1]
        out += [f"  %base = nn.linear {argument['x']}, {argument['W0']} : {wide[0]}, tensor<{w0[0]}x{w0[1]}xf32>",
                f"  %scale = nn.fill {case.scale} like %y0 : {y} -> {y}", f"  %y1 = arith.mulf %y0, %scale : {y}",
                f"  %y = arith.addf %y1, %base : {y}"]
    else:
        out[-1] = out[-1].replace("%y0", "%y")
    return out, y


def wrapper(case, text, op, tensors):
    """A function around a router: its text, and the inputs and outputs by name."""
    arguments, results = signature(text, op)
    names = ["x", *[gate for gate in ("Wg", "C", "Wr") if gate in tensors][:1], *case.inputs]
    assert len(names) == len(arguments), f"{case.call} takes {len(arguments)} arguments, got {names}"
    kinds = [type_of(name, tensors[name]) for name in names]
    more = [*(LAYERS[case.layer][0] if case.layer else ()), *(["W0"] if case.layer == "lora" else [])]
    all_kinds = kinds + [type_of(name, tensors[name]) for name in more]
    argument = {name: f"%a{n}" for n, name in enumerate(names + more)}
    outs, values, dense = [], [], list(case.outs)
    width = tensors["x"][1][1]
    body = [f"  %r{f':{len(results)}' if len(results) > 1 else ''} = moe.route @{case.call}({named(argument[n] for n in names)}) : "
            f"({named(kinds)}) -> ({named(kind for _, kind, _ in results)})"]
    for n, (_, kind, attributes) in enumerate(results):
        value = f"%r#{n}" if len(results) > 1 else "%r"
        loss, state = re.search(r'moe\.loss = "(\w+)"', attributes), re.search(r"moe\.state = (\d+)", attributes)
        if kind.startswith("!moe.plan"):
            body.append(f"  %idx = moe.plan_indices {value} : {kind}")
            outs, values = outs + [("idx", f"tensor<?x{re.search(r', *([0-9]+)', kind).group(1)}xi32>")], values + ["%idx"]
            continue
        name = (f"loss.{loss.group(1)}" if loss else f"state.{names[int(state.group(1))]}" if state
                else "w" if results[0][1].startswith("!moe.plan") else dense.pop(0))
        outs, values = outs + [(name, kind)], values + [value]
    if case.layer:
        lines, y = layer_text(case, tensors, argument, width)
        body += [line.replace("!plan", results[0][1]).replace("!weights", results[1][1]) for line in lines]
        outs, values = outs + [("y", y)], values + ["%y"]
    text = (f"func.func @route({named(f'{argument[n]}: {k} {marked(n, ROWS.get(n))}' for n, k in zip(names + more, all_kinds))})\n"
            f"    -> ({named(f'{k} {marked(n, case.rows)}' for n, k in outs)}) {{\n" + "\n".join(body) +
            f"\n  return {named(values)} : {named(k for _, k in outs)}\n}}\n")
    return text, names + more, [n for n, _ in outs]


class Call:
    """One case made ready: its part of the program, what it reads and what it is compared with."""

    def __init__(self, number, case, text, fixtures):
        folder = os.path.join(fixtures, case.fixture)
        self.case, self.number = case, number
        inputs, self.expected = read(f"{folder}/inputs.safetensors"), read(f"{folder}/expected.safetensors")
        with open(f"{folder}/meta.json", encoding="utf-8") as file:
            a = json.load(file)["attributes"]
        a = {"E": self.count(inputs), **a}
        self.experts = a["E"]
        parts = dict(split(text)[1])
        used = set(case.inputs) | {"x"} | set(re.findall(r'nn\.name = "([^"]+)"', parts[case.call]))
        made = {name: make(inputs, self.expected, a) for name, make in case.make.items() if name in used}
        tensors = {**{k: v for k, v in self.expected.items() if k.startswith("ref.")}, **inputs, **made}
        self.want = {name: want(tensors, self.expected, a) if callable(want) else self.expected[want]
                     for name, want in case.want.items()}
        case.scale = float(a.get("alpha", 1)) / a.get("rank", 1)
        k = a.get("k") or self.expected.get("idx", (0, [0, 0]))[1][1]
        inner = {"#inner": tensors["W1"][1][-2]} if "W1" in tensors else {}
        sizes = {"#experts": self.experts, "#k": k, "#width": tensors["x"][1][1], **inner, **case.sizes(tensors, a)}
        self.experts = sizes.get("#merged", sizes.get("#kept", sizes["#experts"]))
        text = resized(text, sizes, case.header(a))
        header, ops = split(text)
        op = ops[case.call]
        routers = [ops[name] for name in ops if name != case.call and re.search(rf"@{name}\b", op)]
        if op.startswith("func"):
            arguments, results = signature(text, op)
            names = [[re.search(r'nn\.name = "([^"]+)"', item[2]).group(1) for item in side] for side in (arguments, results)]
            source, self.entry = "\n".join([header, *routers, op]), case.call
            self.names, self.outs = names
        else:
            around, self.names, self.outs = wrapper(case, text, op, tensors)
            source, self.entry = "\n".join([header, op, around]), "route"
        self.inputs = {name: tensors[name] for name in self.names}
        symbols = "|".join(re.findall(r"^[!#](\w+) = ", header, re.M) + list(ops) + ["route"])
        self.source = re.sub(rf"(?<![\w.])([!#@](?:{symbols}))\b", rf"\1_{number}", source)
        self.entry += f"_{number}"

    def count(self, inputs):
        for name in ("Wg", "C", "c"):
            if name in inputs:
                return inputs[name][1][0]
        for name in ("dense", "nonzero", "counts", "tok"):
            if name in self.expected:
                return self.expected[name][1][-1]
        return 0

    def routing(self):
        """Per token the experts the fixture wants and their weights."""
        e, want = self.expected, self.want
        if "tok" in e and "idx" not in want:
            out = [[] for _ in range(self.inputs["x"][1][0])]
            for row, (tokens, weights) in enumerate(zip(rows(e["tok"]), rows(e["w"]))):
                for token, weight in zip(tokens, weights):
                    if token >= 0:
                        out[token].append((0 if "w_r" in self.inputs else row, weight))
            return [sorted(row) for row in out]
        if "dense" in e and "idx" not in want:
            return [[(n, w) for n, w in enumerate(row) if w > 0] for row in rows(e["dense"])]
        idx, weights = want.get("idx", e.get("idx")), want.get("w", e.get("w"))
        return [sorted((n, w) for n, w in zip(*row) if n >= 0) for row in zip(rows(idx), rows(weights))]

    def compare(self, got):
        """{output: (equal, error over the largest, numbers compared)}"""
        out = {}
        only = self.case.only or self.outs
        if "idx" in self.outs:
            experts = 1 if "w_r" in self.inputs else self.experts
            given = list(zip(rows(got["idx"]), rows(got["w"])))
            have = [sorted((n, w) for n, w in zip(*row) if n < experts) for row in given]
            clean = all(w == 0 for row in given for n, w in zip(*row) if n >= experts)
            want = self.routing()
            equal = clean and [[n for n, _ in row] for row in have] == [[n for n, _ in row] for row in want]
            out["idx"] = (equal, 0.0, sum(map(len, want)))
            if "w" in only:
                out["w"] = near([w for row in have for _, w in row], [w for row in want for _, w in row])
        for name in self.outs:
            if name in only and name not in ("idx", "w") and name not in self.case.extra:
                want = self.want.get(name) or self.expected[name]
                out[name] = near(got[name][2], want[2])
        return out


def near(have, want):
    largest = max((abs(v) for v in want), default=0.0)
    if len(have) != len(want) or not all(v == v for v in have):
        return False, float("inf"), len(want)
    error = max((abs(h - w) for h, w in zip(have, want)), default=0.0)
    return error <= TOLERANCE * largest, error / largest if largest else error, len(want)


def run(calls, name, work, compiled):
    """Interprets and compiles the program of a file; per call both results."""
    at = lambda end: f"{work}/{name}{end}"  # noqa: E731
    with open(at(".mlir"), "w", encoding="utf-8") as file:
        file.write("\n".join(c.source for c in calls))
    if compiled:
        call("moe-compile", at(".mlir"), "-o", at(".moe"))
    else:
        done = tool("moe-compile", at(".mlir"), "-o", at(".moe"))
        if not done.returncode or NOT_COMPILED[name] not in done.stderr:
            sys.exit(f"{name}: expected no code for {NOT_COMPILED[name]}, got exit {done.returncode}: {done.stderr}")
    for c in calls:
        inputs, both = at(f"-{c.number}.in"), (at(f"-{c.number}.ref"), at(f"-{c.number}.out"))
        write(inputs, c.inputs)
        call("moe-opt", at(".mlir"), f"--moe-interpret={c.entry}", "--inputs", inputs, "--outputs", both[0])
        if compiled:
            call("moe-run", "call", at(".moe"), c.entry, "--inputs", inputs, "--outputs", both[1])
        yield [read(path) for path in both[:1 + compiled]]


def check_file(routing, name, fixtures, work):
    path = f"{routing}/{name}.mlir"
    with open(path, encoding="utf-8") as file:
        text = file.read()
    call("moe-opt", path)
    calls = [Call(n, case, text, fixtures) for n, case in enumerate(CASES[name])]
    untested = set(split(text)[1]) - {case.call for case in CASES[name]} - {r for c in calls for r in re.findall(r"moe\.route @(\w+?)_\d+\(", c.source)}
    if untested:
        sys.exit(f"{name}: no fixture for {', '.join(sorted(untested))}")
    compiled, good, seen = name not in NOT_COMPILED, [], {}
    for c, results in zip(calls, run(calls, name, work, compiled)):
        found = [c.compare(got) for got in results]
        same = all(results[0][n][2] == results[-1][n][2] for n in c.outs if results[0][n][0] == "I32")
        fine = same and all(part[0] for one in found for part in one.values()) and sum(part[2] for part in found[0].values()) > 0
        good.append(fine)
        seen.setdefault(c.case.fixture, set()).update(found[0], ["dense"] if "idx" in found[0] else [], c.case.want.values())
        errors = " ".join(f"{n}={'' if all(one[n][0] for one in found) else 'NOT '}{'/'.join(f'{one[n][1]:.1e}' for one in found)}" for n in found[0])
        print(f"{c.case.call} {c.case.fixture}: {'agrees' if fine else 'DIFFERS'}: {c.inputs['x'][1][0] if 'x' in c.inputs else 0} tokens, "
              f"same_order={same} {errors} tol={TOLERANCE:.0e}{'' if compiled else ' (interpreted alone)'}")
    for c in calls:
        missing = {n for n in c.expected if not IMPLIED.match(n)} - seen[c.case.fixture]
        if missing and not c.case.also:
            sys.exit(f"{name}: {c.case.fixture} is not compared in {', '.join(sorted(missing))}")
    print(f"{name}: {sum(good)} of {len(good)} cases agree")
    return all(good)


def main():
    routing, fixtures, work, part, parts = sys.argv[1:]
    os.makedirs(work, exist_ok=True)
    files = sorted(file[:-5] for file in os.listdir(routing) if file.endswith(".mlir"))
    if set(files) != set(CASES) | set(BY_FAMILY):
        sys.exit(f"not both a file and a test: {', '.join(sorted(set(files) ^ (set(CASES) | set(BY_FAMILY))))}")
    covered = {case.fixture for cases in CASES.values() for case in cases if not case.also}
    if covered != set(os.listdir(fixtures)):
        sys.exit(f"not both a fixture and a case: {', '.join(sorted(covered ^ set(os.listdir(fixtures))))}")
    mine = [name for name in files if name in CASES][int(part)::int(parts)]
    only = os.environ.get("ROUTERS_ONLY")
    good = [check_file(routing, name, fixtures, work) for name in (only.split(",") if only else mine)]
    print(f"{sum(good)} of {len(good)} files agree")
    return not (good and all(good))


if __name__ == "__main__":
    sys.exit(main())
