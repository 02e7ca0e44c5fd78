# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A checkpoint of every family goes through training and export and comes out with the same bits.

    export.py FIXTURES WORK

A step of a learning rate that changes no f32 stands between import and export. Names, dtypes, shapes and bytes of all
tensors are those of the fixture, in one file or in shards; the folder can be imported again.
"""

import json
import pathlib
import sys

import oracle
from rewrite import Work, call, config_of, refused, weights, write


def train(work, module, folder, name, rate="1e-30", steps=1):
    out = work.path(name)
    rows = json.loads((folder / "ids.json").read_text())
    call("moe-run", "train", module, "--init", folder, "--data", folder / "ids.json", "--out", out, "--steps", steps,
         "--batch", len(rows), "--seq", max(map(len, rows)), "--lr", rate, "--schedule", "constant", "--clip", 0, "--no-aux")
    return out


def families(fixtures):
    found = {}
    for folder in sorted(fixtures.iterdir()):
        found.setdefault(folder.name.rsplit("-", 1)[0], []).append(folder)
    return found


def main():
    fixtures, work = pathlib.Path(sys.argv[1]), Work(sys.argv[2])
    work.refused, tensors = 0, 0
    for family, folders in families(fixtures).items():
        # The third is sharded, the fourth has weights in bf16.
        folder = folders[len(family) % 4] if len(folders) > 3 else folders[0]
        work.count += 1
        module = work.path("train.moe")
        call("moe-compile", folder, "--entries", "train", "--compute", "f32", "--target", "cpu:native", "-o", module)
        run = train(work, module, folder, "run")
        whole, shards = work.path("whole"), work.path("shards")
        call("moe-run", "export", run, whole)
        call("moe-run", "export", run / "step-1", shards, "--shard-bytes", "10KB")
        have, want = weights(whole), weights(folder)
        different = [name for name in want.keys() | have.keys() if want.get(name) != have.get(name)]
        work.demand(not different, f"{folder.name}: {different[:3]}")
        index = json.loads((shards / "model.safetensors.index.json").read_text())
        work.demand(weights(shards) == want and set(index["weight_map"]) == set(want), f"{folder.name}: shards")
        for name, file in index["weight_map"].items():
            work.demand(name in oracle.tensors(str(shards / file)), f"{name} in {file}")
        for made in (whole, shards):
            call("moe-import", made, "-o", work.path("again.mlir"))
        print(f"{folder.name}: {len(want)} tensors, {len(set(index['weight_map'].values()))} shards")
        tensors += len(want)

    # One file takes the place of shards, and nothing of them stays.
    call("moe-run", "export", run, shards)
    work.demand(sorted(p.name for p in shards.iterdir()) == ["config.json", "model.safetensors"], "one file is left")
    mixtral = fixtures / "mixtral-1"
    work.count += 1
    module = work.path("train.moe")
    call("moe-compile", mixtral, "--entries", "train", "--compute", "f32", "--target", "cpu:native", "-o", module)
    run = train(work, module, mixtral, "run")

    # A missing expert is an error wherever weights come from.
    name = "model.layers.0.block_sparse_moe.experts.2.w1.weight"
    missing = write(work.path("missing"), config_of(mixtral), {k: v for k, v in weights(mixtral).items() if k != name})
    refused(work, 3, name, "moe-import", missing, "-o", work.path("no.mlir"))
    refused(work, 3, name, "moe-run", "train", module, "--init", missing, "--data", mixtral / "ids.json", "--out",
            work.path("no"), "--steps", 1, "--batch", 1, "--seq", 32, "--lr", "1e-3")
    write(run / "step-1", config_of(mixtral), {k: v for k, v in weights(run / "step-1").items() if k != name})
    refused(work, 3, "R501", "moe-run", "export", run, work.path("no"))
    refused(work, 3, "R501", "moe-run", "export", work.path("nowhere"), work.path("no"))
    refused(work, 2, "--shard-bytes", "moe-run", "export", run, work.path("no"), "--shard-bytes", "many")
    work.demand(not work.path("no").exists(), "nothing is written")
    print(f"{tensors} tensors are the same to the bit; {work.refused} refusals")
    sys.exit(not work.good)


main()
