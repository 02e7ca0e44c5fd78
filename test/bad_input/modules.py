# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Damaged modules, bad token ids and weights that do not fit, given to moe-run."""

import json
import os
import shutil
import struct
import subprocess

from broken import WEIGHTS, cut, flip, gone, grown, link, model, read, tensor, text, write

TABLE, ENTRY = 24, 64  # where the section table begins, and bytes of one of its entries


def section(raw, number):
    return struct.unpack_from("<QQ", raw, TABLE + ENTRY * number + 32)


def sections(raw):
    return struct.unpack_from("<I", raw, 12)[0]


def middle(number):
    """The middle of section |number|."""
    return lambda raw: section(raw, number)[0] + section(raw, number)[1] // 2


def gap(raw):
    """A byte of the gap behind the manifest."""
    begin, size = section(raw, 0)
    assert (begin + size) % 64
    return begin + size


def number(at, value, form="<I"):
    def apply(folder):
        raw = bytearray((folder / "m.moe").read_bytes())
        struct.pack_into(form, raw, at, value)
        (folder / "m.moe").write_bytes(raw)
    return apply


def damaged(case):
    def bit(name, code, at, which=0):
        case("one bit of the " + name, code, flip("m.moe", at, which))

    bit("magic", "M101", 2)
    bit("version", "M102", 8)
    bit("section count", "M104", 12)
    bit("file size", "M103", 16)
    bit("name of a section", "M104", TABLE + 1)
    bit("offset of a section", "M104", TABLE + ENTRY + 32)
    bit("size of a section", "M104", TABLE + ENTRY + 40)
    bit("hash of a section", "M104", TABLE + 48)
    bit("hash of the header", "M104", lambda raw: TABLE + ENTRY * sections(raw))
    bit("manifest", "M106", middle(0), 5)
    bit("code for x86-64-v3", "M106", middle(1), 7)
    bit("code for x86-64-v4", "M106", middle(2), 0)
    bit("gap between sections", "M107", gap, 3)
    bit("last byte", "M106", -1, 6)
    case("version of next year", "M102", number(8, 7))
    case("no sections", "M105", number(12, 0))
    case("4 billion sections", "M105", number(12, 0xffffffff))
    case("file size zero", "M103", number(16, 0, "<Q"))
    case("section of 2^63 bytes", "M104", number(TABLE + 40, 1 << 63, "<Q"))
    case("cut in the header", "M103", cut("m.moe", 60))
    case("cut in half", "M103", lambda folder: cut("m.moe", (folder / "m.moe").stat().st_size // 2)(folder))
    case("one byte too long", "M103", grown("m.moe", b"\0"))
    case("three bytes", "M101", cut("m.moe", 3))
    case("empty", "F103", cut("m.moe", 0))
    case("a text", "M101", text("m.moe", "nn.model @m\n" * 100))
    case("an ELF file", "M101", text("m.moe", b"\x7fELF" + b"\0" * 400))
    case("a folder", "F102", lambda folder: (gone("m.moe")(folder), (folder / "m.moe").mkdir()))
    case("missing", "F101", gone("m.moe"))


def ids(case):
    def file(name, code, content):
        case(name, code, "ids.json", text("ids.json", content))

    file("beyond the vocabulary", "R202", "[[1, 67]]")
    file("negative", "R202", "[[1, -1]]")
    file("of 64 bits", "R202", "[[1, 18446744073709551615]]")
    file("of 70 bits", "J104", "[[1, 1180591620717411303424]]")
    file("with a fraction", "R201", "[[1, 2.5]]")
    file("as text", "R201", '[["1"]]')
    file("as an object", "R201", '{"ids": [1]}')
    file("none", "R201", "[]")
    file("row of none", "R201", "[[1], []]")
    file("nested", "R201", "[[[1]]]")
    file("nested deep", "J103", "[" * 5000)
    file("cut short", "J101", "[[1, 2")
    file("of an empty file", "F103", "")
    file("with bytes of a picture", "J101", b"\x89PNG\r\n\x1a\n")
    file("more than positions", "R203", json.dumps([[1] * 65]))
    case("in a folder", "F102", ".", lambda folder: None)
    case("in no file", "F101", "none.json", lambda folder: None)


def prompts(case):
    case("beyond the vocabulary", "R202", "--ids", "1,67")
    case("no numbers", "U103", "--ids", "1,two")
    case("beyond 32 bits", "U103", "--ids", "4294967297")
    case("none", "U103", "--ids", "")
    case("longer than the model", "R203", "--ids", ",".join(["1"] * 65), "-n", "1")
    case("with new tokens longer than the model", "R203", "--ids", "1,2", "-n", "63")
    case("longer than the cache", "R203", "--ids", "1,2,3", "-n", "2", "--kv-tokens", "4")
    case("with no new tokens", "U103", "--ids", "1", "-n", "0")
    case("with too many new tokens", "U103", "--ids", "1", "-n", "99999999999999999999")
    case("for a model without a tokenizer", "T102", "--prompt", "ROMEO:")
    case("with a temperature below zero", "U103", "--ids", "1", "--temperature", "-1")
    case("with a temperature that is no number", "U103", "--ids", "1", "--temperature", "nan")
    case("with top-p of two", "U103", "--ids", "1", "--top-p", "2")
    case("in too little memory", "R102", "--ids", "1", "-n", "4", "--max-memory", "1KiB")
    case("in a cache of 2^31", "R102", "--ids", "1", "-n", "4", "--kv-tokens", "2147483648")


def without(name):
    def apply(folder):
        table, data = read(folder / WEIGHTS)
        table["unused.weight"] = table.pop(name)
        write(folder / WEIGHTS, table, data)
    return apply


def weights(case):
    gate = "model.layers.1.block_sparse_moe.gate.weight"
    case("missing", "S209", lambda folder: shutil.rmtree(folder))
    case("in an empty folder", "S201", gone(WEIGHTS))
    case("cut short", "S104", cut(WEIGHTS, -1))
    case("without a tensor", "W101", without(gate))
    case("with a tensor transposed", "W102", tensor(gate, shape=[20, 5]))
    case("with a tensor of another type", "W103", tensor(gate, dtype="I32"))
    case("in a link", "F104", link(WEIGHTS))


def calls(case):
    def inputs(name, code, header, data=b""):
        case(name, code, lambda folder: write(folder / "in.safetensors", header, data))

    def entry(dtype, shape, begin, end):
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}

    def score(token_ids, positions, seqs, dtype="I32"):
        parts, table, data = {"ids": token_ids, "positions": positions, "cu_seqlens": seqs}, {}, b""
        for key, values in parts.items():
            raw = struct.pack(f"<{len(values)}i", *values)
            table[key] = entry(dtype if key == "ids" else "I32", [len(values)], len(data), len(data) + len(raw))
            data += raw
        return table, data

    inputs("without tensors", "R204", {})
    inputs("with ids as floats", "R205", *score([1, 2], [0, 1], [0, 2], "F32"))
    inputs("with sequences that do not end at the end", "R205", *score([1, 2], [0, 1], [0, 3]))
    inputs("with sequences in disorder", "R205", *score([1, 2, 3], [0, 1, 2], [0, 2, 1, 3]))
    inputs("with positions of another length", "R205", *score([1, 2], [0], [0, 2]))
    inputs("with ids beyond the vocabulary", "R202", *score([1, 67], [0, 1], [0, 2]))
    inputs("with positions below zero", "R205", *score([1, 2], [0, -1], [0, 2]))
    case("cut short", "S101", text("in.safetensors", "xx"))


def cases(make, fixtures, work):
    source = fixtures / "mixtral-1"
    module = work / "mixtral.moe"
    subprocess.run(["moe-compile", source, "-o", module], check=True, stderr=subprocess.DEVNULL)
    made, read_line = [], ("moe-run: read ",)

    def prepared(*changes):
        def prepare(folder):
            model(source)(folder)
            shutil.copy(module, folder / "m.moe")
            (folder / "out.safetensors").write_text("kept")
            for change in changes:
                change(folder)
        return prepare

    def inspecting(name, code, change):
        made.append(make(f"module: {name}", code, ["moe-run", "inspect", "m.moe"], prepared(change)))

    damaged(inspecting)
    for name, at in (("manifest", middle(0)), ("native code", middle(2))):
        made.append(make(f"generate: one bit of the {name}", "M106", ["moe-run", "generate", "m.moe", "--weights", "m", "--ids", "1"],
                         prepared(flip("m.moe", at, 4))))

    def scoring(name, code, file, change):
        made.append(make(f"ids: {name}", code, ["moe-run", "score", "m.moe", "--weights", "m", "--ids", file, "--logits",
                                                "out.safetensors", "-o", "json"], prepared(change)))

    def generating(name, code, *more):
        made.append(make(f"prompt: {name}", code, ["moe-run", "generate", "m.moe", "--weights", "m", *more], prepared(),
                         notes=read_line))

    def loading(name, code, change):
        made.append(make(f"weights: {name}", code, ["moe-run", "score", "m.moe", "--weights", "m", "--ids", "ids.json", "--logits",
                                                    "out.safetensors"], prepared(lambda folder: keep_ids(folder, change))))

    def keep_ids(folder, change):
        shutil.copy(folder / "m" / "ids.json", folder / "ids.json")
        change(folder / "m")

    def calling(name, code, change):
        made.append(make(f"call: {name}", code, ["moe-run", "call", "m.moe", "score", "--weights", "m", "--inputs", "in.safetensors",
                                                 "--outputs", "out.safetensors"], prepared(change), notes=read_line))

    ids(scoring)
    prompts(generating)
    weights(loading)
    calls(calling)
    other = fixtures / "deepseek_v2-1"
    made.append(make("weights: of another model", "W102",
                     ["moe-run", "score", "m.moe", "--weights", os.fspath(other), "--ids", "m/ids.json"], prepared()))
    return made
