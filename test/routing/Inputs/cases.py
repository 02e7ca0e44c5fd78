# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which router or function of which file of models/routing says what fixture."""

import math

import formulas
from tensors import floats, ints, reshaped, stacked, transposed


class Case:
    """`call` is a router, whose arguments behind x and its matrix are the tensors `inputs`, or a function, which names its own.

    header: values of the file's header, by the attributes of the fixture; sizes: of its named sizes, beyond experts, k, width
    and inner. make: tensors the fixture lacks, of its inputs, expected values and attributes. want: what an output is compared
    with: the name of an expected tensor, or a function of inputs, expected values and attributes. outs: names of the results of
    a dense router, rows: what its rows are, if not tokens. layer: runs these experts behind the router and compares their y. extra: outputs that the fixture lacks.
    only: the outputs to compare. also: another file covers the fixture.
    """

    def __init__(self, fixture, call, inputs="", header=None, sizes=None, make=None, want=None, outs="dense", rows=None,
                 layer=None, extra=(), only=None, also=False):
        self.fixture, self.call, self.inputs, self.outs = fixture, call, inputs.split(), outs.split()
        self.header, self.sizes = header or (lambda a: {}), sizes or (lambda i, a: {})
        self.make, self.want, self.layer, self.extra = make or {}, want or {}, layer, extra
        self.only, self.also, self.rows = only, also, rows


def many(fixtures, *args, **named):
    name, numbers = fixtures.rsplit("-", 1)
    return [Case(f"{name}-{n}", *args, **named) for n in numbers.split(",")]


def number(value):
    return f"{float(value):.17e} : f64"


def count(value):
    return f"{value} : i64"


def numbers(**values):
    return {f"#{name}": number(value) for name, value in values.items()}


def capacity(factor, rounding="ceil", **more):
    more = "".join(f", {k} = {float(v):.17e}" if k == "times" else f", {k} = {v}" for k, v in more.items())
    return f"#moe.capacity<factor = {float(factor):.17e}, round = {rounding}{more}>"


def limit(a):
    """The formula of a fixture; how many choices it counts is in the factor."""
    name, *rest = a["capacity_formula"]
    e, k, cf = a["E"], a.get("k", 2), rest[0] if rest else 1.0
    return {"mtf": lambda: capacity(cf, "floor", min=4), "flaxformer": lambda: capacity(cf, "nearest", min=4),
            "vmoe": lambda: capacity(cf * k, multiple=rest[2]), "ceil_k": lambda: capacity(cf * k, min=max(1, rest[1])),
            "fairseq_top2": lambda: capacity(1.0, times=2.0), "fairseq_eval": lambda: capacity(cf * e),
            "torchscale_top1": lambda: capacity(1.0, times=cf), "stablemoe": lambda: capacity(cf, "floor")}[name]()


def l1_l8(a):
    return {**numbers(balance=a["coef_L1"], small=a["coef_L8"]),
            "#limit": limit(a) if "capacity_formula" in a else capacity(0.01, min=a["capacity"])}


def l1(a, name="#limit"):
    return {**numbers(balance=a["coef_L1"]), name: limit(a)}


def vmoe(a):
    sigma = a["noise_std"] / a["E"]
    return {**numbers(sigma=sigma, narrow=1 / (sigma * math.sqrt(2)), importance=a["coef_importance"], load=a["coef_load"],
                      balance=a["coef_L1"]), "#limit": limit(a)}


def noisy(a):
    unbiased = a["E"] / (a["E"] - 1) if a["unbiased"] else 1.0
    return numbers(importance=a["coef_importance"] * unbiased, load=a["coef_load"] * unbiased)


def coefs(**names):
    """The coefficients of the fixture's `coef` under the names of the file."""
    return lambda a: numbers(**{name: a["coef"][loss] for name, loss in names.items()})


def deepseek_v1(a):
    return {**numbers(experts_coef=a["coef"]["L3"], devices_coef=a["coef"]["L4"]), "#devices": count(a["devices"])}


