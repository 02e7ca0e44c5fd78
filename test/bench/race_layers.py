#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The forward pass of one MoE layer, compiled and in torch, in turn in one run, with the limit of the machine.

    race_layers.py --bin DIR --peaks FILE --work DIR [--out FILE] [--layers A,B,C] [--dtypes f32,bf16] [--tokens 1,512]
                   [--threads 1,2] [--rounds 5] [--seconds 0.4]

FILE of --peaks holds what DIR/peaks printed; it is made if it is missing. DIR of --work takes weights and modules (4 GiB).
Ours is a function with the layer alone (router, experts, shared experts), run by `moe-run call --repeat`; the peer does the same on
the same weights and tokens, in eager mode (of the ways in torch_layer.py the fastest when warming up) and by torch.compile. Both
see the same tokens again and again, so what fits a cache is read from there: the limit is the larger of FLOPs at the measured rate
of multiply-adds (bf16: tiles from the nearest cache) and of the touched bytes at the bandwidth measured for the largest working set
not above them. A row is one case: medians over the rounds, lowest and highest, the ratio to the faster peer (median of the rounds'
ratios, above 1 ours is faster) and the largest difference of the results over the largest result. Noisy: variation above 5 %."""
import argparse
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import time

import torch
from safetensors.torch import load_file, save_file

from torch_layer import DTYPES, Layer

# Hidden, expert, experts, chosen, shared; numbers of tokens.
LAYERS = {"A": (2048, 1408, 64, 6, 2, (1, 512, 2048)), "B": (1024, 3584, 8, 2, 0, (1, 512, 2048)),
          "C": (256, 128, 16, 4, 1, (1, 512, 4096))}
TOLERANCE = {"f32": 1e-4, "bf16": 3e-2}


def description(hidden, neurons, experts, top, shared, dtype):
    def body(width):
        return f"""^bb0(%t: tensor<?x{hidden}x{dtype}>, %a: tensor<{2 * width}x{hidden}x{dtype}>, %b: tensor<{hidden}x{width}x{dtype}>):
      %1 = nn.linear %t, %a : tensor<?x{hidden}x{dtype}>, tensor<{2 * width}x{hidden}x{dtype}>
      %2 = nn.glu silu %1 : tensor<?x{2 * width}x{dtype}>
      %3 = nn.linear %2, %b : tensor<?x{width}x{dtype}>, tensor<{hidden}x{width}x{dtype}>
      moe.yield %3 : tensor<?x{hidden}x{dtype}>
    """

    def param(name, shape, source):
        dims = "x".join(map(str, shape))
        return f'  nn.param @{name} : tensor<{dims}x{dtype}> from [#nn.source<"{source}", {list(shape[-2:])}>]\n'

    wide = shared * neurons
    params = (param("gate", (experts, hidden), "gate") + param("gate_up", (experts, 2 * neurons, hidden), "gate_up.{e}")
              + param("down", (experts, hidden, neurons), "down.{e}"))
    if shared:
        params += param("shared_gate_up", (2 * wide, hidden), "shared_gate_up") + param("shared_down", (hidden, wide), "shared_down")
    weights = f"tensor<?x{top}xf32>"
    return f"""module {{
{params}  moe.router @router(%x: tensor<?x{hidden}xf32>, %w: tensor<{experts}x{hidden}x{dtype}>) -> (!moe.plan<{experts}, {top}>, {weights}) {{
    %z = nn.linear %x, %w : tensor<?x{hidden}xf32>, tensor<{experts}x{hidden}x{dtype}>
    %p = nn.softmax %z axis(1) : tensor<?x{experts}xf32>
    %i = moe.select %p top_k({top}) : tensor<?x{experts}xf32>
    %s = moe.pick %p, %i : tensor<?x{experts}xf32>, tensor<?x{top}xi32>
    %sum = nn.reduce sum %s axis(1) : {weights}
    %sums = nn.broadcast %sum axis(1) : tensor<?xf32> -> {weights}
    %weights = arith.divf %s, %sums : {weights}
    %plan = moe.make_plan %i experts({experts}) : tensor<?x{top}xi32>
    moe.return %plan, %weights : !moe.plan<{experts}, {top}>, {weights}
  }}
  func.func @layer(%x: tensor<?x{hidden}x{dtype}>) -> tensor<?x{hidden}x{dtype}> {{
    %y = moe.layer %x router(@router, [@gate]) experts({experts}, segments = 1, [@gate_up, @down]){" shared([@shared_gate_up, @shared_down])" if shared else ""} : tensor<?x{hidden}x{dtype}> -> tensor<?x{hidden}x{dtype}> body {{
    {body(neurons)}}} shared_body {{
    {body(wide) if shared else ""}}}
    return %y : tensor<?x{hidden}x{dtype}>
  }}
}}
"""


def prepare(a, name, dtype):
    """The folder with module and weights, and the peer with the same weights."""
    hidden, neurons, experts, top, shared, _ = LAYERS[name]
    folder = pathlib.Path(a.work) / f"{name}-{dtype}"
    folder.mkdir(parents=True, exist_ok=True)
    peer = Layer(hidden, neurons, experts, top, shared, DTYPES[dtype])
    save_file(peer.named(), folder / "model.safetensors")
    (folder / "layer.mlir").write_text(description(*LAYERS[name][:5], dtype))
    subprocess.run([f"{a.bin}/moe-compile", folder / "layer.mlir", "--entries", "layer", "-o", folder / "layer.moe"], check=True)
    return folder, peer


def ours(a, folder, threads, repeat):
    command = [f"{a.bin}/moe-run", "call", folder / "layer.moe", "layer", "--weights", folder, "--inputs", folder / "in",
               "--outputs", folder / "out", "--threads", str(threads), "--repeat", str(repeat), "-o", "json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def timed(run, x, repeat):
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        run(x)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def limit(peaks, threads, dtype, flops, touched):
    """Seconds, what bounds, and the name of the bandwidth."""
    rates = {p["figure"]: p["median"] * 1e9 for p in peaks if p["threads"] == threads}
    reads = {int(name.split("_")[1]) << 20: name for name in rates if name.startswith("read_")}
    read = reads[max((size for size in reads if size <= touched), default=min(reads))]
    peak = "bf16_tiles_from_l1" if dtype == "bf16" and "bf16_tiles_from_l1" in rates else "f32_fma"
    compute, memory = flops / rates[peak], touched / rates[read]
    return max(compute, memory), "memory" if memory > compute else "compute", peak, read


def variation(values):
    return statistics.pstdev(values) / statistics.mean(values)


@torch.no_grad()
def race(a, peaks, name, dtype, folder, peer, tokens, threads):
    hidden, neurons, experts, top, shared, _ = LAYERS[name]
    torch.set_num_threads(threads)
    x = torch.randn(tokens, hidden, generator=torch.Generator().manual_seed(tokens)).to(DTYPES[dtype])
    save_file({"arg0": x}, folder / "in")
    expected = peer.loop(x).float()
    ways = {}
    for way, run in peer.ways(tokens).items():
        try:
            error = float((run(x).float() - expected).abs().max() / expected.abs().max())
        except RuntimeError as e:
            print(f"{name} {dtype} {tokens}: {way} of torch fails: {str(e)[:100]}", flush=True)
            continue
        if error > TOLERANCE[dtype]:
            raise SystemExit(f"{name} {dtype} {tokens}: {way} of torch differs by {error}")
        ways[way] = (run, timed(run, x, 2))
    eager = min((way for way in ways if not way.startswith("compiled")), key=lambda way: ways[way][1])
    raced = {way: run for way, (run, _) in ways.items() if way == eager or way.startswith("compiled")}
    repeat = max(3, min(200, int(a.seconds / ways[eager][1])))
    times, own = {way: [] for way in raced}, []
    for _ in range(a.rounds):
        answer = ours(a, folder, threads, repeat)
        own.append(answer["seconds"])
        for way, run in raced.items():
            times[way].append(timed(run, x, repeat))
    error = float((load_file(folder / "out")["result0"].float() - expected).abs().max() / expected.abs().max())
    if error > TOLERANCE[dtype]:
        raise SystemExit(f"{name} {dtype} {tokens}: the compiled layer differs by {error}")
    hit = peer.route(x)[1].unique().numel()
    size = x.element_size()
    flops = 2.0 * tokens * (3 * hidden * neurons * (top + shared) + hidden * experts)
    touched = size * (3 * hidden * neurons * (hit + shared) + hidden * experts + 2 * tokens * hidden)
    least, bound, peak, read = limit(peaks, threads, dtype, flops, touched)
    best = min(times, key=lambda way: statistics.median(times[way]))
    ms = statistics.median(own) * 1e3
    r = lambda value: float(f"{value:.4g}")
    return {"layer": name, "dtype": dtype, "tokens": tokens, "threads": threads, "ms": r(ms), "low_ms": r(min(own) * 1e3),
            "high_ms": r(max(own) * 1e3), "limit_ms": r(least * 1e3), "bound": bound, "peak": peak, "read": read,
            "times_limit": r(ms / least / 1e3), "peers_ms": {way: r(statistics.median(t) * 1e3) for way, t in times.items()},
            "peer": best, "ratio": r(statistics.median(t / o for t, o in zip(times[best], own))),
            "noisy": variation(own) > 0.05, "peer_noisy": variation(times[best]) > 0.05, "difference": r(error),
            "experts_hit": hit, "flops": flops, "bytes": touched, "isa": answer["isa"], "rounds": a.rounds, "repeat": repeat,
            "torch": torch.__version__, "load_average": r(os.getloadavg()[0])}


def main():
    p = argparse.ArgumentParser()
    for flag in ("--bin", "--peaks", "--work"):
        p.add_argument(flag, required=True)
    p.add_argument("--out", default=str(pathlib.Path(__file__).parent / "results" / "race_layers.jsonl"))
    p.add_argument("--layers", default="A,B,C")
    p.add_argument("--dtypes", default="f32,bf16")
    p.add_argument("--tokens", help="only these numbers")
    p.add_argument("--threads", default="1,2")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=0.4, help="of each way in a round; three runs at least")
    a = p.parse_args()
    only = set(map(int, a.tokens.split(","))) if a.tokens else None
    if not os.path.exists(a.peaks):
        pathlib.Path(a.peaks).write_text(subprocess.run([f"{a.bin}/peaks", a.threads], check=True, capture_output=True, text=True).stdout)
    peaks = list(map(json.loads, pathlib.Path(a.peaks).read_text().splitlines()))
    for name, dtype in itertools.product(a.layers.split(","), a.dtypes.split(",")):
        folder, peer = prepare(a, name, dtype)
        for threads, tokens in itertools.product(map(int, a.threads.split(",")), LAYERS[name][5]):
            if only is None or tokens in only:
                row = json.dumps(race(a, peaks, name, dtype, folder, peer, tokens, threads))
                print(row, flush=True)
                with open(a.out, "a") as out:
                    out.write(row + "\n")


if __name__ == "__main__":
    main()
