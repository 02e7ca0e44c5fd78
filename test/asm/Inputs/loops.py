# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Innermost loops with fused multiply-adds hold vector code alone.

    loops.py LLVM_OBJDUMP products MODULE.moe…    every native object of modules that hold matrix products alone
    loops.py LLVM_OBJDUMP models MODULE.moe…      of any modules
    loops.py LLVM_OBJDUMP --self-test             loops that must be refused, and one that must not

Loops are the cycles of the control flow; innermost ones hold no other. Those with a fused multiply-add may have none on
one element or on 128 bits, and no call. Those of products may have no other arithmetic on one element either, and no
store to the stack of what a register cannot hold; attention has some of both (the largest score, the sum of weights).
Prints how many loops were found, by how many multiply-adds they have."""
import collections
import os
import re
import subprocess
import sys
import tempfile

LINE = re.compile(r"^\s*([0-9a-f]+):\s+(\S.*)$")
BRANCH = re.compile(r"^(j[a-z]+)\s+(0x[0-9a-f]+)")
FMA = re.compile(r"^vfn?m(add|sub|addsub|subadd)\d{3}[ps][sdh]$")
SCALAR = re.compile(r"^v?(add|sub|mul|div|sqrt|min|max|fn?m(?:add|sub)\d{3})s[sd]$")
SPILL = re.compile(r"^v?mov\w*\s+(?:\w+ ptr )?\[r[sb]p(?: [+-] 0x[0-9a-f]+)?\](?: {k\d})?, (\w+)")


def instructions(objdump, path):
    text = subprocess.run([objdump, "-d", "--no-show-raw-insn", "--x86-asm-syntax=intel", path], check=True,
                          capture_output=True, text=True).stdout
    found = []
    for line in text.splitlines():
        match = LINE.match(line)
        if match:
            found.append((int(match[1], 16), " ".join(match[2].split("#")[0].split("<")[0].split())))
    return found


def blocks_of(code):
    """Straight pieces of code, and which pieces may follow which."""
    place = {address: i for i, (address, _) in enumerate(code)}
    starts, jumps = {0}, {}
    for i, (_, text) in enumerate(code):
        branch = BRANCH.match(text)
        if branch:
            jumps[i] = place.get(int(branch[2], 16))
            starts |= {jumps[i], i + 1} - {None}
        elif text.startswith(("ret", "jmp", "ud2", "hlt")):
            starts.add(i + 1)
    order = sorted(start for start in starts if start < len(code))
    number = {start: b for b, start in enumerate(order)}
    pieces, after = [], []
    for b, start in enumerate(order):
        end = order[b + 1] if b + 1 < len(order) else len(code)
        last = code[end - 1][1]
        pieces.append(code[start:end])
        following = [number[jumps[end - 1]]] if jumps.get(end - 1) is not None else []
        if not last.startswith(("ret", "jmp", "ud2", "hlt")) and b + 1 < len(order):
            following.append(b + 1)
        after.append(following)
    return pieces, after


def cycles(nodes, after):
    """The strongly connected sets of |nodes| that hold an edge (Tarjan, without recursion)."""
    index, low, stack, on, found = {}, {}, [], set(), []
    for root in nodes:
        if root in index:
            continue
        work = [(root, iter(after(root)))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on.add(root)
        while work:
            node, edges = work[-1]
            for target in edges:
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    on.add(target)
                    work.append((target, iter(after(target))))
                    break
                if target in on:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    members = set()
                    while node not in members:
                        members.add(stack.pop())
                    on -= members
                    if len(members) > 1 or node in after(node):
                        found.append(members)
    return found


def innermost(code):
    """The instructions of each innermost loop."""
    pieces, follow = blocks_of(code)
    before = collections.defaultdict(set)
    for b, following in enumerate(follow):
        for target in following:
            before[target].add(b)

    def within(members, heads):
        return lambda b: [t for t in follow[b] if t in members and t not in heads]

    everything = set(range(len(pieces)))
    work = [(everything, set())]
    while work:
        members, heads = work.pop()
        inner = cycles(sorted(members), within(members, heads))
        if not inner and heads:
            yield [line for b in sorted(members) for line in pieces[b]]
        for loop in inner:
            # Without the edges back to where it is entered, what is left of a loop are the loops inside.
            entered = {b for b in loop if before[b] - loop} or {min(loop)}
            work.append((loop, heads | entered))


def problems(loop, products):
    """What an innermost loop with multiply-adds may not hold."""
    found = []
    for address, text in loop:
        name = text.split()[0]
        if FMA.match(name) and (name[-2] == "s" or not re.search(r"\b[yz]mm\d", text)):
            found.append("narrow multiply-add")
        elif products and SCALAR.match(name):
            found.append("arithmetic on one element")
        elif name.startswith("call"):
            found.append("call")
        elif products and SPILL.match(text):
            found.append("store to the stack")
        else:
            continue
        found[-1] += f" at {address:#x}: {text}"
    return found


def check(objdump, name, path, products):
    code = instructions(objdump, path)
    counts, bad = collections.Counter(), []
    for loop in innermost(code):
        fmas = sum(bool(FMA.match(text.split()[0])) for _, text in loop)
        if fmas:
            counts[fmas] += 1
            bad += problems(loop, products)
    most = ", ".join(f"{loops} with {fmas}" for fmas, loops in sorted(counts.items(), reverse=True))
    print(f"{name}: {len(code)} instructions, {sum(counts.values())} innermost loops with multiply-adds: {most or 'none'}")
    return counts, bad


# Bodies of a loop that counts down.
CASES = [
    ("vectors", "vfmadd231ps ymm0, ymm1, [rdi]", None),
    ("wide vectors", "vfmadd231ps zmm0, zmm1, [rdi]{1to16}", None),
    ("one element", "vfmadd231ss xmm0, xmm1, [rdi]", "narrow"),
    ("128 bits", "vfmadd231ps xmm0, xmm1, [rdi]", "narrow"),
    ("a sum", "vfmadd231ps ymm0, ymm1, [rdi]; vaddss xmm2, xmm2, xmm0", "one element"),
    ("call", "vfmadd231ps ymm0, ymm1, [rdi]; call 3f; 3:", "call"),
    ("spill", "vfmadd231ps ymm0, ymm1, [rdi]; vmovaps [rsp + 32], ymm0", "store to the stack"),
    ("integer spill", "vfmadd231ps ymm0, ymm1, [rdi]; mov [rsp - 8], rax", "store to the stack"),
    ("no multiply-add", "vaddps ymm0, ymm1, [rdi]", "none"),
    ("outer loop", "vfmadd231ss xmm0, xmm1, [rdi]; 2: vaddps ymm0, ymm1, [rdi]; dec rcx; jne 2b", "none"),
    ("inner loop", "vaddss xmm0, xmm1, [rdi]; 2: vfmadd231ps ymm0, ymm1, [rdi]; dec rcx; jne 2b", None),
    ("turned loop", "jmp 3f; 2: vaddss xmm0, xmm1, [rdi]; jmp 4f; 3: vfmadd231ps ymm0, ymm1, [rdi]; dec rcx; je 2b; jmp 3b; 4:",
     None),
]


def self_test(objdump):
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, body, wanted) in enumerate(CASES):
            target = os.path.join(folder, f"{number}.o")
            code = f".intel_syntax noprefix\nf: 1: {body}; add rdi, 64; dec rax; jne 1b; ret\n"
            subprocess.run(["cc", "-c", "-x", "assembler", "-", "-o", target], input=code, text=True, check=True)
            counts, bad = check(objdump, name, target, products=True)
            seen = bool(counts) and not bad if wanted is None else \
                not counts if wanted == "none" else any(wanted in problem for problem in bad)
            if not seen:
                sys.exit(f"self-test '{name}': expected {wanted or 'no finding'}, got {bad}")
    print(f"{len(CASES)} self-tests passed")


def main():
    objdump, what, *paths = sys.argv[1:]
    if what == "--self-test":
        return self_test(objdump)
    if what not in ("products", "models"):
        sys.exit(__doc__)
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "lint"))
    import native_module
    failed = not paths
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            for name, data in native_module.objects(path):
                target = os.path.join(folder, "object.so")
                with open(target, "wb") as f:
                    f.write(data)
                counts, bad = check(objdump, os.path.basename(name), target, what == "products")
                for problem in bad:
                    print("  " + problem)
                failed += len(bad) + (not counts)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
