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
        call("moe-compile", donor, "--compute", "f32", "--target", "cpu:native", "--entries", "score", "--rewrite", recipe,
             "-o", module)
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
        call("moe-compile", out, "--compute", "f32", "--target", "cpu:native", "--entries", "score", "-o", made)
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
    for donor in ("llama-3", "mistral-1", "qwen3-1"):
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
    two = work.path("again")
    call("moe-run", "rewrite", work.path("rewrite.moe"), "--weights", dense / "llama-1", "--out", two)
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


def split(work, _, dense):
    # With every expert chosen each weighs 1.
    for donor, recipe in (("llama-3", "split=2,top_k=2"), ("llama-1", "split=4,top_k=4"),
                          ("mistral-2", "split=3,top_k=3,by=cluster"), ("qwen3-4", "split=2,by=cluster,seed=3")):
        work.step0(dense / donor, recipe)
    donor = dense / "llama-1"
    for recipe, scale in (("split=4,by=cluster", 2), ("split=4,top_k=1,scale=llama_moe", 4)):
        _, out = work.rewrite(donor, recipe)
        check_parts(work, donor, out, scale, "cluster" in recipe)
        call("moe-import", out, "-o", work.path("made.mlir"))


def columns(tensor):
    shape, values = tensor[0], oracle.floats(tensor)
    return [[values[row * shape[1] + column] for row in range(shape[0])] for column in range(shape[1])]


def rows(tensor):
    shape, values = tensor[0], oracle.floats(tensor)
    return [values[row * shape[1]:(row + 1) * shape[1]] for row in range(shape[0])]


def check_parts(work, donor, folder, scale, clustered):
    """Every neuron of a layer is in one expert: its three vectors together, what it gives times |scale|."""
    old, new, experts = weights(donor), weights(folder), config_of(folder)["num_local_experts"]
    for layer in range(config_of(donor)["num_hidden_layers"]):
        mlp, block = f"model.layers.{layer}.mlp.", f"model.layers.{layer}.block_sparse_moe."
        ins = rows(old[mlp + "gate_proj.weight"])
        neurons = list(zip(ins, rows(old[mlp + "up_proj.weight"]), columns(old[mlp + "down_proj.weight"])))
        found = []
        for e in range(experts):
            part = zip(rows(new[f"{block}experts.{e}.w1.weight"]), rows(new[f"{block}experts.{e}.w3.weight"]),
                       columns(new[f"{block}experts.{e}.w2.weight"]))
            found.append([(a, b, [x / scale for x in c]) for a, b, c in part])
        work.demand(sorted(sum(found, [])) == sorted(neurons), f"{folder} holds each neuron once")
        work.demand(clustered or sum(found, []) == neurons, f"{folder} in the order of the donor")
        work.demand(len(set(map(len, found))) == 1, "experts of one size")
        if clustered:
            within = spread([a for a, _, _ in part] for part in found)
            size = len(neurons) // experts
            by_index = spread(ins[e * size:(e + 1) * size] for e in range(experts))
            print(f"layer {layer}: mean distance to the centre {within:.4f}, in order {by_index:.4f}")
            work.demand(within < by_index, "clusters are tighter than neurons in order")


def unit(row):
    length = sum(x * x for x in row)**0.5
    return [x / length for x in row]


def spread(parts):
    """The mean squared distance of rows of length 1 to the mean of their part."""
    total, count = 0.0, 0
    for part in parts:
        part = [unit(row) for row in part]
        mean = [sum(column) / len(part) for column in zip(*part)]
        total += sum(sum((x - m)**2 for x, m in zip(row, mean)) for row in part)
        count += len(part)
    return total / count


