# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The folders of the architecture and no others."""

import lint

ROOT = {
    "CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE", ".clang-format", ".clang-tidy", ".gitignore",
    ".gitattributes", ".ci/", "dialect/", "passes/", "runtime/", "lib/", "tools/", "test/", "models/",
}
LIB = {"core/", "placement/", "reference/", "emulator/", "frontend/", "backend/", "interpreter/", "driver/"}
PASSES = {"CMakeLists.txt", "README.md", "entry/", "train/", "place/", "partition/", "fuse/", "lower/"}


def names(tree, prefix):
    rest = (file[len(prefix):] for file in tree.files if file.startswith(prefix))
    return {name.split("/")[0] + ("/" if "/" in name else "") for name in rest}


def check(tree):
    findings, count = [], 0
    for prefix, allowed in (("", ROOT), ("lib/", LIB), ("passes/", PASSES)):
        found = names(tree, prefix)
        count += len(found)
        for name in sorted(found - allowed):
            if not (prefix == "passes/" and not name.endswith("/")):
                findings.append(f"{prefix}{name}: not one of {', '.join(sorted(allowed))}")
    return findings, f"{count} names at the top, in lib and in passes"


CASES = [
    ("extra file", {"notes.md": ""}, "notes.md"),
    ("extra folder", {"src/a.cc": ""}, "src/"),
    ("extra library", {"lib/utils/a.cc": ""}, "lib/utils/"),
    ("agreed", {"lib/core/a.cc": "", "README.md": ""}, None),
]

if __name__ == "__main__":
    lint.main(check, CASES)
