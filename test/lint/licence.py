# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every source file names its licence in its first lines."""

import lint

LINE = "SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception"


def check(tree):
    findings, files = [], 0
    for file in tree.sources():
        files += 1
        if not any(LINE in line for number, line in tree.lines(file) if number <= 5):
            findings.append(f"{file}:1: the first lines lack '{LINE}'")
    if "LICENSE" in tree and "LLVM Exceptions" not in tree.text("LICENSE"):
        findings.append("LICENSE:1: lacks the LLVM exceptions")
    return findings, f"{files} source files"


CASES = [
    ("missing", {"a.cc": "int x;\n"}, "a.cc:1"),
    ("too late", {"a.cc": "\n" * 9 + "// " + LINE + "\n"}, "a.cc:1"),
    ("script", {"tools/a": "#!/bin/sh\n"}, "tools/a:1"),
    ("there", {"a.cc": "// " + LINE + "\n", "b.md": "text\n"}, None),
]

if __name__ == "__main__":
    lint.main(check, CASES)