def groups(total, keep):
    return {"#groups": count(total), "#keep": count(keep)}


def deepseek_v2(a):
    return {**numbers(scale=a["scale"], experts_coef=a["coef"]["L3"], devices_coef=a["coef"]["L4"], sent_coef=a["coef"]["L5"]),
            **groups(*a["groups"])}


def deepseek_v3(a, fill=None):
    fill = fill or {"0.0": number(0), "-inf": "0xFFF0000000000000 : f64"}[a["fill"]]
    return {**numbers(scale=a["scale"], balance=a["coef"]["L6"], gamma=a["gamma"]), **groups(*a["groups"]), "#fill": fill}


def skywork(a):
    sample = math.sqrt((a["E"] - 1) / a["E"]) if a["std"] == "unbiased" else 1.0
    return {**numbers(**{"lambda": a["logit_norm"] * sample, "beta": a["beta"], "new": 1 - a["beta"], "xi": -a["xi"], "most": a["a_max"]}),
            "#limit": capacity(a["cf"] * a["k"])}


def quantile(a):
    return {**numbers(ema=a["ema"], new=1 - a["ema"]), "#rank": capacity(a["k"], "floor")}


def adamoe(a):
    both = a["E"] + a["null"]
    return numbers(real=a["coef"]["load"] * both / a["E"], nulls=a["coef"]["load"] * both / a["null"])


def dselect(a):
    bits = math.ceil(math.log2(a["E"]))
    off = [[float(e >> (bits - 1 - b) & 1) - 1 for b in range(bits)] for e in range(a["E"])]
    return {"#off": f"dense<{off}> : !codes", **numbers(inverse_gamma=1 / a["gamma"], entropy=-a["coef_entropy"])}


def selectors(_, a):
    bits = math.ceil(math.log2(a["E"]))
    return {"#selectors": a["k"], "#bits": bits, "#pairs": a["k"] * bits}


def unit(a):
    n = a["merged"]
    return {"#one": f"dense<{[[float(i == j) for j in range(n)] for i in range(n)]}> : !square"}


def heads(i, a):
    return {"#kv": a["kv_heads"], "#queries": a["k"] * a["kv_heads"], "#dim": a["head_dim"], "#flat": a["kv_heads"] * a["head_dim"]}


def ple(i, a):
    q, own, shared, width = a["tasks"], a["own"], a["shared"], i["x"][1][1]
    return {"#tasks": q, "#own": own, "#shared": shared, "#experts": q * own + shared, "#inner": 5, "#owned_flat": q * own * width,
            "#shared_flat": shared * width, "#flat": (q * own + shared) * width, "#choices": own + shared}


def soft_slots(a):
    return {"#expert_of": f"dense<{[e for e in range(a['E']) for _ in range(a['P'])]}> : !expert_of"}


def positions(i, _e, _a):
    bounds = i["cu_seqlens"][2]
    return ints([t for a, b in zip(bounds, bounds[1:]) for t in range(b - a)])


def segments(i, a):
    """Per segment: where it begins, the segment before it (its own number for a first one), whether it is a first one."""
    bounds, out = i["cu_seqlens"][2], []
    for begin, end in zip(bounds, bounds[1:]):
        for start in range(begin, end, a["segment_length"]):
            out.append((start, max(len(out) - 1, 0) if start > begin else len(out), float(start == begin)))
    return out


def task_experts(level, name):
    """Parameters of all experts of a level, those of the tasks first."""
    def make(i, _e, a):
        return stacked(*(i[f"{name}.{level}.{q}"] for q in [*range(a["tasks"]), "shared"]))
    return make


def task_gates(level):
    def make(i, _e, a):
        gates = [i[f"Wg.{level}.{q}"] for q in range(a["tasks"])]
        return reshaped(stacked(*gates), a["tasks"], *gates[0][1])
    return make


