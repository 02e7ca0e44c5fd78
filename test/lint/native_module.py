# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Native objects of compiled modules are closed: one export, nothing undefined,
nothing that runs at load.

    native_module.py FILE…     .moe files (every section that is an ELF object) or shared objects

Prints what it checked; exit 1 names what is wrong."""

import os
import struct
import subprocess
import sys
import tempfile

import elf

EXPORT = "moe_module_v1"
MAGIC = b"MOEMOD\r\n"
FORBIDDEN_TAGS = {
    elf.DT_TEXTREL: "text relocations", elf.DT_INIT: "an init function", elf.DT_FINI: "a fini function",
    elf.DT_INIT_ARRAY: "an init array", elf.DT_FINI_ARRAY: "a fini array", elf.DT_PREINIT_ARRAY: "a preinit array",
}


def objects(path):
    """(name, bytes) of each native object in a file."""
    with open(path, "rb") as f:
        data = f.read()
    if not data.startswith(MAGIC):
        return [(path, data)]
    (count,) = struct.unpack_from("<I", data, 12)
    found = []
    for i in range(count):
        name, offset, size = struct.unpack_from("<32sQQ", data, 24 + i * 64)
        body = data[offset:offset + size]
        if body.startswith(b"\x7fELF"):
            found.append((f"{path}[{name.rstrip(bytes(1)).decode()}]", body))
    return found


def problems(data):
    try:
        file = elf.Elf(data)
    except (ValueError, struct.error) as error:
        return [str(error)]
    found = [f"needs {name}" for name in file.needed]
    found += [f"undefined symbol {name}" for name, defined, _ in file.symbols if not defined]
    found += [f"exports {name}" for name, defined, shared in file.symbols if defined and shared and name != EXPORT]
    if not any(name == EXPORT and defined for name, defined, _ in file.symbols):
        found.append(f"does not export {EXPORT}")
    found += [f"has {FORBIDDEN_TAGS[tag]}" for tag, _ in file.dynamic if tag in FORBIDDEN_TAGS]
    if any(tag == elf.DT_FLAGS and value & elf.DF_TEXTREL for tag, value in file.dynamic):
        found.append("has text relocations")
    kinds = dict(file.segments)
    if elf.PT_TLS in kinds:
        found.append("has thread-local storage")
    if kinds.get(elf.PT_GNU_STACK, 1) & 1:
        found.append("has an executable stack")
    return found


GOOD = "void *moe_module_v1(void) { return 0; }\n"
CASES = [
    ("closed", GOOD, [], None),
    ("undefined", GOOD + "void f(void); __attribute__((visibility(\"hidden\"))) void g(void) { f(); }\n", [], "undefined symbol f"),
    ("second export", GOOD + "void f(void) {}\n", [], "exports f"),
    ("no export", "static int x;\n", [], "does not export"),
    ("library", GOOD, ["-Wl,--no-as-needed", "-lm"], "needs libm"),
    ("constructor", GOOD + "__attribute__((constructor)) static void f(void) {}\n", [], "an init array"),
    ("thread local", "__thread int x __attribute__((visibility(\"hidden\"))); void *moe_module_v1(void) { return &x; }\n",
     [], "thread-local"),
    ("stack", GOOD, ["-Wl,-z,execstack"], "executable stack"),
]


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, code, options, wanted) in enumerate(CASES):
            source, target = os.path.join(folder, f"{number}.c"), os.path.join(folder, f"{number}.so")
            with open(source, "w", encoding="utf-8") as f:
                f.write(code)
            subprocess.run(["cc", "-shared", "-fPIC", "-nostdlib", "-ftls-model=initial-exec", "-o", target, source,
                            *options], check=True)
            found = problems(objects(target)[0][1])
            if (found if wanted is None else not any(wanted in problem for problem in found)):
                sys.exit(f"self-test '{name}': expected {wanted or 'no finding'}, got {found}")
    if problems(b"\x7fELF") == []:
        sys.exit("self-test 'cut short': expected a finding")
    print(f"{len(CASES) + 1} self-tests passed")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    checked, failed = 0, 0
    for path in sys.argv[1:]:
        found = objects(path)
        if not found:
            print(f"{path}: holds no native object")
            failed += 1
        for name, data in found:
            checked += 1
            for problem in problems(data):
                print(f"{name}: {problem}")
                failed += 1
    print(f"checked {checked} native objects: {failed} findings")
    sys.exit(1 if failed or not checked else 0)


if __name__ == "__main__":
    main()