def prune(work, fixtures, dense):
    for donor in ("mixtral-3", "qwen3_moe-1", "olmoe-1", "glm4_moe-1", "gpt_oss-1", "granitemoeshared-1",
                  "ernie4_5_moe-1", "phimoe-1", "dbrx-1", "qwen2_moe-1"):
        count = experts_of(config_of(fixtures / donor))
        if donor in ("mixtral-3", "glm4_moe-1", "gpt_oss-1", "dbrx-1"):
            work.step0(fixtures / donor, f"prune=keep:{'+'.join(map(str, range(count)))}")
        check_kept(work, fixtures / donor, count)
    # Experts of an upcycled model are equal, so that any of them will do.
    up, _, _ = work.step0(dense / "llama-1", "upcycle=5")
    shutil.copy(dense / "llama-1" / "ids.json", up)
    work.step0(up, "prune=drop:0+3")
    trace, module = work.path("trace.json"), work.path("donor.moe")
    donor = fixtures / "mixtral-1"
    call("moe-compile", donor, "--target", "cpu:native", "--entries", "score", "-o", module)
    call("moe-run", "trace-routing", module, "--weights", donor, "--data", donor / "ids.json", "-o", trace)
    loads = [[sum(column) for column in zip(*layer)] for layer in zip(*json.loads(trace.read_text())["loads"])]
    out, _, _ = work.step0(donor, f"prune=3,usage={trace}", expect=False)
    old, new = weights(donor), weights(out)
    for layer, load in enumerate(loads):
        kept = sorted(sorted(range(len(load)), key=lambda e: (-load[e], e))[:3])
        places = json.loads((out / "expert_map.json").read_text())["layers"][layer]
        work.demand(places == [kept.index(e) if e in kept else -1 for e in range(len(load))], "the index map")
        gate = f"model.layers.{layer}.block_sparse_moe.gate.weight"
        work.demand(rows(new[gate]) == [rows(old[gate])[e] for e in kept], f"layer {layer} keeps {kept} of {load}")
        for n, e in enumerate(kept):
            name = f"model.layers.{layer}.block_sparse_moe.experts.{{}}.w2.weight"
            work.demand(new[name.format(n)] == old[name.format(e)], "experts move")


def experts_of(config):
    config = config.get("ffn_config", config)
    keys = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    return next(config[key] for key in keys if config.get(key) is not None)


def check_kept(work, donor, count):
    """Dropping the first expert shortens all that belongs to it by the bytes of one expert."""
    module, out = work.rewrite(donor, "prune=drop:0")
    work.demand(experts_of(config_of(out)) == count - 1, "the count of experts")
    old, new = weights(donor), weights(out)
    for name, (shape, dtype, raw) in new.items():
        if old.get(name, (0, 0, 0))[0] != shape:
            axis = next(i for i, (a, b) in enumerate(zip(old[name][0], shape)) if a != b)
            work.demand(old[name][0][axis] * (count - 1) == shape[axis] * count, f"{name} has one expert less")
            work.demand(axis or old[name][2].endswith(raw), f"{name} holds the other experts")
    call("moe-import", out, "-o", work.path("made.mlir"))


def merge(work, fixtures, dense):
    # Experts 0 and 2 are made equal: with the map of the router, merging them changes nothing.
    for name in ("mixtral-1", "qwen3_moe-1", "olmoe-1", "qwen2_moe-1"):
        twins = weights(fixtures / name)
        for tensor in twins:
            if ".experts.2." in tensor:
                twins[tensor] = twins[tensor.replace(".experts.2.", ".experts.0.")]
        donor = write(work.folder / f"twins-{name}", config_of(fixtures / name), twins)
        shutil.copy(fixtures / name / "ids.json", donor)
        out, _, _ = work.step0(donor, "merge=0+2,router=map")
        work.demand(experts_of(config_of(out)) == experts_of(config_of(donor)) - 1, "one expert less")
    # A row that is the mean of two does not: where both twins were chosen, another expert is now.
    _, want, have = work.step0(donor, "merge=0+2", expect=False)
    work.demand(work.compare(f"{donor.name} merge=0+2", want, have, 1) > 1e-4, "only the map is exact")
    up, _, _ = work.step0(dense / "llama-1", "upcycle=5")
    shutil.copy(dense / "llama-1" / "ids.json", up)
    work.step0(up, "merge=0+3/1+4")
    for donor in ("mixtral-1", "gpt_oss-1", "granitemoe-1", "dbrx-1"):
        _, out = work.rewrite(fixtures / donor, "merge=1+0")
        call("moe-import", out, "-o", work.path("made.mlir"))
        old, new = weights(fixtures / donor), weights(out)
        worst = 0.0
        for name, (shape, dtype, raw) in new.items():
            if name in old and old[name][0] == shape and ".experts.0." not in name:
                continue
            if name in old and old[name][0] != shape:
                have, size = oracle.floats(new[name]), len(old[name][2]) // 4 // experts_of(config_of(fixtures / donor))
                values = oracle.floats(old[name])
                first, second = values[:size], values[size:2 * size]
                work.demand(have[size:] == values[2 * size:], f"{name} keeps the others")
            else:
                have = oracle.floats(new[name])
                first, second = (oracle.floats(old[name.replace(".experts.0.", f".experts.{e}.")]) for e in (0, 1))
            worst = max([worst] + [abs((a + b) / 2 - c) for a, b, c in zip(first, second, have)])
        print(f"{donor} merge=1+0: largest error of a mean {worst:.1e}")
        work.demand(worst < 1e-7, "means")