LEVELS = {f"W{n}.{level}": task_experts(level, f"W{n}") for n in (1, 2) for level in (0, 1)}
LEVELS |= {f"Wg.{level}": task_gates(level) for level in (0, 1)}
WHOLE = {"cu_seqlens": lambda i, e, a: ints([0, i["x"][1][0]])}
SEGMENTS = {"segments": lambda i, e, a: ints([s for s, _, _ in segments(i, a)] + [i["x"][1][0]]),
            "previous": lambda i, e, a: ints([p for _, p, _ in segments(i, a)]),
            "first": lambda i, e, a: floats([len(segments(i, a))], [f for _, _, f in segments(i, a)])}
GROUPS = {"groups": lambda i, e, a: ints(range(0, i["x"][1][0] + 1, a["group_size"])), "group": lambda i, e, a: e["group"]}
POSITIONS = {"positions": positions}
DEPTHS = {"w_r": lambda i, e, a: reshaped(i["w_r"], 1, len(i["w_r"][2])), **POSITIONS}
SCALED_NOISE = {"scaled_noise": lambda i, e, a: floats(i["noise.logits"][1], [a["noise_std"] * v for v in i["noise.logits"][2]])}
SLOTS = {"mu": lambda i, e, a: transposed(reshaped(i["mu"], i["mu"][1][0], i["mu"][1][1] * i["mu"][1][2]))}
DRAWS = {"draw": lambda i, e, a: i["draws"], "pass_1": lambda i, e, a: ints(i["draws"][2][:1]), "pass_2": lambda i, e, a: ints(i["draws"][2][1:])}
TABLE = {"table": lambda i, e, a: transposed(i["table"])}
SCALARS = {name: lambda i, e, a, name=name: reshaped(i[name]) for name in ("lam", "coef")}
SEQS = "cu_seqlens"

