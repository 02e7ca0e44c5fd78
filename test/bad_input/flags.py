# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Programs that are no MLIR, and command lines that are no command."""

from broken import text

LAYER = "func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {\n  return %x : tensor<4xf32>\n}\n"


def programs(add):
    """Text that is no program, for moe-compile; moe-opt, which shows the source line, joins where no line is at fault."""
    both = ("moe-compile", "moe-opt")
    add("missing", "F101", None, both)
    add("empty", "F103", b"")
    add("a folder of no model", "C101", "folder")
    add("a folder", "F102", "folder", ("moe-opt",))
    add("no MLIR", "K101", b"hello, this is a letter\n")
    add("an unknown operation", "K101", LAYER.replace("return", "nn.banana %x : tensor<4xf32>\n  return", 1).encode())
    add("cut short", "K101", LAYER[:60].encode())
    add("of zero bytes", "K110", b"\0" * 4096)
    add("of random bytes", "K101", bytes(range(255, 127, -1)) * 8)
    add("bytecode", "K101", b"ML\xefR\x0dMLIR22\0" + b"\xff" * 64, both)
    add("nested 257 deep", "K104", b"module {" * 257 + b"}" * 257, both)
    add("nested a million deep", "K104", b"(" * 1_000_000, both)
    add("of a million minus signs", "K104", b"#m = affine_map<(d) -> (" + b"-" * 1_000_000 + b"d)>", both)
    add("of a type that does not fit", "K101", LAYER.replace("4xf32", "99999999999999999999xf32").encode())


def usage(add):
    for tool, given in (("moe-import", "m"), ("moe-compile", "f.mlir"), ("moe-opt", "f.mlir"), ("moe-run", "score")):
        add(f"{tool} with a flag of no sense", "U101", [tool, given, "--qqqqqqqqqqqqqqq"])
    add("moe-import with a mistyped flag", "U101", ["moe-import", "m", "--outptu", "out.mlir"])
    add("moe-compile with a mistyped flag", "U101", ["moe-compile", "f.mlir", "--entires", "score", "-o", "out.moe"])
    add("moe-opt with a mistyped flag", "U101", ["moe-opt", "f.mlir", "--moe-to-stpe", "-o", "out.mlir"])
    add("moe-run with a mistyped flag", "U101", ["moe-run", "score", "m.moe", "--wieghts", "m"])
    add("moe-run with a mistyped command", "U105", ["moe-run", "genrate", "m.moe"])
    add("moe-import without a folder", "U102", ["moe-import"])
    add("moe-compile without an output", "U102", ["moe-compile", "f.mlir"])
    add("moe-run without a command", "U102", ["moe-run"])
    add("moe-run without weights", "U102", ["moe-run", "score", "m.moe"])
    add("moe-import with two folders", "U107", ["moe-import", "a", "b"])
    add("moe-compile with two programs", "U107", ["moe-compile", "a", "b", "-o", "out.moe"])
    add("moe-opt with two programs", "U107", ["moe-opt", "f.mlir", "g.mlir"])
    add("moe-compile with an unknown target", "K105", ["moe-compile", "f.mlir", "--target", "tpu", "-o", "out.moe"])
    add("moe-compile with a target of later", "K111", ["moe-compile", "f.mlir", "--target", "sm_90a", "-o", "out.moe"])
    add("moe-compile with an unknown phase", "U103", ["moe-compile", "f.mlir", "--compile-to", "moon"])
    add("moe-compile with a router without a name", "K107", ["moe-compile", "f.mlir", "--router", "f.mlir", "-o", "out.moe"])
    add("moe-compile with an unknown function", "K110", ["moe-compile", "f.mlir", "--entries", "g", "-o", "out.moe"])
    add("moe-run with no threads", "U103", ["moe-run", "score", "m.moe", "--ids", "i", "--threads", "0"])
    add("moe-run with 10^20 threads", "U103", ["moe-run", "score", "m.moe", "--ids", "i", "--threads", "1" + "0" * 20])
    add("moe-run with a memory of no size", "U103", ["moe-run", "plan", "m.moe", "--max-memory", "much"])
    add("moe-run on a device that is not there", "D102", ["moe-run", "plan", "m.moe", "--device", "cuda:0"])
    add("moe-run explains an unknown code", "U106", ["moe-run", "explain", "MOE-Z999"])


def cases(make, _fixtures, work):
    made = []

    def program(name, code, content, tools=("moe-compile",)):
        def prepare(folder):
            (folder / "out").write_text("kept")
            if content == "folder":
                (folder / "f.mlir").mkdir()
            elif content is not None:
                text("f.mlir", content)(folder)
        for tool in tools:
            made.append(make(f"program: {name}, {tool}", code, [tool, "f.mlir", "-o", "out"], prepare))

    def line(name, code, command):
        def prepare(folder):
            text("f.mlir", LAYER)(folder)
            (folder / "m.moe").write_bytes((work / "mixtral.moe").read_bytes())
            for out in ("out.mlir", "out.moe"):
                (folder / out).write_text("kept")
        made.append(make(f"usage: {name}", code, command, prepare))

    programs(program)
    usage(line)
    return made