def mix(work, _, dense):
    for donor, recipe, copies in (("llama-3", "mix", 2), ("mistral-2", "mix=3", 3), ("qwen3-4", "mix,top_k=3", 4)):
        work.step0(dense / donor, recipe, [dense / donor] * (copies - 1))
    # Different folders: experts in their order, the mean of the rest.
    donor = dense / "llama-2"
    other = work.folder / "other"
    changed = {name: (shape, dtype, struct.pack(f"<{len(raw) // 4}f", *(2 * x for x in oracle.floats((0, 0, raw)))))
               for name, (shape, dtype, raw) in weights(donor).items()}
    write(other, config_of(donor), changed)
    _, out = work.rewrite(donor, "mix", [other])
    new, old = weights(out), weights(donor)
    for name, value in old.items():
        if ".mlp." in name:
            part = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}[name.split(".")[-2]]
            expert = name.split(".mlp.")[0] + f".block_sparse_moe.experts.{{}}.{part}.weight"
            work.demand(new[expert.format(0)][2] == value[2], f"{expert} 0")
            work.demand(new[expert.format(1)][2] == changed[name][2], f"{expert} 1")
        else:
            have = oracle.floats(new[name])
            work.demand(all(abs(1.5 * x - y) <= 1e-7 * abs(y) for x, y in zip(oracle.floats(value), have)), name)


def refused(work, code, text, *command):
    """One line, the right exit code, and nothing on stdout."""
    done = run(*command)
    lines = [line for line in done.stderr.splitlines() if "error[" in line]
    good = done.returncode == code and len(lines) == 1 and text in lines[0] and not done.stdout
    if not good:
        print(f"WRONG: {' '.join(map(str, command))}: exit {done.returncode} not {code}: {done.stderr.splitlines()[-1:]}")
    work.good &= good
    work.refused += 1


