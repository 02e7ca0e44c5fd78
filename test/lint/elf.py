# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reads what two lints need of a 64-bit little-endian ELF file."""

import struct

PT_DYNAMIC, PT_TLS, PT_GNU_STACK = 2, 7, 0x6474E551
DT_NEEDED, DT_TEXTREL, DT_FLAGS = 1, 22, 30
DT_INIT, DT_FINI, DT_INIT_ARRAY, DT_FINI_ARRAY, DT_PREINIT_ARRAY = 12, 13, 25, 26, 32
DF_TEXTREL = 4
SHT_DYNSYM, SHT_DYNAMIC = 11, 6


class Elf:
    """`segments`: (type, flags); `dynamic`: (tag, value); `needed`: library names;
    `symbols`: (name, defined, global) of the dynamic symbol table."""

    def __init__(self, data):
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit little-endian ELF file")
        self.data = data
        phoff, shoff = struct.unpack_from("<QQ", data, 32)
        phentsize, phnum, shentsize, shnum = struct.unpack_from("<HHHH", data, 54)
        self.segments = [struct.unpack_from("<II", data, phoff + i * phentsize) for i in range(phnum)]
        sections = [struct.unpack_from("<IIQQQQIIQQ", data, shoff + i * shentsize) for i in range(shnum)]
        self.dynamic, self.needed, self.symbols = [], [], []
        for _, kind, _, _, offset, size, link, _, _, entry in sections:
            if kind == SHT_DYNAMIC:
                self.dynamic = [d for d in struct.iter_unpack("<QQ", data[offset:offset + size]) if d[0]]
                self.needed = [self._string(sections[link][4], v) for tag, v in self.dynamic if tag == DT_NEEDED]
            elif kind == SHT_DYNSYM:
                for i in range(1, size // entry):
                    name, info, _, index, _, _ = struct.unpack_from("<IBBHQQ", data, offset + i * entry)
                    self.symbols.append((self._string(sections[link][4], name), index != 0, info >> 4 != 0))

    def _string(self, table, offset):
        start = table + offset
        return self.data[start:self.data.index(b"\0", start)].decode()
