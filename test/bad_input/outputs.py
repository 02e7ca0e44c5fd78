# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Outputs that cannot be written: what is there stays, and nothing is left behind."""

import json
import shutil

from broken import model, text

LAYER = """func.func @relu(%x: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %y = nn.activate relu %x : tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}
"""


def cases(make, fixtures, work):
    source, module, made = fixtures / "mixtral-1", work / "mixtral.moe", []
    importing = ["moe-import", "m", "--quiet"]
    compiling = ["moe-compile", "f.mlir", "--target", "cpu:x86-64-v3"]
    scoring = ["moe-run", "score", "m.moe", "--weights", "m", "--ids", "rows.json"]
    read_line = ("moe-run: read ",)

    def prepare(*changes):
        def apply(folder):
            model(source)(folder)
            shutil.copy(module, folder / "m.moe")
            text("f.mlir", LAYER)(folder)
            text("rows.json", json.dumps([[1] * 64] * 200))(folder)
            text("kept", "kept" * 4)(folder)
            for change in changes:
                change(folder)
        return apply

    def add(name, code, command, **more):
        made.append(make(f"output: {name}", code, command, prepare(), **more))

    for tool, command, notes in (("moe-import", importing + ["-o"], ()), ("moe-compile", compiling + ["-o"], ()),
                                 ("moe-opt", ["moe-opt", "f.mlir", "-o"], ()),
                                 ("moe-run", scoring + ["--logits"], read_line),
                                 ("moe-run routing", scoring + ["--routing"], read_line)):
        add(f"{tool} to no folder", "F204", command + ["no/such/kept"])
        add(f"{tool} to a folder", "F203", command + ["m"])
        add(f"{tool} below a file", "F204", command + ["kept/out"])
        add(f"{tool} to a full device", "F201", command + ["/dev/full"], notes=notes)
        # moe-run needs room for the native code of a module, far less than its outputs.
        room = 1 << 18 if notes else 1 << 4
        add(f"{tool} to a full disk", "F201", command + ["kept"], file_limit=room, notes=notes)
        add(f"{tool} to a full disk, under ulimit", "F201", command + ["kept"], file_limit=room, killable=True, notes=notes)
    add("moe-import prints to a full device", "F201", importing, stdout="/dev/full")
    add("moe-opt prints to a full device", "F201", ["moe-opt", "f.mlir"], stdout="/dev/full")
    add("moe-compile prints to a full device", "F201", compiling + ["--emit", "asm"], stdout="/dev/full")
    add("moe-run prints to a full device", "F201", ["moe-run", "inspect", "m.moe"], stdout="/dev/full")
    add("moe-compile prints to a full disk", "F201", compiling + ["--emit", "llvm"], stdout=str(work / "printed"), file_limit=64)
    add("moe-compile with a full folder for temporary files", "F201", compiling + ["-o", "kept"], file_limit=600)
    add("moe-compile without a folder for temporary files", "F203", compiling + ["-o", "kept"], env={"TMPDIR": "no/such"})
    add("moe-run without room for native code", "F201", scoring, file_limit=16)
    return made
