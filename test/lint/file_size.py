# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A source file that needs more than 450 lines serves two purposes."""

import lint

LIMIT, NEAR = 450, 400


def check(tree):
    findings, near, files, longest = [], [], 0, (0, "none")
    for file in tree.sources():
        files += 1
        lines = tree.text(file).count("\n")
        longest = max(longest, (lines, file))
        if lines > LIMIT:
            findings.append(f"{file}:{LIMIT + 1}: {lines} lines, the limit is {LIMIT}; split it by purpose")
        elif lines > NEAR:
            near.append(f"{file} ({lines})")
    if near:
        print("close to the limit: " + ", ".join(near))
    return findings, f"{files} files, the longest {longest[1]} with {longest[0]} lines"


CASES = [
    ("long", {"lib/a.cc": "\n" * 451}, "lib/a.cc:451"),
    ("long script", {"tools/a": "#!/bin/sh\n" + "\n" * 450}, "tools/a:451"),
    ("short", {"lib/a.cc": "\n" * 400}, None),
    ("data", {"a.json": "\n" * 1000}, None),
]

if __name__ == "__main__":
    lint.main(check, CASES)
