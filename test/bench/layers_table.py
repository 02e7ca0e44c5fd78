#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes what race_layers.py measured as a Markdown table and as a picture of the roofs: FLOP/s over FLOPs a byte.

    layers_table.py RACE.jsonl PEAKS.jsonl OUT     OUT.md and OUT.svg

Of several rows of one case the last counts."""
import html
import json
import math
import pathlib
import sys

import svg

COLORS = {"f32": "#1668a8", "bf16": "#b8440c"}


def read(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines() if line.strip()]


def table(rows):
    lines = ["| layer | type | tokens | threads | limit ms | by | ours ms (lowest to highest) | x limit | torch ms | way | ratio |",
             "|---|---|---:|---:|---:|---|---:|---:|---:|---|---:|"]
    for r in rows:
        noisy, peer_noisy = (" noisy" if r[key] else "" for key in ("noisy", "peer_noisy"))
        lines.append(f'| {r["layer"]} | {r["dtype"]} | {r["tokens"]} | {r["threads"]} | {r["limit_ms"]:.4g} | {r["bound"]} | {r["ms"]:.4g} '
                     f'({r["low_ms"]:.4g} to {r["high_ms"]:.4g}){noisy} | {r["times_limit"]:.2f} | {r["peers_ms"][r["peer"]]:.4g}{peer_noisy} | '
                     f'{r["peer"]} | {r["ratio"]:.2f} |')
    return "\n".join(lines) + "\n"


def panel(rows, peaks, threads, top):
    """The rows of a number of threads, in a frame that begins |top| below."""
    rates = {p["figure"]: p["median"] for p in peaks if p["threads"] == threads}
    mine = [r for r in rows if r["threads"] == threads]
    work = lambda r, ms: r["flops"] / ms / 1e6
    across = [r["flops"] / r["bytes"] for r in mine]
    up = [work(r, ms) for r in mine for ms in (r["ms"], r["peers_ms"][r["peer"]])] + [rates[r["peak"]] for r in mine]
    left, right = (f(math.log10(v)) for f, v in ((math.floor, min(across)), (math.ceil, max(across) * 1.01)))
    low, high = (f(math.log10(v)) for f, v in ((math.floor, min(up)), (math.ceil, max(up) * 1.01)))
    x = lambda v: 60 + (math.log10(v) - left) / (right - left) * 480
    y = lambda v: top + 310 - (math.log10(v) - low) / (high - low) * 280
    parts = [f'<text x="60" y="{top + 18}">GFLOP/s over FLOPs a byte, {threads} thread{"s" * (threads > 1)}: ours filled, torch hollow; '
             f'<tspan fill="{COLORS["f32"]}">f32</tspan>, <tspan fill="{COLORS["bf16"]}">bf16</tspan></text>']
    for e in range(left, right + 1):
        parts.append(f'<path d="M{x(10**e):.1f} {top + 30}v280" stroke="#eee"/><text x="{x(10**e):.1f}" y="{top + 326}" '
                     f'text-anchor="middle">{10.0**e:g}</text>')
    for e in range(low, high + 1):
        parts.append(f'<path d="M60 {y(10**e):.1f}h480" stroke="#eee"/><text x="54" y="{y(10**e) + 4:.1f}" '
                     f'text-anchor="end">{10.0**e:g}</text>')
    for dtype, peak in sorted({(r["dtype"], r["peak"]) for r in mine}):
        for figure in sorted({r["read"] for r in mine if r["dtype"] == dtype}):
            begin = max(10.0**left, 10.0**low / rates[figure])
            ridge = min(rates[peak] / rates[figure], 10.0**right)
            parts.append(f'<path d="M{x(begin):.1f} {y(begin * rates[figure]):.1f}L{x(ridge):.1f} {y(ridge * rates[figure]):.1f}'
                         f'H540" fill="none" stroke="{COLORS[dtype]}" opacity="0.5"><title>{peak}, {figure}</title></path>')
    for r in mine:
        name = html.escape(f'{r["layer"]} {r["dtype"]} {r["tokens"]}')
        at, color = x(r["flops"] / r["bytes"]), COLORS[r["dtype"]]
        for ms, fill in ((r["peers_ms"][r["peer"]], "white"), (r["ms"], color)):
            parts.append(f'<circle cx="{at:.1f}" cy="{y(work(r, ms)):.1f}" r="4" fill="{fill}" stroke="{color}"><title>{name}: '
                         f'{work(r, ms):.1f} GFLOP/s</title></circle>')
        parts.append(f'<text x="{at + 6:.1f}" y="{y(work(r, r["ms"])) + 4:.1f}" font-size="9">{r["layer"]}{r["tokens"]}</text>')
    return parts


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    key = lambda r: (r["threads"], r["layer"], r["dtype"], r["tokens"])
    rows = [r for _, r in sorted({key(r): r for r in read(sys.argv[1])}.items())]
    peaks, out = read(sys.argv[2]), sys.argv[3]
    counts = sorted({r["threads"] for r in rows})
    pathlib.Path(out + ".md").write_text(table(rows))
    parts = [part for i, threads in enumerate(counts) for part in panel(rows, peaks, threads, 340 * i)]
    pathlib.Path(out + ".svg").write_text(svg.document(560, 340 * len(counts), parts))


if __name__ == "__main__":
    main()
