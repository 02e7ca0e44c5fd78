# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A labelled constraint `(C2)` in the description of an op is carried through: a
verifier has the comment `// op C2` and a test under test/dialect has a function
`@op_c2`. A constraint that TableGen enforces ends in `[ODS]`: it needs the test
alone. Comments and tests that name a constraint which no description has are
wrong as well."""

import re

import lint

OP = re.compile(r'^def\s+\w+\s*:\s*\w+<\s*"([\w.]+)"', re.M)
DESCRIPTION = re.compile(r"let\s+description\s*=\s*\[\{(.*?)\}\]", re.S)
LABEL = re.compile(r"\(C(\d+)\)")
COMMENT = re.compile(r"\b([a-z_][\w.]*) C(\d+)\b")
TEST = re.compile(r"@([a-z_][\w]*)_c(\d+)\b")


def constraints_of(tree):
    """(op, number) -> (file, line, enforced by ODS)."""
    found = {}
    for file in tree.files:
        if not (file.startswith("dialect/") and file.endswith(".td")):
            continue
        text = tree.text(file)
        ops = list(OP.finditer(text))
        for index, op in enumerate(ops):
            end = ops[index + 1].start() if index + 1 < len(ops) else len(text)
            description = DESCRIPTION.search(text, op.end(), end)
            if not description:
                continue
            labels = list(LABEL.finditer(description.group(1)))
            for i, label in enumerate(labels):
                stop = labels[i + 1].start() if i + 1 < len(labels) else len(description.group(1))
                body = description.group(1)[label.end():stop].split("\n\n")[0]
                line = text.count("\n", 0, description.start(1) + label.start()) + 1
                found[(op.group(1), int(label.group(1)))] = (file, line, "[ODS]" in body)
    return found


def check(tree):
    wanted = constraints_of(tree)
    ops = {op for op, _ in wanted}
    verified, tested, findings = set(), set(), []
    for file in tree.files:
        if file.startswith("dialect/") and file.endswith(".cpp"):
            for number, line in tree.lines(file):
                comment = line.partition("//")[2]
                for op, label in COMMENT.findall(comment):
                    verified.add((op, int(label)))
                    if op in ops and (op, int(label)) not in wanted:
                        findings.append(f"{file}:{number}: no description has {op} C{label}")
        elif file.startswith("test/dialect/") and file.endswith(".mlir"):
            for number, line in tree.lines(file):
                for op, label in TEST.findall(line):
                    tested.add((op, int(label)))
                    if op in ops and (op, int(label)) not in wanted:
                        findings.append(f"{file}:{number}: no description has {op} (C{label})")
    for (op, label), (file, line, ods) in sorted(wanted.items(), key=lambda item: item[1]):
        if not ods and (op, label) not in verified:
            findings.append(f"{file}:{line}: {op} (C{label}) has no verifier comment '// {op} C{label}'")
        if (op, label) not in tested:
            findings.append(f"{file}:{line}: {op} (C{label}) has no test @{op}_c{label} under test/dialect")
    return findings, f"{len(wanted)} constraints of {len(ops)} ops"


_TD = 'def Moe_A : Moe_Op<"a", []> {\n  let description = [{\n    (C1) one.%s (C2) two\n    lines.\n  }];\n}\n'
_ALL = {"dialect/a.cpp": "  // a C1\n  // a C2\n", "test/dialect/a.mlir": "func.func @a_c1()\nfunc.func @a_c2()\n"}
CASES = [
    ("all there", {"dialect/a.td": _TD % "", **_ALL}, None),
    ("no comment", {"dialect/a.td": _TD % "", **_ALL, "dialect/a.cpp": "// a C1\n"}, "a.td:3: a (C2) has no verifier"),
    ("no test", {"dialect/a.td": _TD % "", **_ALL, "test/dialect/a.mlir": "@a_c2\n"}, "a (C1) has no test"),
    ("ods", {"dialect/a.td": _TD % " [ODS]", **_ALL, "dialect/a.cpp": "// a C2\n"}, None),
    ("ods without test", {"dialect/a.td": _TD % " [ODS]", "dialect/a.cpp": "// a C2\n"}, "a (C1) has no test"),
    ("unknown comment", {"dialect/a.td": _TD % "", **_ALL, "dialect/b.cpp": "// a C3\n"}, "b.cpp:1: no description"),
    ("unknown test", {"dialect/a.td": _TD % "", **_ALL, "test/dialect/b.mlir": "@a_c3\n"}, "b.mlir:1: no description"),
]

if __name__ == "__main__":
    lint.main(check, CASES)