def errors(work, fixtures, dense):
    work.refused = 0
    llama, mixtral = dense / "llama-1", fixtures / "mixtral-1"  # 48 neurons; 5 experts, 2 of them for a token
    bad, text = work.path("bad.moe"), work.folder / "no_trace.json"
    text.write_text("{}")
    trace = work.folder / "trace.json"
    trace.write_text(json.dumps({"format": "moe-place-trace/1", "layers": [0, 1], "experts": 4, "loads": [[[1] * 4] * 2]}))
    for code, part, donor, recipe in (
            (2, "U103]: --rewrite expects", llama, "downcycle=4"), (2, "has no value", llama, "upcycle"),
            (2, "got '0'", llama, "upcycle=0"), (2, "got '4x'", llama, "split=4x"),
            (2, "top_k 9 is larger", llama, "upcycle=4,top_k=9"), (2, "no option 'copies=2'", llama, "upcycle=4,copies=2"),
            (2, "seed is there twice", llama, "upcycle=4,seed=1,seed=2"), (2, "noise cannot be '-1'", llama, "upcycle=4,noise=-1"),
            (2, "by cannot be 'luck'", llama, "split=4,by=luck"), (2, "a mixture of one folder", llama, "mix=1"),
            (5, "5 parts do not divide the 48 neurons", llama, "split=5"), (5, "do not divide", llama, "upcycle=2,granular=7"),
            (5, "takes a dense donor", mixtral, "upcycle=2"), (5, "takes a donor with experts", llama, "prune=keep:0"),
            (5, "which the donor has", dense / "llama-5", "upcycle=2"),
            (5, "chosen by groups", fixtures / "deepseek_v2-1", "prune=drop:0"),
            (5, "heads of attention", fixtures / "jetmoe-1", "prune=drop:0"),
            (2, "expert 9 of a donor with 5", mixtral, "prune=keep:0+9"), (2, "each once", mixtral, "prune=keep:0+0"),
            (2, "1 experts are left, and each token chooses 2", mixtral, "prune=keep:3"), (2, "needs usage", mixtral, "prune=3"),
            (2, "contradict", mixtral, f"prune=keep:0+1,usage={trace}"), (2, "keeps 7 of 5", mixtral, f"prune=7,usage={trace}"),
            (3, "F101", mixtral, "prune=3,usage=no.json"), (3, "is no trace of routing", mixtral, f"prune=3,usage={text}"),
            (3, "P103", mixtral, f"prune=3,usage={trace}"), (2, "each once", mixtral, "merge=0+1/1+2"),
            (2, "1 experts are left", mixtral, "merge=0+1+2+3+4"), (2, "router cannot be", mixtral, "merge=0+1,router=x"),
            (5, "router=map is for", fixtures / "gpt_oss-1", "merge=0+1,router=map")):
        refused(work, code, part, "moe-compile", donor, "--target", "cpu:native", "--entries", "score", "--rewrite", recipe,
                "-o", bad)
    work.demand(not bad.exists(), "no module is written")
    refused(work, 2, "U104", "moe-compile", llama, "--rewrite", "upcycle=4", "--emit", "mlir")
    refused(work, 2, "--rewrite and --mesh", "moe-compile", fixtures / "granitemoe-1", "--entries", "score", "--target",
            "cpu:native", "--mesh", "dp=2,ep=2", "--rewrite", "prune=drop:0", "-o", bad)

    module, pruning, mixing = work.compile(llama, "upcycle=4"), work.compile(mixtral, "prune=drop:0"), work.compile(llama, "mix")
    plain = work.path("plain.moe")
    call("moe-compile", llama, "--target", "cpu:native", "-o", plain)
    out = work.path("out")
    start = ["moe-run", "rewrite"]
    refused(work, 2, "U108", *start, plain, "--weights", llama, "--out", out)
    refused(work, 3, "S209", *start, module, "--weights", work.folder / "nowhere", "--out", out)
    refused(work, 2, "takes 1 of them, got 2", *start, module, "--weights", llama, "--weights", llama, "--out", out)
    refused(work, 2, "two folders or more, got 1", *start, mixing, "--weights", llama, "--out", out)
    refused(work, 3, "C106", *start, mixing, "--weights", llama, "--weights", dense / "llama-4", "--out", out)
    refused(work, 2, "F204", *start, module, "--weights", llama, "--out", work.folder / "no" / "folder")
    refused(work, 2, "exists and is not empty", *start, module, "--weights", llama, "--out", llama)
    refused(work, 2, "--shard-bytes: expected a size", *start, module, "--weights", llama, "--out", out, "--shard-bytes", "x")
    damaged = work.path("damaged.moe")
    damaged.write_bytes(module.read_bytes()[:-3] + b"???")
    refused(work, 3, "M106", *start, damaged, "--weights", llama, "--out", out)

    # Folders that are not the donor's.
    tensors, name = weights(mixtral), "model.layers.1.block_sparse_moe.experts.3.w2.weight"
    shape, dtype, raw = tensors[name]
    for code, part, value in ((3, "W101", None), (3, "W102", ([1, *shape], dtype, raw)), (5, "W109", (shape, "F16", raw[:len(raw) // 2]))):
        changed = {key: old for key, old in tensors.items() if key != name}
        if value:
            changed[name] = value
        folder = write(work.folder / f"changed{part}", config_of(mixtral), changed)
        refused(work, code, name, *start, pruning, "--weights", folder, "--out", out)

    mapped = write(work.folder / "mapped", {**config_of(mixtral), "expert_map": [0, 5, 1, 2, 3]}, tensors)
    refused(work, 3, "expert_map has expert 5", "moe-import", mapped, "-o", work.path("no.mlir"))
    # No room for the file: nothing is left behind.
    limited = 'ulimit -f 40; exec "$0" "$@"'
    refused(work, 4, "F201", "bash", "-c", limited, *start, module, "--weights", llama, "--out", out)
    work.demand(not out.exists() and not list(work.folder.glob(".*")), "nothing is left behind")
    print(f"{work.refused} refusals, each one line with its code")


def main():
    check, fixtures, dense, folder = sys.argv[1:]
    work = Work(folder)
    globals()[check](work, pathlib.Path(fixtures), pathlib.Path(dense))
    sys.exit(not work.good)


if __name__ == "__main__":
    main()
