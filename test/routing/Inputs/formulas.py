# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Formulas written out for what no fixture holds: bodies of layers, and the choice of no token left behind."""

import math

from tensors import floats, ints, rows


def linear(x, weight):
    return [[sum(a * b for a, b in zip(row, w)) for w in weight] for row in x]


def softmax(row):
    e = [math.exp(v - max(row)) for v in row]
    return [v / sum(e) for v in e]


def spread(shape, scale):
    """Numbers that look random and are the same everywhere."""
    count = math.prod(shape)
    return floats(shape, [scale * ((n * 7919 + 104729) % 2003 / 1001.5 - 1.0) for n in range(count)])


EXPERTS = {"W1": lambda i, e, a: spread([a["E"], 6, i["x"][1][1]], 0.5), "W2": lambda i, e, a: spread([a["E"], i["x"][1][1], 6], 0.5)}


def matrices(tensor):
    _, (count, height, width), values = tensor
    return [[values[(e * height + r) * width:(e * height + r + 1) * width] for r in range(height)] for e in range(count)]


def gelu_tanh(v):
    return 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v ** 3)))


def soft_moe(i, e, a):
    """Cw·f(Dᵀx) with two-layer experts."""
    x, dispatch, combine = rows(i["x"]), rows(e["dispatch"]), rows(e["combine"])
    w1, w2 = matrices(i["W1"]), matrices(i["W2"])
    outs = []
    for n in range(a["E"] * a["P"]):
        slot = [sum(dispatch[t][n] * x[t][d] for t in range(len(x))) for d in range(len(x[0]))]
        h = [gelu_tanh(v) for v in linear([slot], w1[n // a["P"]])[0]]
        outs.append(linear([h], w2[n // a["P"]])[0])
    return floats(i["x"][1], [sum(c * out[d] for c, out in zip(combine[t], outs)) for t in range(len(x)) for d in range(len(x[0]))])


def smear(i, _e, a):
    """Each sequence through Σ p·θ, p = softmax(Wg·norm(mean))."""
    x, gate, out = rows(i["x"]), rows(i["Wg"]), []
    bounds = i["cu_seqlens"][2]
    w1, w2 = matrices(i["W1"]), matrices(i["W2"])
    for begin, end in zip(bounds, bounds[1:]):
        r = [sum(row[d] for row in x[begin:end]) / (end - begin) for d in range(len(x[0]))]
        mean = sum(r) / len(r)
        deviation = math.sqrt(sum((v - mean) ** 2 for v in r) / len(r) + 1e-5)
        r = [(v - mean) / deviation * w + b for v, w, b in zip(r, i["ln_input_w"][2], i["ln_input_b"][2])]
        p = softmax(linear([r], gate)[0])
        first, second = ([[sum(q * m[row][col] for q, m in zip(p, ms)) for col in range(len(ms[0][0]))] for row in range(len(ms[0]))]
                         for ms in (w1, w2))
        for row in x[begin:end]:
            out += linear([[max(v, 0.0) for v in linear([row], first)[0]]], second)[0]
    return floats(i["x"][1], out)


def shift(i, _e, _a):
    """A bias W·v for x − v: the same logits."""
    v = [0.25 * (n % 5 - 2) for n in range(i["x"][1][1])]
    return floats([len(rows(i["Wg"]))], linear([v], rows(i["Wg"]))[0])


def shifted(i, _e, _a):
    width = i["x"][1][1]
    return floats(i["x"][1], [value - 0.25 * (n % width % 5 - 2) for n, value in enumerate(i["x"][2])])


def next_choice(tries):
    """What no_token_left_behind is compared with: C = ⌈T/E⌉ and `tries` rounds in order of position; the loss is L1, coefficient ½."""
    def routed(i):
        p = [softmax(row) for row in linear(rows(i["x"]), rows(i["Wg"]))]
        wishes = [sorted(range(len(row)), key=lambda e, row=row: -row[e])[:tries] for row in p]
        room = [math.ceil(len(p) / len(p[0]))] * len(p[0])
        placed = [-1] * len(p)
        for k in range(tries):
            for t, wish in enumerate(wishes):
                if placed[t] < 0 and room[wish[k]]:
                    placed[t], room[wish[k]] = wish[k], room[wish[k]] - 1
        return p, wishes, placed

    def idx(i, _e, _a):
        placed = routed(i)[2]
        return ints(placed, [len(placed), 1])

    def w(i, _e, _a):
        p, _, placed = routed(i)
        return floats([len(p), 1], [row[e] if e >= 0 else 0.0 for row, e in zip(p, placed)])

    def loss(i, _e, _a):
        p, wishes, _ = routed(i)
        experts, tokens = len(p[0]), len(p)
        first = [sum(wish[0] == e for wish in wishes) / tokens for e in range(experts)]
        return floats([], [0.5 * experts * sum(f * sum(row[e] for row in p) / tokens for e, f in enumerate(first))])

    return {"idx": idx, "w": w, "loss.L1": loss}
