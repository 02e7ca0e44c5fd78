# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What exists of each operation of the dialects, as a table that has no empty cell.

    coverage.py --tblgen llvm-tblgen --include DIR… --registries JSON --reference libmoe_reference.a [--out coverage.md] [--prove]

Rows are the operations that TableGen knows. Each column is read from the code:

    f32, f64     functions of lib/reference that the interpreter's handler reaches, instantiated for that type
    invalid      every labelled constraint of the description has a test under test/dialect
    interpreter  a handler is registered for both precisions
    lowering     a CPU kernel is registered, or a pass was seen to remove the operation (registries.cpp)

A cell that cannot exist has a line with its reason in exceptions.txt; a line that excuses nothing is an error. With
--prove each filled cell is emptied in turn, and each excuse dropped, and the check must find that and nothing else."""

import argparse
import collections
import json
import os
import re
import subprocess
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(FOLDER, "..", "..")
COLUMNS = ("f32", "f64", "invalid", "interpreter", "lowering")
LABEL = re.compile(r"\(C(\d+)\)")
TEST = re.compile(r"@([a-z_]\w*)_c(\d+)\b")

Op = collections.namedtuple("Op", "name cpp labels")


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


# Operations, from TableGen.

def operations(tblgen, includes):
    found = {}
    for folder, _, files in sorted(os.walk(os.path.join(ROOT, "dialect"))):
        for file in sorted(files):
            if not file.endswith(".td"):
                continue
            out = subprocess.run([tblgen, "--dump-json", *(f"-I{i}" for i in [ROOT, *includes]), os.path.join(folder, file)],
                                 check=True, capture_output=True, text=True).stdout
            for name, record in json.loads(out).items():
                if isinstance(record, dict) and "Op" in record.get("!superclasses", []):
                    dialect = record["opDialect"]["def"].removesuffix("_Dialect").lower()
                    if dialect in ("nn", "moe"):
                        labels = sorted(int(n) for n in LABEL.findall(record.get("description") or ""))
                        op = Op(f"{dialect}.{record['opName']}", f"{dialect}::{name.split('_', 1)[1]}", labels)
                        found[op.name] = op
    return [found[name] for name in sorted(found)]


# Functions of the reference, from the library's symbols.

def instantiations(library):
    """name -> the types it exists for; a function that is no template, or defined in a header, serves both."""
    symbols = subprocess.run(["nm", "-C", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    found = collections.defaultdict(set)
    folder = os.path.join(ROOT, "lib", "reference")
    for header in os.listdir(folder):
        if header.endswith(".h"):
            for name in functions(plain(read(folder, header))):
                found[name] |= {"f32", "f64"}
    for name, kind in re.findall(r"moe::reference::(\w+)(?:<(\w+)>)?\(", symbols):
        found[name] |= {"f32", "f64"} if not kind else {"float": {"f32"}, "double": {"f64"}}.get(kind, set())
    return found


def types():
    """Names of the reference that are types: to make one computes nothing."""
    folder = os.path.join(ROOT, "lib", "reference")
    return {name for header in os.listdir(folder) if header.endswith(".h")
            for name in re.findall(r"\b(?:struct|class)\s+(\w+)", plain(read(folder, header)))}


# Which of them a handler reaches, from the sources of the interpreter.

def plain(text):
    """Without comments and preprocessor lines, and with empty strings."""
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M)
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', lambda m: '""' if m.group(0)[0] == '"' else " ", text, flags=re.S)


def closing(text, at):
    """The index behind the bracket that closes the one at |at|."""
    pairs, depth = {"(": ")", "{": "}"}, 0
    for index in range(at, len(text)):
        depth += (text[index] == text[at]) - (text[index] == pairs[text[at]])
        if not depth:
            return index + 1
    return len(text)


def functions(text):
    """name -> bodies, of functions of a file and of methods of its classes, one behind another."""
    found, at, start = collections.defaultdict(str), 0, 0
    while at < len(text):
        if text[at] in ";}":
            start = at + 1
        elif text[at] == "{":
            head = text[start:at].strip()
            if head.count("(") > head.count(")"):  # a default argument
                at = closing(text, at) - 1
            elif re.match(r"(template\s*<[^{}]*>\s*)?(namespace|class|struct|public:|private:)\b[^()]*$", head):
                start = at + 1
            else:
                end = closing(text, at)
                name = re.search(r"([\w~]+)\s*\(", re.sub(r"^template\s*<[^>]*>", "", head))
                if name:
                    found[name.group(1)] += text[at:end]
                at, start = end - 1, end
        at += 1
    return found


class Interpreter:
    """|files|: the sources by name. |shared|: names of functions that all files may call."""

    def __init__(self, files, shared):
        self.files = {name: functions(plain(text)) for name, text in files.items()}
        self.shared = shared
        self.handlers = {}
        for name, text in files.items():
            text = plain(text)
            for match in re.finditer(r"\badd<\s*((?:\w+::)?\w+Op)\s*>\s*\(", text):
                op = match.group(1) if "::" in match.group(1) else "moe::" + match.group(1)
                self.handlers[op] = (name, text[match.end():closing(text, match.end() - 1)])

    def reached(self, op):
        """Names of the reference functions that the handler of |op| reaches."""
        if op not in self.handlers:
            return set()
        found, seen, open_ = set(), set(), [self.handlers[op]]
        while open_:
            file, text = open_.pop()
            found.update(re.findall(r"\bref::(\w+)\s*[(<]", text))
            for before, name in re.findall(r"(\.|->|::)?\b(\w+)\s*(?=[(<,)])", text):
                if before == "::":
                    continue
                homes = [file] if name in self.files[file] else []
                if not homes and not before and name in self.shared:
                    homes = [other for other in self.files if name in self.files[other]]
                for home in homes:
                    if (home, name) not in seen:
                        seen.add((home, name))
                        open_.append((home, self.files[home][name]))
        return {name for name in found if not name.startswith("Parse")}


def interpreter():
    folder = os.path.join(ROOT, "lib", "interpreter")
    files = {name: read(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".cpp")}
    shared = set(re.findall(r"\b(\w+)\(Check &|\b(\w+)\(Call<T> &", read(folder, "eager.h") + read(folder, "machine.h")))
    return Interpreter(files, {name for pair in shared for name in pair if name})


# The table.

def tested():
    folder = os.path.join(ROOT, "test", "dialect")
    return {(op, int(label)) for name in os.listdir(folder) if name.endswith(".mlir")
            for op, label in TEST.findall(read(folder, name))}


def cells(op, registries, reference, sources, tests, no_functions):
    names = sorted(sources.reached(op.cpp) - no_functions)
    row = {kind: " ".join(names) if names and all(kind in reference[n] for n in names) else "" for kind in ("f32", "f64")}
    short = op.name.split(".")[1]
    row["invalid"] = " ".join(f"C{n}" for n in op.labels) if all((short, n) in tests for n in op.labels) else ""
    row["interpreter"] = "yes" if all(op.name in registries[kind] for kind in ("f32", "f64")) else ""
    removed = registries["removed"].get(op.name)
    row["lowering"] = "kernel" if op.name in registries["kernels"] else f"`{removed}`" if removed else ""
    return row


def exceptions(text):
    """(op, column) -> reason"""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            names, columns, reason = (part.strip() for part in line.split(":", 2))
            for name in names.split():
                for column in columns.split():
                    if column not in COLUMNS or not reason or (name, column) in found:
                        sys.exit(f"exceptions.txt: not understood or said twice: {line}")
                    found[(name, column)] = reason
    return found


def check(table, excused):
    findings = [f"{op}: nothing for {column}" for op, row in table.items() for column in COLUMNS
                if not row[column] and (op, column) not in excused]
    for op, column in excused:
        if op not in table:
            findings.append(f"exceptions.txt: no operation {op}")
        elif table[op][column]:
            findings.append(f"exceptions.txt: {op} needs no excuse for {column}: {table[op][column]}")
    return findings


def page(table, excused):
    lines = ["# Operations and what exists of them", "", "Made by `test/coverage/coverage.py` from the code; *slanted*: why there is nothing.", "",
             "| operation | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for op, row in table.items():
        lines.append(f"| `{op}` | " + " | ".join(row[c] or f"*{excused.get((op, c), '')}*" for c in COLUMNS) + " |")
    return "\n".join(lines) + "\n"


# Proofs that it can fail.

def prove(table, excused):
    count = 0
    for op, row in table.items():
        for column in COLUMNS:
            count += 1
            if row[column]:
                less, wanted = {**table, op: {**row, column: ""}}, f"{op}: nothing for {column}"
                found = check(less, excused)
            else:
                wanted = f"{op}: nothing for {column}"
                found = check(table, {key: why for key, why in excused.items() if key != (op, column)})
            if found != [wanted]:
                sys.exit(f"self-test: expected '{wanted}', found {found}")
    op = next(iter(table))
    for key, wanted in (((op, "interpreter"), "needs no excuse"), (("nn.absent", "f32"), "no operation nn.absent")):
        if not any(wanted in finding for finding in check(table, {**excused, key: "because"})):
            sys.exit(f"self-test: expected '{wanted}'")
    prove_parser()
    print(f"emptied {count} cells in turn, each was found")


def prove_parser():
    code = {"a.cpp": "template <typename T> static T one(Call<T> &c) { // ref::Comment(\n  return two(ref::A<T>(c)); }\n"
                     "namespace {\nstruct S {\n  int m() const { return ref::M(1); }\n};\n}\n"
                     "void f() { table.template add<OneOp>(one<T>);\n table.template add<nn::LambdaOp>([](C &c) { return s.m() + x.far(); }); }\n",
            "b.cpp": "int two(int x) { return ref::B(x); }\nint far(int x) { return ref::Far(x); }\nint hidden(int x) { return ref::H(x); }"}
    for shared, op, wanted in (({"two"}, "moe::OneOp", {"A", "B"}), (set(), "moe::OneOp", {"A"}), ({"far"}, "nn::LambdaOp", {"M"}),
                               (set(), "nn::AbsentOp", set())):
        if (got := Interpreter(code, shared).reached(op)) != wanted:
            sys.exit(f"self-test: {op} reaches {wanted}, not {got}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tblgen", required=True)
    parser.add_argument("--include", nargs="+", default=[])
    parser.add_argument("--registries", required=True)
    parser.add_argument("--reference", required=True)
    parser.add_argument("--out")
    parser.add_argument("--prove", action="store_true")
    arguments = parser.parse_args()
    registries = json.loads(read(arguments.registries))
    reference, sources, tests, no_functions = instantiations(arguments.reference), interpreter(), tested(), types()
    table = {op.name: cells(op, registries, reference, sources, tests, no_functions) for op in operations(arguments.tblgen, arguments.include)}
    excused = exceptions(read(FOLDER, "exceptions.txt"))
    findings = check(table, excused)
    for finding in findings:
        print(finding)
    if findings or not table:
        sys.exit(1)
    if arguments.prove:
        prove(table, excused)
    if arguments.out:
        with open(arguments.out, "w", encoding="utf-8") as f:
            f.write(page(table, excused))
    print(f"{len(table)} operations, {len(table) * len(COLUMNS)} cells, {len(excused)} of them excused")


if __name__ == "__main__":
    main()
