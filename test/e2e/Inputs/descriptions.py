# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The descriptions of published models: sizes within 0.5 % of the published ones, and every phase runs.

    descriptions.py MODELS WORK
"""

import pathlib
import re
import subprocess
import sys

# Billions of parameters, in all and for a token; None where the authors give none or count otherwise.
PUBLISHED = {
    "dbrx": (131.6, 36.5), "deepseek_moe_16b": (16.4, 2.83), "deepseek_v2": (235.7, 21.4),
    "deepseek_v2_lite": (15.7, None), "deepseek_v3": (671.0, 37.6), "mixtral_8x22b": (140.6, 39.2),
    "mixtral_8x7b": (46.7, 12.9), "olmoe_1b_7b": (6.92, 1.28), "qwen1_5_moe_a2_7b": (14.3, 2.7),
    "qwen3_30b_a3b": (30.5, 3.35), "jetmoe_8b": (8.52, None), "gpt_oss_20b": (20.9, None), "gpt_oss_120b": (116.8, None),
    "arctic": (480.0, None), "skywork_moe": (146.4, None), "deepseek_moe_145b": (144.6, 22.2), "deepseek_moe_2b": (1.97, None),
    "grok_1": (315.7, None), "gpt_shakespeare": (0.0008, None),
}


def call(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr}")
    return done.stdout + done.stderr


models, work = map(pathlib.Path, sys.argv[1:])
work.mkdir(parents=True, exist_ok=True)
good, found = True, {path.stem for path in models.glob("*.mlir")}
for name in sorted(found | set(PUBLISHED)):
    source = models / f"{name}.mlir"
    counts = re.search(r": (\d+) parameters, (\d+) active", call("moe-opt", source, "--moe-report-parameters", "-o",
                                                                  work / "out.mlir"))
    have = [int(count) / 1e9 for count in counts.groups()]
    close = all(want is None or abs(got - want) <= 0.005 * want + 0.005 for got, want in zip(have, PUBLISHED[name]))
    module = work / f"{name}.moe"
    call("moe-compile", source, "--target", "cpu:native", "-o", module)
    print(f"{name}: {have[0]:.2f} B, {have[1]:.2f} B active, module of {module.stat().st_size} bytes"
          + ("" if close else f": published are {PUBLISHED[name]}"))
    good &= close
sys.exit(not good)
