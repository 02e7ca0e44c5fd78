# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Assembles the kernels of programs for every chip: ptxas_gate.py PTXAS FOLDER PROGRAM.mlir…

Fails on any error, spill, stack frame, warning, or line C75xx (serialised asynchronous products)."""

import os
import re
import subprocess
import sys

ptxas, folder, programs = sys.argv[1], sys.argv[2], sys.argv[3:]
KERNEL = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
bad = []
for program in programs:
    for chip in ("sm_80", "sm_90a"):
        path = os.path.join(folder, f"{os.path.basename(program)}.{chip}.ptx")
        ptx = subprocess.run(["moe-opt", program, f"--moe-to-nvvm=functions=true chip={chip}", "--moe-print-ptx", "-o", os.devnull],
                             check=True, capture_output=True, text=True).stdout
        with open(path, "w", encoding="utf-8") as file:
            file.write(ptx)
        done = subprocess.run([ptxas, f"-arch={chip}", "-v", path, "-o", path + ".cubin"], capture_output=True, text=True, check=False)
        report = done.stdout + done.stderr
        if done.returncode:
            sys.exit(report)
        kernel = None
        for line in report.splitlines():
            if KERNEL.search(line):
                kernel = " for ".join(KERNEL.search(line).groups())
            frame = FRAME.search(line)
            if (frame and any(map(int, frame.groups()))) or re.search(r"C75\d\d|warning", line):
                bad.append(f"{program}: {kernel}: {line.strip()}")
            used = re.search(r"Used (\d+) registers.*", line)
            if used:
                print(f"{kernel}: {used.group(0)[5:]}")
sys.exit("\n".join(bad) if bad else 0)
