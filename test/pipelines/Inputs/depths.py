# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""depths.py FILE: texts at a limit of the reader and beyond it through moe-opt, each in less than two seconds of processor
time and 512 MiB. At the limit the exit code is 0; beyond, 3 and one line with K104 and the place."""

import resource
import subprocess
import sys

LIMIT, OPERATORS = 256, 4096


def bound():
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (2, 2))


def chain(sigil, first, step, count):
    """Aliases, each made of the one before."""
    lines = [f"{sigil}a0 = {first}\n"] + [f"{sigil}a{i + 1} = " + step.format(f"{sigil}a{i}") + "\n" for i in range(count)]
    return "".join(lines)


def attribute(text):
    return f"module attributes {{test.a = {text}}} {{}}\n"


def function(text):
    return f"func.func private @f({text})\n"


# name, text of depth n, deepest allowed n, an n beyond
CASES = [
    ("regions", lambda n: "module {" * n + "}" * n, LIMIT, LIMIT + 1),
    ("arrays", lambda n: attribute("[" * n + "]" * n), LIMIT - 1, 200_000),
    ("types", lambda n: function("tuple<" * n + "i32" + ">" * n), LIMIT - 1, 200_000),
    ("expressions", lambda n: attribute("affine_map<(d0) -> (" + "(" * n + "d0" + ")" * n + ")>"), LIMIT - 3, 200_000),
    ("operators", lambda n: attribute("affine_map<(d0, d1) -> (d0" + " floordiv 3 + d1" * (n // 2) + ")>"), OPERATORS, 200_000),
    ("attribute aliases", lambda n: chain("#", "[1]", "[{0}]", n) + attribute(f"#a{n}"), LIMIT - 1, 200_000),
    ("type aliases doubled", lambda n: chain("!", "i32", "tuple<{0}, {0}>", n) + function(f"!a{n}"), 10, 60),
]


def main():
    count = 0
    for name, text, good, bad in CASES:
        for n, code in ((good, 0), (bad, 3)):
            with open(sys.argv[1], "w", encoding="utf-8") as file:
                file.write(text(n))
            done = subprocess.run(["moe-opt", "--allow-unregistered-dialect", sys.argv[1], "-o", "/dev/null"],
                                  capture_output=True, text=True, preexec_fn=bound, check=False)
            lines = done.stderr.splitlines()
            if done.returncode != code or len(lines) != (code == 3) or (code and "error[MOE-K104]" not in lines[0]):
                sys.exit(f"{name} of {n}: exit {done.returncode}, expected {code}: {done.stderr[:300]}")
            count += 1
    print(f"{count} texts")


if __name__ == "__main__":
    main()
