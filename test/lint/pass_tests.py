# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every pass of passes/**/Passes.td is run by a test under test/passes, has a
summary, and names no constructor; passes read attributes only."""

import re

import lint

PASS = re.compile(r'^def\s+(\w+)\s*:\s*(?:\w*Pass)\s*<\s*"([\w-]+)"', re.M)
READS = re.compile(r"\bcl::opt\b|\bcl::list\b|\bgetenv\s*\(|\bifstream\b|\bfopen\s*\(|\bMemoryBuffer::getFile\b"
                   r"|\bsystem_clock\b|\bsteady_clock\b|\btime\s*\(\s*(?:NULL|nullptr|0)\s*\)")


def check(tree):
    findings, passes, sources = [], 0, 0
    run_lines = []
    for file in tree.files:
        if file.startswith("test/passes/") and file.endswith((".mlir", ".test")):
            run_lines += [line for _, line in tree.lines(file) if "RUN:" in line]
    runs = "\n".join(run_lines)
    for file in tree.files:
        if file.startswith("passes/") and file.endswith("Passes.td"):
            text = tree.text(file)
            found = list(PASS.finditer(text))
            for index, match in enumerate(found):
                passes += 1
                body = text[match.end():found[index + 1].start() if index + 1 < len(found) else len(text)]
                where = f"{file}:{text.count(chr(10), 0, match.start()) + 1}: {match.group(2)}"
                if not re.search(rf"(?<!\w)(?<!\w-){re.escape(match.group(2))}(?![\w-])", runs):
                    findings.append(f"{where} is in no RUN line under test/passes")
                if "let summary" not in body:
                    findings.append(f"{where} has no summary")
                if "let constructor" in body:
                    findings.append(f"{where} names a constructor; TableGen makes it")
        elif file.startswith("passes/") and file.endswith((".cpp", ".h")):
            sources += 1
            for number, line in tree.lines(file):
                match = READS.search(line.partition("//")[0])
                if match:
                    findings.append(f"{file}:{number}: passes take options, not '{match.group(0)}'")
    return findings, f"{passes} passes and {sources} of their sources"


_TD = 'def A : Pass<"moe-a", "ModuleOp"> {\n  let summary = "x";\n}\n'
CASES = [
    ("tested", {"passes/p/Passes.td": _TD, "test/passes/p/a.mlir": "// RUN: moe-opt %s --moe-a\n"}, None),
    ("in a pipeline", {"passes/p/Passes.td": _TD, "test/passes/a.mlir": "// RUN: x -p='builtin.module(moe-a{b=1})'\n"}, None),
    ("no test", {"passes/p/Passes.td": _TD, "test/passes/p/a.mlir": "// RUN: moe-opt %s --moe-ab\n"}, "moe-a is in no RUN"),
    ("no summary", {"passes/p/Passes.td": _TD.replace("summary", "x")}, "has no summary"),
    ("global option", {"passes/p/A.cpp": "static llvm::cl::opt<bool> x;\n"}, "A.cpp:1: passes take options"),
    ("environment", {"passes/p/A.cpp": 'if (getenv("X"))\n'}, "A.cpp:1: passes take options"),
]

if __name__ == "__main__":
    lint.main(check, CASES)
