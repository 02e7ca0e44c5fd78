# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""clang-format-22 has nothing to change. `--fix` changes it."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import lint

NAMES = ("clang-format-22", "/usr/lib/llvm-22/bin/clang-format")
BATCH = 16


def run(tree, options):
    tool = next((t for t in NAMES if shutil.which(t)), None)
    if tool is None:
        sys.exit("clang-format-22 is not installed; run tools/setup")
    files = [f for f in tree.files if f.endswith((".cc", ".cpp", ".h", ".c"))]
    batches = [files[i:i + BATCH] for i in range(0, len(files), BATCH)]

    def work(batch):
        return subprocess.run([tool, *options, *batch], cwd=tree.root, capture_output=True, text=True).stderr

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return files, "".join(pool.map(work, batches))


def check(tree):
    files, report = run(tree, ["--dry-run", "-Werror", "--ferror-limit=1"])
    findings = [line for line in report.splitlines() if ": error: " in line]
    return findings, f"the format of {len(files)} files"


STYLE = {".clang-format": "BasedOnStyle: LLVM\n"}
CASES = [
    ("spaces", {"a.cc": "int  x;\n", **STYLE}, "a.cc:1"),
    ("formatted", {"a.cc": "int x;\n", **STYLE}, None),
]

if __name__ == "__main__":
    if sys.argv[1:] == ["--fix"]:
        top = os.path.join(os.path.dirname(__file__), "..", "..")
        sys.exit(run(lint.Tree(top), ["-i"])[1] or 0)
    lint.main(check, CASES)
