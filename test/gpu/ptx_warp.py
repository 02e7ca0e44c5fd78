# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One warp of 32 lanes that executes PTX; see ptx.py. Registers hold unsigned
integers, floats as their bits."""

import math
import re
import struct

LANES = 32
M32, M64 = (1 << 32) - 1, (1 << 64) - 1


class Fault(Exception):
    pass


def f32(bits):
    if bits & 0x7F800000 == 0:
        bits &= 0x80000000
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def bits_of(value):
    try:
        bits = struct.unpack("<I", struct.pack("<f", value))[0]
    except OverflowError:
        bits = 0x7F800000 if value > 0 else 0xFF800000
    return bits & 0x80000000 if bits & 0x7F800000 == 0 else bits


def signed(value, width):
    return value - (1 << width) if value >> (width - 1) else value


def width_of(kind):
    return 1 if kind == "pred" else int(re.sub(r"\D", "", kind))


COMPARE = {"eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "lt": lambda a, b: a < b, "le": lambda a, b: a <= b,
           "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b}
COMPARE.update({"lo": COMPARE["lt"], "ls": COMPARE["le"], "hi": COMPARE["gt"], "hs": COMPARE["ge"]})


def float_compare(name):
    unordered = name.endswith("u") and name not in COMPARE
    test = COMPARE[name[:-1] if unordered else name] if name not in ("nan", "num") else None

    def compare(a, b):
        nan = math.isnan(a) or math.isnan(b)
        if test is None:
            return nan == (name == "nan")
        return unordered if nan else test(a, b)
    return compare


def divide(a, b):
    if b == 0:
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)
    return a / b


def fused(a, b, c):
    # A product of two f32 is exact in double; one rounding too many now and then is below every tolerance.
    return a * b + c


def keeps_nan(choose):
    return lambda a, b: math.nan if math.isnan(a) or math.isnan(b) else choose(a, b)


FLOAT = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": divide, "fma": fused,
         "rcp": lambda a: divide(1.0, a), "neg": lambda a: -a, "abs": abs, "sqrt": lambda a: math.sqrt(a) if a >= 0 else math.nan,
         "max": keeps_nan(max), "min": keeps_nan(min)}
INTEGER = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "and": lambda a, b: a & b, "or": lambda a, b: a | b,
           "xor": lambda a, b: a ^ b, "not": lambda a: ~a, "neg": lambda a: -a, "max": max, "min": min, "mul": lambda a, b: a * b,
           "mad": lambda a, b, c: a * b + c, "popc": lambda a: bin(a).count("1")}


class Warp:
    WHOLE = {"shfl", "redux", "match", "bar", "barrier"}

    def __init__(self, block, first):
        self.block, self.code, self.first = block, block.kernel.code, first
        self.pc = [0] * LANES
        self.registers = {}

    def done(self):
        return all(pc >= len(self.code) for pc in self.pc)

    def next(self):
        """Where to go on, and the lanes that are there: furthest behind first, but an instruction of the whole warp
        waits for all lanes."""
        for at in sorted(set(self.pc)):
            lanes = [lane for lane in range(LANES) if self.pc[lane] == at]
            if len(lanes) == LANES or at < len(self.code) and self.code[at][1][0] not in self.WHOLE:
                return at, lanes
        raise Fault(f"lanes wait for each other at {[self.code[at][3] for at in set(self.pc) if at < len(self.code)]}")

    def run(self):
        """Up to the end or a barrier of the block."""
        while not self.done():
            at, lanes = self.next()
            guard, opcode, operands, line = self.code[at]
            if opcode[0] in ("bar", "barrier") and opcode[1] != "warp":
                return
            if guard:
                taken = self.read(guard[0])
                active = [lane for lane in lanes if bool(taken[lane]) != guard[1]]
            else:
                active = lanes
            for lane in lanes:
                self.pc[lane] += 1
            if opcode[0] in ("bra", "ret"):
                target = len(self.code) if opcode[0] == "ret" else self.block.kernel.labels[operands[0]]
                for lane in active:
                    self.pc[lane] = target
            elif active:
                try:
                    self.execute(opcode, operands, active)
                except (Fault, KeyError, ValueError, IndexError, TypeError) as fault:
                    raise Fault(f"{self.block.kernel.name}, block {self.block.number}: '{line}': {fault!r}") from None

    # Operands: 32 unsigned integers.

    def read(self, operand):
        if operand in self.registers:
            return self.registers[operand]
        special = {"%tid.x": None, "%ctaid.x": self.block.number, "%nctaid.x": self.block.count,
                   "%ntid.x": self.block.kernel.threads}
        if operand == "%tid.x":
            return [self.first + lane for lane in range(LANES)]
        if operand in special:
            return [special[operand]] * LANES
        if operand.startswith("%"):
            raise Fault(f"{operand} is read before it is written")
        if operand.startswith("0f"):
            return [int(operand[2:], 16)] * LANES
        if operand in ("true", "false"):
            return [int(operand == "true")] * LANES
        if operand in self.block.kernel.shared_at:
            return [self.block.kernel.shared_at[operand]] * LANES
        return [int(operand, 0) & M64] * LANES

    def write(self, register, lanes, values):
        own = self.registers.setdefault(register, [0] * LANES)
        if len(lanes) == LANES:
            own[:] = values
        else:
            for lane, value in zip(lanes, values):
                own[lane] = value

    def addresses(self, operand, lanes):
        base, _, offset = operand[1:-1].partition("+")
        values = self.read(base.strip())
        return [(values[lane] + int(offset or 0)) & M64 for lane in lanes]

    def execute(self, opcode, operands, lanes):
        name, kind = opcode[0], opcode[-1]
        special = getattr(self, "op_" + name, None)
        if special:
            return special(opcode, operands, lanes)
        sources = [self.read(operand) for operand in operands[1:]]
        if kind in ("f32",):
            work = FLOAT[name]
            values = [bits_of(work(*(f32(s[lane]) for s in sources))) for lane in lanes]
        else:
            width = width_of(kind)
            mask, out = (1 << width) - 1, width
            if "wide" in opcode:
                out = 2 * width
            sign = kind.startswith("s")

            def get(source, index, lane):
                own = width if not ("wide" in opcode and index == 2) else out
                value = source[lane] & ((1 << own) - 1)
                return signed(value, own) if sign else value
            work = INTEGER[name]
            shift = width if "hi" in opcode else 0
            values = [(work(*(get(s, i, lane) for i, s in enumerate(sources))) >> shift) & ((1 << out) - 1 if out != width else mask)
                      for lane in lanes]
        self.write(operands[0], lanes, values)
        return None

    def op_mov(self, opcode, operands, lanes):
        target, source = operands
        bits = width_of(opcode[-1])
        if target.startswith("{"):
            parts = re.findall(r"[%\w]+", target)
            value, each = self.read(source), bits // len(parts)
            for i, part in enumerate(parts):
                if part != "_":
                    self.write(part, lanes, [(value[lane] >> i * each) & ((1 << each) - 1) for lane in lanes])
        elif source.startswith("{"):
            parts = [self.read(part) for part in re.findall(r"[%\w]+", source)]
            each = bits // len(parts)
            self.write(target, lanes, [sum(p[lane] << i * each for i, p in enumerate(parts)) for lane in lanes])
        else:
            value = self.read(source)
            self.write(target, lanes, [value[lane] & ((1 << bits) - 1) for lane in lanes])

    def op_cvta(self, _, operands, lanes):
        value = self.read(operands[1])
        self.write(operands[0], lanes, [value[lane] for lane in lanes])

    def op_cvt(self, opcode, operands, lanes):
        to, source_kind = opcode[-2], opcode[-1]
        value = self.read(operands[1])
        mask = (1 << width_of(to)) - 1
        if to.startswith("bf"):
            def convert(bits):
                if math.isnan(f32(bits)):
                    return 0x7FFF
                return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16 & 0xFFFF
        elif source_kind == "f32":
            low, high = (-(1 << 31), (1 << 31) - 1) if to[0] == "s" else (0, M32)

            def convert(bits):
                number = f32(bits)
                return 0 if math.isnan(number) else max(low, min(high, math.trunc(max(-1e30, min(1e30, number)))))
        elif to == "f32":
            def convert(bits):
                width = width_of(source_kind)
                return bits_of(float(signed(bits, width) if source_kind[0] == "s" else bits))
        else:
            def convert(bits):
                width = width_of(source_kind)
                bits &= (1 << width) - 1
                return signed(bits, width) if source_kind[0] == "s" else bits
        self.write(operands[0], lanes, [convert(value[lane]) & mask for lane in lanes])

    def op_setp(self, opcode, operands, lanes):
        kind, name = opcode[-1], opcode[1]
        a, b = self.read(operands[1]), self.read(operands[2])
        if kind == "f32":
            test = float_compare(name)
            values = [int(test(f32(a[lane]), f32(b[lane]))) for lane in lanes]
        else:
            width = width_of(kind)
            mask = (1 << width) - 1

            def get(value):
                return signed(value & mask, width) if kind[0] == "s" else value & mask
            values = [int(COMPARE[name](get(a[lane]), get(b[lane]))) for lane in lanes]
        self.write(operands[0], lanes, values)

    def op_bfe(self, opcode, operands, lanes):
        if opcode[-1][0] != "u":
            raise Fault("a signed bit field")
        a, at, size = (self.read(operand) for operand in operands[1:])
        self.write(operands[0], lanes, [(a[lane] >> at[lane]) & ((1 << size[lane]) - 1) for lane in lanes])

    def op_selp(self, _, operands, lanes):
        a, b, p = (self.read(operand) for operand in operands[1:])
        self.write(operands[0], lanes, [(a if p[lane] else b)[lane] for lane in lanes])

    def op_shl(self, opcode, operands, lanes):
        width = width_of(opcode[-1])
        a, b = self.read(operands[1]), self.read(operands[2])
        self.write(operands[0], lanes, [(a[lane] << min(b[lane] & M32, 64)) & ((1 << width) - 1) for lane in lanes])

    def op_shr(self, opcode, operands, lanes):
        width = width_of(opcode[-1])
        a, b = self.read(operands[1]), self.read(operands[2])
        mask = (1 << width) - 1

        def get(value):
            return signed(value & mask, width) if opcode[-1][0] == "s" else value & mask
        self.write(operands[0], lanes, [(get(a[lane]) >> min(b[lane] & M32, 64)) & mask for lane in lanes])

    # Memory.

    def access(self, opcode, address, size, store):
        if address % size:
            raise Fault(f"address {address:#x} is not a multiple of {size}")
        space = self.block.shared if "shared" in opcode else self.block.kernel.memory
        data, offset = space.at(address, size)
        if space is self.block.shared:
            if store:
                space.written[offset:offset + size] = b"\1" * size
            elif 0 in space.written[offset:offset + size]:
                raise Fault("shared memory is read before it is written")
        return data, offset

    def op_ld(self, opcode, operands, lanes):
        if "param" in opcode:
            self.write(operands[0], lanes, [self.block.params[operands[1][1:-1]]] * len(lanes))
            return
        each = width_of(opcode[-1]) // 8
        parts = re.findall(r"[%\w]+", operands[0])
        columns = [[] for _ in parts]
        for address in self.addresses(operands[1], lanes):
            data, offset = self.access(opcode, address, each * len(parts), store=False)
            for i, column in enumerate(columns):
                column.append(int.from_bytes(data[offset + i * each:offset + (i + 1) * each], "little"))
        for part, column in zip(parts, columns):
            self.write(part, lanes, column)

    def op_st(self, opcode, operands, lanes):
        each = width_of(opcode[-1]) // 8
        parts = [self.read(part) for part in re.findall(r"[-%\w]+", operands[1])]
        for lane, address in zip(lanes, self.addresses(operands[0], lanes)):
            data, offset = self.access(opcode, address, each * len(parts), store=True)
            for i, part in enumerate(parts):
                data[offset + i * each:offset + (i + 1) * each] = (part[lane] & ((1 << 8 * each) - 1)).to_bytes(each, "little")

    def op_atom(self, opcode, operands, lanes):
        if "add" not in opcode or opcode[-1] not in ("u32", "s32"):
            raise Fault("an atomic operation other than an addition of integers")
        value = self.read(operands[-1])
        for lane, address in zip(lanes, self.addresses(operands[-2], lanes)):
            data, offset = self.access(opcode, address, 4, store=False)
            before = int.from_bytes(data[offset:offset + 4], "little")
            data[offset:offset + 4] = ((before + value[lane]) & M32).to_bytes(4, "little")
            if len(operands) == 3:
                self.write(operands[0], [lane], [before])

    op_red = op_atom

    # The whole warp.

    def full_mask(self, operand):
        if any(mask & M32 != M32 for mask in self.read(operand)):
            raise Fault("a mask that leaves out lanes")

    def op_shfl(self, opcode, operands, lanes):
        self.full_mask(operands[4])
        value, by, clamp = (self.read(operand) for operand in operands[1:4])
        mode = opcode[2]
        if any(c & 0x1F != (0 if mode == "up" else 31) or c >> 8 for c in clamp):
            raise Fault("a clamp that is not the end of the warp")
        result = []
        for lane in range(LANES):
            offset = by[lane] & 31
            source = {"bfly": lane ^ offset, "up": lane - offset, "down": lane + offset, "idx": offset}[mode]
            result.append(value[source if 0 <= source < LANES else lane])
        self.write(operands[0].partition("|")[0], lanes, result)

    def op_redux(self, opcode, operands, lanes):
        self.full_mask(operands[2])
        values = self.read(operands[1])
        if opcode[-1] == "s32":
            values = [signed(value & M32, 32) for value in values]
        best = {"max": max, "min": min}[opcode[2]](values)
        self.write(operands[0], lanes, [best & M32] * LANES)

    def op_match(self, _, operands, lanes):
        self.full_mask(operands[2])
        values = self.read(operands[1])
        self.write(operands[0], lanes, [sum(1 << i for i in range(LANES) if values[i] == value) for value in values])

    def op_bar(self, opcode, operands, _):
        self.full_mask(operands[0])
