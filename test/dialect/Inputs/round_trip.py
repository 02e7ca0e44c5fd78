# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every program of the tests and models prints as it is read, as text and as bytecode, and every operation stands in one.

    round_trip.py ROOT
"""

import pathlib
import re
import subprocess
import sys

root = pathlib.Path(sys.argv[1])
DEFINITION = re.compile(r'^def\s+(Nn|Moe)_\w+\s*:\s*\w+<\s*"([a-z_0-9]+)"', re.M)

declared = set()
for table in sorted((root / "dialect").glob("*/*Ops.td")):
    text = table.read_text(encoding="utf-8")
    declared |= {f"{prefix.lower()}.{name}" for prefix, name in DEFINITION.findall(text)}

seen, failed, programs = set(), [], 0
for program in sorted([*root.glob("test/**/*.mlir"), *root.glob("models/**/*.mlir")]):
    if "invalid" in program.name:
        continue
    done = subprocess.run(["moe-opt", program, "--split-input-file", "--verify-roundtrip"], capture_output=True,
                          text=True, check=False)
    programs += 1
    if done.returncode:
        failed.append(f"{program.relative_to(root)}: {done.stderr.splitlines()[:1]}")
    seen |= set(re.findall(r"\b(?:nn|moe)\.[a-z_0-9]+", done.stdout))
failed += [f"{op}: in no program" for op in sorted(declared - seen)]
print(f"{programs} programs, {len(declared)} operations, {len(failed)} failures")
print("\n".join(failed))
sys.exit(bool(failed) or not declared or programs < 20)
