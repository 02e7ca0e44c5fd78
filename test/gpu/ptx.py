# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A machine for PTX as the compiler prints it: blocks, warps of 32 lanes, global
and shared memory.

    memory = Memory()
    x = memory.put(bytes)                    # address of a buffer of its own
    Kernel(text, "name", memory).launch(blocks, [x, 7])
    memory.get(x)

It refuses what a device would do silently: accesses outside a buffer or not
aligned, reads of shared memory that nobody wrote, instructions of a whole warp
that not all lanes reach. Lanes that took different ways meet again as soon as they
can: the ones furthest behind go first. Warps run one after another up to a
barrier, in an order that `seed` shuffles. Denormals are zero."""

import random
import re

from ptx_warp import Fault, LANES, M32, Warp


class Memory:
    """Buffers far apart from each other."""

    def __init__(self):
        self.buffers = []

    def put(self, data):
        self.buffers.append(bytearray(data))
        return len(self.buffers) << 32

    def get(self, address):
        return bytes(self.buffers[(address >> 32) - 1])

    def at(self, address, size):
        index, offset = (address >> 32) - 1, address & M32
        if not 0 <= index < len(self.buffers) or offset + size > len(self.buffers[index]):
            raise Fault(f"{size} bytes at {address:#x} are outside of every buffer")
        return self.buffers[index], offset


class Shared:
    def __init__(self, size):
        self.data, self.written = bytearray(size), bytearray(size)

    def at(self, address, size):
        if address + size > len(self.data):
            raise Fault(f"{size} bytes at {address:#x} are outside of shared memory")
        return self.data, address


class Kernel:
    def __init__(self, text, name, memory):
        self.memory, self.name = memory, name
        self.shared_at, self.shared_size = {}, 0
        for align, symbol, size in re.findall(r"\.shared \.align (\d+) \.b8 (\w+)\[(\d+)\]", text):
            self.shared_at[symbol] = -(-self.shared_size // int(align)) * int(align)
            self.shared_size = self.shared_at[symbol] + int(size)
        entry = re.search(r"\.entry " + name + r"\((.*?)\)\s*(.*?)\{\s*\n(.*?)\n\}", text, re.S)
        if not entry:
            raise Fault(f"no kernel {name}")
        self.params = re.findall(r"(\w+)\s*(?:,|$)", entry.group(1), re.M)
        self.threads = int(re.search(r"\.reqntid (\d+)", entry.group(2)).group(1))
        self.labels, self.code = {}, []
        for line in re.sub(r"//.*", "", entry.group(3)).split("\n"):
            line = line.strip()
            label = re.match(r"(\$\w+):", line)
            if label:
                self.labels[label.group(1)] = len(self.code)
            elif line and not line.startswith(".") and line not in "{}":
                self.code.append(self.parse(line.rstrip(";")))

    @staticmethod
    def parse(line):
        guard = re.match(r"@(!?)(%\w+)\s+(.*)", line)
        if guard:
            line = guard.group(3)
        opcode, _, rest = line.partition(" ")
        opcode = opcode.strip()
        operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s{}\[\]]+", rest.replace("\t", " "))
        return (guard.group(2), guard.group(1) == "!") if guard else None, opcode.split("."), operands, line

    def launch(self, blocks, arguments, seed=0):
        order = random.Random(seed)
        for block in range(blocks):
            Block(self, block, blocks, dict(zip(self.params, arguments))).run(order)


class Block:
    def __init__(self, kernel, number, count, params):
        self.kernel, self.number, self.count, self.params = kernel, number, count, params
        self.shared = Shared(kernel.shared_size)
        self.warps = [Warp(self, first) for first in range(0, kernel.threads, LANES)]

    def run(self, order):
        while True:
            alive = [warp for warp in self.warps if not warp.done()]
            if not alive:
                return
            order.shuffle(alive)
            for warp in alive:
                warp.run()
            waiting = [warp for warp in self.warps if not warp.done()]
            if waiting and len(waiting) != len(self.warps):
                raise Fault("a warp ended that others wait for at a barrier")
            for warp in waiting:
                warp.pc = [pc + 1 for pc in warp.pc]
