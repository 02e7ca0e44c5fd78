# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Includes point down the layers, name a file from the repository root, and put
a source's own header first. LLVM-free folders include no LLVM."""

import os
import re

import lint

CORE = {"lib/core"}
BELOW_L2 = CORE | {"lib/placement", "lib/reference", "lib/emulator", "dialect", "runtime/include"}
L2 = {"passes", "lib/frontend", "lib/backend", "lib/interpreter"}
LLVM_FREE_TOOLS = CORE | {"lib/placement", "lib/reference", "lib/emulator", "runtime", "runtime/include"}

# Folder -> the folders whose files it may include besides its own.
LAYERS = {
    "lib/core": set(),
    "lib/placement": CORE,
    "lib/reference": CORE,
    "lib/emulator": CORE,
    "dialect": CORE,
    "runtime/include": set(),
    "runtime": CORE | {"runtime/include"},
    "passes": BELOW_L2,
    "lib/frontend": BELOW_L2,
    "lib/backend": BELOW_L2,
    "lib/interpreter": BELOW_L2,
    "lib/driver": BELOW_L2 | L2,
    "tools/run": LLVM_FREE_TOOLS,
    "tools": LLVM_FREE_TOOLS | {"tools/run", "dialect", "lib/driver"} | L2,
}
LLVM_FREE = {f for f in LAYERS if f.startswith(("lib/core", "lib/placement", "lib/reference", "lib/emulator",
                                                "runtime", "tools/run"))}
LLVM = ("mlir/", "llvm/", "mlir-c/", "llvm-c/")
# Libraries of others: a quoted include of these is not looked up in the tree.
FOREIGN = LLVM + ("absl/", "gtest/", "gmock/", "nlohmann/", "CLI/", "benchmark/")

INCLUDE = re.compile(r'^\s*#?\s*include\s+(["<])([^">]+)[">]')


def layer_of(path):
    return max((f for f in LAYERS if path.startswith(f + "/")), key=len, default=None)


def resolve(name):
    """The installed API is included as users do."""
    return "runtime/include/" + name if name.startswith("moe/") else name


def check_include(tree, file, quote, name, own_layer):
    if ".." in name.split("/"):
        return "includes name files from the repository root"
    llvm_free = own_layer in LLVM_FREE or (own_layer == "tools" and file.endswith(".cc"))
    if llvm_free and name.startswith(LLVM):
        return "LLVM-free code includes LLVM"
    if own_layer == "runtime/include" and not name.startswith("moe/") and (quote == '"' or "/" in name):
        return "installed headers use the standard library only"
    if name.startswith(FOREIGN) or (quote == "<" and not name.startswith("moe/")):
        return None
    target = resolve(name)
    if target not in tree and not target.endswith(".inc"):
        return "no such file in the repository"
    layer = layer_of(target)
    if own_layer is None or layer is None or layer == own_layer or layer in LAYERS[own_layer]:
        return None
    return f"{own_layer} may not include {layer}"


def check(tree):
    findings, includes, files = [], 0, 0
    for file in tree.files:
        if not file.endswith((".cc", ".cpp", ".h", ".c", ".td")):
            continue
        files += 1
        own_layer = layer_of(file)
        if own_layer in LLVM_FREE and file.endswith(".cpp"):
            findings.append(f"{file}:1: LLVM-free sources end in .cc")
        own_header = os.path.splitext(file)[0] + ".h"
        first = True
        for number, line in tree.lines(file):
            match = INCLUDE.match(line)
            if not match:
                continue
            includes += 1
            quote, name = match.groups()
            error = check_include(tree, file, quote, name, own_layer)
            if not error and first and file.endswith((".cc", ".cpp")) and own_header in tree:
                if resolve(name) != own_header:
                    error = f"the first include of a source is its own header {own_header}"
            first = False
            if error:
                findings.append(f'{file}:{number}: {error}: {line.strip()}')
    return findings, f"{includes} includes in {files} files"


CASES = [
    ("down is fine", {"passes/a.cpp": '#include "dialect/b.h"\n#include "mlir/IR/Value.h"\n', "dialect/b.h": ""}, None),
    ("up", {"dialect/a.h": '#include "passes/b.h"\n', "passes/b.h": ""}, "dialect/a.h:1: dialect may not include passes"),
    ("sideways", {"passes/a.h": '#include "lib/backend/b.h"\n', "lib/backend/b.h": ""}, "may not include lib/backend"),
    ("compiler side into runtime", {"runtime/a.h": '#include "dialect/b.h"\n', "dialect/b.h": ""}, "may not include"),
    ("LLVM in the runtime", {"runtime/a.cc": "#include <llvm/ADT/STLExtras.h>\n"}, "LLVM-free code includes LLVM"),
    ("LLVM in moe-run", {"tools/moe-run.cc": '#include "mlir/IR/Value.h"\n'}, "LLVM-free code includes LLVM"),
    ("abseil in an installed header", {"runtime/include/moe/a.h": '#include "absl/status/status.h"\n'}, "standard"),
    ("installed API", {"runtime/a.cc": '#include "moe/a.h"\n', "runtime/include/moe/a.h": "#include <vector>\n"}, None),
    ("relative", {"passes/x/a.cpp": '#include "../b.h"\n', "passes/b.h": ""}, "from the repository root"),
    ("not from the root", {"passes/x/a.cpp": '#include "b.h"\n', "passes/x/b.h": ""}, "no such file"),
    ("generated", {"passes/a.cpp": '#include "passes/Passes.h.inc"\n'}, None),
    ("own header later", {"lib/core/a.cc": '#include <vector>\n#include "lib/core/a.h"\n', "lib/core/a.h": ""}, "own header"),
    ("td", {"dialect/a.td": 'include "passes/b.td"\n', "passes/b.td": ""}, "may not include passes"),
    ("extension", {"runtime/a.cpp": ""}, "end in .cc"),
]

if __name__ == "__main__":
    lint.main(check, CASES)