CASES = {
    "switch": [Case("switch-1", "switch", header=l1_l8), Case("switch-2", "switch_train", "noise.jitter", l1_l8),
               Case("switch-3", "switch_sequences", "noise.jitter cu_seqlens", l1_l8),
               Case("switch-4", "switch_random", "noise.rts", l1_l8)],
    "no_token_left_behind": [Case("switch-2", "no_token_left_behind",
                                  header=lambda a: {"#limit": capacity(1.0)} | numbers(balance=.5), sizes=lambda i, a: {"#tries": 3}, also=True, want=formulas.next_choice(3))],
    "gshard": [Case("gshard-1", "gshard_random", "noise.second",
                    lambda a: l1(a) | numbers(threshold=a["threshold"], second=a["coef_L7"] / 2)),
               Case("gshard-2", "gshard", header=lambda a: l1(a) | numbers(threshold=a["threshold"]))],
    "gshard_after": [Case("gshard-3", "gshard_random", "noise.second", l1), Case("gshard-4", "gshard_sampling", "noise.gumbel", l1),
                     *many("gshard-5,6", "gshard_after", header=l1)],
    "st_moe": [Case(f"st_moe-{n}", call, noise, lambda a: numbers(balance=a["coef_L2"], small=a["coef_L8"]) | {"#limit": limit(a)})
               for n, call, noise in ((1, "st_moe", ""), (2, "st_moe_train", "noise.jitter"), (3, "st_moe_priority", "noise.jitter"))],
    "vmoe": [*many("vmoe-1,2,4", "vmoe", "noise.gate", vmoe), *many("vmoe-3", "vmoe_position", "noise.gate", vmoe)],
    "noisy_topk": [*many("noisy_topk-1,2,3", "noisy_topk", "Wn noise.gate", noisy), *many("noisy_topk-4", "noisy_topk_eval", header=noisy)],
    "olmoe": [*many("orders-1", "olmoe", header=coefs(balance="L2")), *many("sinkhorn-4", "olmoe", extra=["loss.L2"])],
    "mixtral": many("orders-2", "mixtral", header=coefs(balance="L2")),
    "granite": many("orders-3", "granite", header=coefs(balance="L2")),
    "gpt_oss": many("upcycle-1,2,3", "gpt_oss", "shift", make={"shift": formulas.shift, "x": formulas.shifted}, also=True),
    "llama4": [*many("input_weighted-1,2,3", "llama4"), *many("input_weighted-1,2,3", "llama4_layer", sizes=lambda i, a: {"#inner": 6}),
               *many("sinkhorn-3", "llama4")],
    "deepseek_v1": [Case("deepseek_v1-1", "deepseek_v1", SEQS, deepseek_v1), Case("deepseek_v1-3", "deepseek_v1", SEQS, deepseek_v1),
                    Case("deepseek_v1-2", "deepseek_v1_norm", SEQS, deepseek_v1, make=WHOLE)],
    "deepseek_v2": many("deepseek_v2-1,2,3", "deepseek_v2", SEQS, deepseek_v2),
    "deepseek_v3": [*many("deepseek_v3-1,2,3", "deepseek_v3", "bias cu_seqlens", deepseek_v3),
                    Case("deepseek_v3-2", "deepseek_v3", "bias cu_seqlens", lambda a: deepseek_v3(a, "0xFFF0000000000000 : f64"),
                         only=["idx"], want={"idx": "ref.idx_fill_minus_inf"})],
    "dbrx": many("lp_norm-1,2,3", "dbrx", header=lambda a: numbers(power=a["p"])),
    "score_functions": [Case("score_fn-1", "sigmoid"), Case("score_fn-2", "sigmoid_renorm", header=lambda a: numbers(scale=a["scale"])),
                        Case("score_fn-3", "sqrt_softplus", header=lambda a: numbers(scale=a["scale"]))],
    "base": [*many("base-1,2,3", "base_train"), *many("base-4", "base")],
    "sinkhorn": [Case("sinkhorn-1", "sinkhorn_top1"), Case("sinkhorn-2", "sinkhorn")],
    "remoe": many("remoe-1,2,3", "remoe", "lam", lambda a: numbers(one_of_k=1 / a["k"], share=a["k"] / a["E"]), make=SCALARS),
    "dsmoe": [Case("dsmoe-1", "dsmoe_train", header=coefs(information="L11"), layer="silu"),
              Case("dsmoe-2", "dsmoe_topk", sizes=lambda i, a: {"#few": a["k"]}, layer="silu"),
              Case("dsmoe-3", "dsmoe", header=lambda a: numbers(least=a["tau"]), layer="silu")],
    "molora": [*many("molora-1,2,3", "molora", "b"),
               *many("molora-1,2,3", "molora_layer", header=lambda a: numbers(scale=a["alpha"] / a["rank"]),
                     sizes=lambda i, a: {"#rank": a["rank"], "#out": i["W0"][1][0]})],
    "lora_topk": [*many("molora_topk-1,2", "lora_topk", "b", layer="lora"), *many("molora_topk-3", "lora_topk_renorm", "b", layer="lora")],
    "dselect_k": [Case("dselect_k-1", "dselect_k_free", "zeta_row alpha_row", dselect, selectors, {
                      "zeta_row": lambda i, e, a: reshaped(i["zeta"], 1, len(i["zeta"][2])),
                      "alpha_row": lambda i, e, a: reshaped(i["alpha"], 1, a["k"])}),
                  *many("dselect_k-2,3", "dselect_k", "Wz bz Wa ba", dselect, selectors),
                  *many("dselect_k-4", "dselect_k", "Wz bz Wa ba", dselect, selectors,
                        want={"loss.L12_reachability": lambda i, e, a: floats([], [a["T"] * a["k"]])})],
    "phimoe": [Case(f"sparsemixer-{n}", call, noise, lambda a: numbers(near=2 * a["jitter_eps"], balance=a["coef"]["L2"]),
                    lambda i, a: {"#both": 2 * a["E"]})
               for n, call, noise in ((1, "phimoe_train", "gumbel u"), (2, "phimoe", ""), (3, "phimoe_train", "gumbel u"))],
    "adamoe": many("adamoe-1,2,3", "adamoe", "Wnull", adamoe, lambda i, a: {"#null": a["null"], "#both": a["E"] + a["null"]}),
    "xmoe": [Case("xmoe_cosine-1", "xmoe", "c", l1), Case("xmoe_cosine-4", "xmoe_top2", "c", lambda a: l1(a, "#limit_2"))],
    "tutel_cosine": [Case("xmoe_cosine-2", "tutel_cosine", "br c log_scale", l1),
                     Case("xmoe_cosine-3", "tutel_cosine_top1", "br c log_scale", l1)],
    "quantile": [Case(f"quantile-{n}", call, "beta", quantile)
                 for n, call in ((1, "quantile"), (2, "quantile_softmax"), (3, "quantile_sigmoid"))],
    "skywork": many("skywork-1,2,3", "skywork", "coef", skywork, make=SCALARS),
    "llama_moe": many("neuron_split-1,3", "llama_moe", header=lambda a: numbers(scale=a["experts"] / a["k"]), layer="glu"),
    "moefication": many("neuron_split-2", "moefication", "Wr", layer="relu"),
    "hash": [*many("hash-1,2,3", "hash", "ids table", make=TABLE), *many("multihash-1,2,3", "hash", "ids table", make=TABLE)],
    "demix": many("demix-1,2,3", "demix", "domain table cu_seqlens", layer="silu",
                  make={"table": lambda i, e, a: reshaped(i["table"], len(i["table"][2]), 1)}),
    "task_level": [*many("task_level-1,2", "task_level", "task task_logits cu_seqlens", layer="silu"),
                   *many("task_level-3", "task_level_norm", "task task_logits cu_seqlens", layer="silu")],
    "thor": [Case("thor-1", "thor", "pass_1 cu_seqlens", make=DRAWS | WHOLE), Case("thor-2", "thor_token", "draws"),
             Case("thor-1", "thor", "pass_2 cu_seqlens", make=DRAWS | WHOLE, only=["idx"], want={"idx": "idx_pass2"}),
             Case("thor-1", "thor_consistency", header=lambda a: numbers(half_alpha=a["alpha"] / 2), sizes=lambda i, a: {"#vocabulary": a["V"]}),
             Case("thor-3", "thor", "draw cu_seqlens", make=DRAWS)],
    "stable_moe": [Case(f"stable_moe-{n}", call, "ids emb Cd",
                        lambda a: {"#limit": limit(a)} | (numbers(balance=a["coef_balance"], distil=-a["coef_L15"]) if a["stage"] == 1 else {}),
                        lambda i, a: {"#light": a["d_r"]})
                   for n, call in ((1, "stable_moe_1"), (2, "stable_moe_1"), (3, "stable_moe"))],
    "expert_choice": [Case(f"expert_choice-{n}", call, more, lambda a: numbers(balance=a["coef_own_balance"]) | {"#limit": capacity(a["capacity_factor"])},
                           make=make)
                      for n, call, more, make in ((1, "expert_choice", SEQS, WHOLE), (2, "expert_choice_noise", "noise.logits", {}),
                                                  (3, "expert_choice", SEQS, {}), (4, "expert_choice_shared", "", {}),
                                                  (5, "expert_choice_tokens", "", {}))],
    "soft_moe": [Case(f"soft_moe-{n}", call, more, soft_slots, lambda i, a: {"#slots": a["E"] * a["P"], "#inner": 6}, SLOTS | noise,
                      outs="dispatch combine")
                 for n, call, more, noise in ((1, "soft_moe", "mu scale cu_seqlens", WHOLE),
                                              (2, "soft_moe", "mu scale cu_seqlens", WHOLE),
                                              (3, "soft_moe_noise", "mu scale scaled_noise cu_seqlens", SCALED_NOISE))] + [
        Case("soft_moe-2", "soft_moe_layer", "", soft_slots, lambda i, a: {"#slots": a["E"] * a["P"], "#inner": 6},
             SLOTS | WHOLE | formulas.EXPERTS, want={"y": formulas.soft_moe})],
    "smear": [Case("smear-1", "smear", "ln_input_w ln_input_b cu_seqlens", rows="sequences"),
              Case("smear-2", "smear_dropout", "ln_input_w ln_input_b ln_weight_w ln_weight_b noise.keep cu_seqlens", rows="sequences"),
              Case("smear-3", "smear_bias", "ln_input_w ln_input_b ln_weight_w ln_weight_b bias noise.keep cu_seqlens", rows="sequences"),
              Case("smear-3", "smear_layer", make=formulas.EXPERTS, sizes=lambda i, a: {"#inner": 6}, want={"y": formulas.smear})],
    "lory": many("lory-1,2,3", "lory", "segments previous first", make=SEGMENTS, rows="sequences"),
    "mot": [*many("mot-1", "mot", "groups", lambda a: numbers(inverse_tau=1 / a["temperature"]), make=GROUPS, outs="dispatch combine"),
            *many("mot-3", "mot_experts", "groups", lambda a: numbers(inverse_tau=1 / a["temperature"]), make=GROUPS, outs="dispatch combine"),
            *(Case(f"mot-{n}", call, "", lambda a: numbers(inverse_tau=1 / a["temperature"]),
                   lambda i, a: {"#groups": i["x"][1][0] // a["group_size"]}, GROUPS)
              for n, call in ((1, "mot_layer"), (2, "mot_batch_layer"), (3, "mot_experts_layer")))],
    "mod": [Case(f"mod-{n}", call, more, lambda a: numbers(entropy=a["coef"]["L16"]) | (
                     {"#limit": capacity(a["fraction"], "floor")} if a["fraction"] else {}), make=DEPTHS)
            for n, call, more in ((1, "mod", "w_r cu_seqlens"), (2, "mod", "w_r cu_seqlens"), (3, "mod_sample", "w_r"), (1, "mod_layer", ""),
                                  (2, "mod_layer", ""), (3, "mod_sample_layer", ""))],
    "residual": [*(Case(f"residual-{n}", call, header=coefs(balance="L1")) for n, call in ((1, "residual"), (2, "residual"), (3, "residual_top2"))),
                 *(Case(f"residual-{n}", call) for n, call in ((1, "residual_layer"), (2, "residual_add_layer"), (3, "residual_top2_layer")))],
    "moa": [Case("moa-2", "moa", "", coefs(importance="L9", balance="L2n", small="L8"), heads),
            Case("moa-2", "moa_layer", "", lambda a: numbers(scale=a["head_dim"] ** -.5), heads, POSITIONS)],
    "jetmoe": [*many("moa-1,3", "jetmoe", "", coefs(balance="L2"), heads),
               *many("moa-1,3", "jetmoe_layer", "", lambda a: numbers(scale=a["head_dim"] ** -.5), heads, POSITIONS)],
    "mmoe": [*many("mmoe-1,2,3", "mmoe", sizes=lambda i, a: {"#tasks": a["tasks"], "#experts": i["Wg"][1][1]}),
             *many("mmoe-1,2,3", "mmoe_layer", sizes=lambda i, a: {"#tasks": a["tasks"], "#experts": i["Wg"][1][1]})],
    "ple": [*many("ple-1,2", "ple_layer", sizes=ple, make=LEVELS), *many("ple-3", "ple_two_layer", sizes=ple, make=LEVELS)],
    "upcycle": [*many("upcycle-1,2,3", "upcycle"), *many("upcycle-1,2,3", "upcycle_layer", sizes=lambda i, a: {"#inner": 7})],
    "prune": many("prune-1,2,3", "prune_layer", sizes=lambda i, a: {"#kept": len(i["keep"][2]), "#flat": 6 * i["x"][1][1]}),
    "merge": many("merge-1,2,3", "merge_layer", header=unit, sizes=lambda i, a: {"#merged": a["merged"]}),
}
BY_FAMILY = ("ernie4_5_moe", "glm4_moe")  # no fixture of their own: families.py
# Files that the CPU has no code for, and what moe-compile says of them: interpreted alone.
NOT_COMPILED: dict[str, str] = {}
