# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Programs and libraries that users deploy need no LLVM.

    no_llvm.py FILE…

A program needs only the C and C++ run-time libraries. An archive has no
undefined symbol in namespace llvm or mlir."""

import os
import re
import subprocess
import sys
import tempfile

import elf

RUNTIME = re.compile(r"^(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|libasan|libubsan|ld-linux-x86-64)\.so")
LLVM_SYMBOL = re.compile(r"\b_ZN?[A-Z]*K?(?:4llvm|4mlir)\d|\b(?:LLVM[A-Z]|mlir[A-Z])\w+")


def check_file(path):
    if not os.path.exists(path):
        return [f"{path}: is not built"], 0
    return check_archive(path) if path.endswith((".a", ".o")) else check_program(path)


def check_program(path):
    with open(path, "rb") as f:
        needed = elf.Elf(f.read()).needed
    return [f"{path}: needs {name}" for name in needed if not RUNTIME.match(name)], len(needed)


def check_archive(path):
    out = subprocess.run(["nm", "--undefined-only", path], check=True, capture_output=True, text=True).stdout
    symbols = [line.split()[-1] for line in out.splitlines() if " U " in line]
    return [f"{path}: needs {name}" for name in symbols if LLVM_SYMBOL.search(name)], len(symbols)


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        def build(name, code, *options):
            source, target = os.path.join(folder, name + ".cc"), os.path.join(folder, name)
            with open(source, "w", encoding="utf-8") as f:
                f.write(code)
            subprocess.run(["c++", *options, "-o", target, source], check=True)
            return target

        fake = os.path.join(folder, "libLLVM.so")
        subprocess.run(["c++", "-shared", "-fPIC", "-x", "c++", "/dev/null", "-o", fake, "-Wl,-soname,libLLVM.so.22.1"],
                       check=True)
        bad = build("bad", "int main() {}\n", "-Wl,--no-as-needed", fake)
        good = build("good", "int main() {}\n")
        archive = build("object.o", "namespace mlir { struct A { void f(); }; }\nvoid g(mlir::A a) { a.f(); }\n", "-c")
        plain = build("plain.o", "void f(); void g() { f(); }\n", "-c")
        wanted = [(check_file(bad), True), (check_file(good), False), (check_file(archive), True),
                  (check_file(plain), False), (check_file(os.path.join(folder, "absent")), True)]
        for number, ((findings, _), fails) in enumerate(wanted):
            if bool(findings) != fails:
                sys.exit(f"self-test {number}: got {findings}")
    print(f"{len(wanted)} self-tests passed", end="; ")


def main():
    self_test()
    findings, count, files = [], 0, sys.argv[1:]
    for path in files:
        found, number = check_file(path)
        findings += found
        count += number
    for finding in findings:
        print(finding)
    print(f"checked {count} needed libraries and symbols of {len(files)} files: {len(findings)} findings")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
