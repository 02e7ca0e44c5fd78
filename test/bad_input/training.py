# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Training data, checkpoints and hyper-parameters that a run cannot start from."""

import json
import shutil
import struct
import subprocess

from broken import cut, flip, folder_instead, gone, model, text


def ids(*numbers, form="<H"):
    return b"".join(struct.pack(form, number) for number in numbers)


def data(case):
    def file(name, code, path, content, *flags):
        case(f"data: {name}", code, text(path, content), "--data", path, *flags)

    file("empty", "F103", "d.txt", b"")
    case("data: missing", "F101", lambda folder: None, "--data", "no-such.txt")
    case("data: a folder", "F102", lambda folder: None, "--data", "m")
    file("shorter than a sequence", "R206", "d.txt", b"To be")
    file("as long as a sequence", "R206", "d.bin", ids(*range(16)))
    file("of fewer rows than a batch", "R206", "d.bin", ids(*range(33)), "--batch", "3")
    file("of no UTF-8", "R206", "d.txt", b"\xff\xfe" * 40)
    file("of bytes beyond the vocabulary", "R202", "d.txt", b"zebra " * 20)
    file("of ids beyond the vocabulary", "R202", "d.bin", ids(*range(40), 60000))
    file("of ids beyond 31 bits", "R202", "d.bin", ids(*range(40), 2**32 - 1, form="<I"), "--ids-dtype", "u32")
    file("with half an id", "R206", "d.bin", ids(*range(40)) + b"\1")
    file("with ids of another size", "R206", "d.bin", ids(*range(41)), "--ids-dtype", "u32")
    file("rows that are no JSON", "J101", "d.json", b"[[1, 2")
    file("rows of words", "R201", "d.json", b'[["a", "b"]]')
    file("rows without a row", "R201", "d.json", b"[]")
    file("rows with an empty one", "R201", "d.json", b"[[1, 2], []]")
    file("rows with an id beyond the vocabulary", "R202", "d.json", b"[[1, 67]]")
    file("rows with an id below zero", "R202", "d.json", b"[[1, -1]]")
    file("rows that are too long", "R203", "d.json", json.dumps([list(range(17))]).encode())
    file("rows of one token", "R206", "d.json", b"[[1], [2]]")
    case("held-out data: empty", "F103", text("e.txt", b""), "--eval-data", "e.txt")
    case("held-out data: shorter than a sequence", "R206", text("e.bin", ids(1, 2)), "--eval-data", "e.bin")


def manifest(change):
    def apply(folder):
        path = folder / "run" / "step-2" / "manifest.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
    return apply


def checkpoints(case, late):
    def step(name, code, change, *flags):
        case(f"checkpoint: {name}", code, change, *flags)

    at = "run/step-2/"
    for file in ("config.json", "model.safetensors", "optimizer.safetensors"):
        step(f"without {file}", "F101", gone(at + file))
        step(f"one bit of {file}", "R501", flip(at + file, -3, 2))
        step(f"half of {file}", "R501", cut(at + file, 40))
        step(f"empty {file}", "F103", cut(at + file, 0))
    step("half a manifest", "J101", cut(at + "manifest.json", 60))
    step("an empty manifest", "F103", cut(at + "manifest.json", 0))
    step("a manifest that is a folder", "F102", folder_instead(at + "manifest.json"))
    step("a manifest of something else", "R501", text(at + "manifest.json", b'{"format": "other"}'))
    step("a manifest that is a list", "R501", text(at + "manifest.json", b"[]"))
    step("a step below zero", "R501", manifest(lambda m: m.update(step=-2)))
    step("a step that is a word", "R501", manifest(lambda m: m.update(step="two")))
    step("a step beyond 64 bits", "J104", lambda folder: (folder / "run" / "step-2" / "manifest.json").write_text(
        (folder / "run" / "step-2" / "manifest.json").read_text().replace('"step":2', '"step":99999999999999999999', 1)))
    step("updates that are a list", "R501", manifest(lambda m: m.update(updates=[])))
    step("files that are a list", "R501", manifest(lambda m: m.update(files=[])))
    step("a file without a hash", "R501", manifest(lambda m: m["files"].pop("model.safetensors")))
    step("a step that is not there", "R501", lambda folder: None, "--resume", "7")
    step("a step that is no number", "R501", lambda folder: None, "--resume", "last")
    step("of a run to begin anew", "R502", lambda folder: None, "--resume", "never")
    late("checkpoint: of other data", "R502", text("d2.bin", ids(*range(49))), "--data", "d2.bin")
    late("checkpoint: of another seed", "R502", lambda folder: None, "--seed", "5")
    late("checkpoint: of another batch", "R502", lambda folder: None, "--batch", "1")
    late("checkpoint: of another decay", "R502", lambda folder: None, "--weight-decay", "0.2")
    late("checkpoint: of no run at all", "R502", manifest(lambda m: m.update(run={})))
    late("checkpoint: of another model", "R502", manifest(lambda m: m["run"].update(source_hash="0" * 32)))


def parameters(case):
    def value(flag, *values):
        for one in values:
            case(f"{flag[2:]} of {one}", "U103", lambda folder: None, flag, one)

    value("--steps", "0", "-1", "many", "9223372036854775808")
    value("--batch", "0", "-4", "3000000000")
    value("--accumulate", "0", "3000000000")
    value("--seq", "0", "-1")
    value("--lr", "0", "-1e-3", "nan", "inf", "11", "fast")
    value("--min-lr", "-1", "1", "nan")
    value("--beta1", "-0.1", "1", "nan")
    value("--beta2", "1", "nan")
    value("--eps", "0", "-1", "nan", "inf")
    value("--weight-decay", "-1", "nan", "inf")
    value("--clip", "-1", "nan", "inf")
    value("--warmup", "-1")
    value("--save-every", "-1")
    value("--keep", "-1")
    value("--eval-every", "-1")
    value("--seed", "-1", "one")
    value("--schedule", "linear")
    value("--ids-dtype", "u8")
    value("--init", "seed:", "seed:x", "seed:-1")
    value("--max-memory", "0", "-1")
    case("init from nowhere", "S209", lambda folder: None, "--init", "no-such")
    case("init from another model", "W102", lambda folder: None, "--init", "OTHER")
    case("seq beyond the positions", "R203", lambda folder: None, "--seq", "100000")
    case("memory of 1 KiB", "R102", lambda folder: None, "--max-memory", "1KiB")


def cases(make, fixtures, work):
    source, other = fixtures / "mixtral-1", fixtures / "deepseek_v2-1"
    module, run = work / "train.moe", work / "trained"
    plain = work / "mixtral.moe"  # of modules.py
    subprocess.run(["moe-compile", source, "--entries", "train", "-o", module], check=True, stderr=subprocess.DEVNULL)
    (work / "train.bin").write_bytes(ids(*range(48), 0))
    common = ["--steps", "4", "--batch", "2", "--seq", "16"]
    subprocess.run(["moe-run", "train", module, "--data", work / "train.bin", "--out", run, *common[2:], "--steps", "2"], check=True,
                   capture_output=True)
    made = []

    def prepared(change, resumes):
        def prepare(folder):
            model(source)(folder)
            shutil.copy(module, folder / "t.moe")
            shutil.copy(plain, folder / "p.moe")
            shutil.copy(work / "train.bin", folder / "d.bin")
            if resumes:
                shutil.copytree(run, folder / "run")
            change(folder)
        return prepare

    def command(flags):
        """A run, in which |flags| stand for those that it has."""
        given = {"--data": "d.bin", "--out": "run", **dict(zip(common[::2], common[1::2])), **dict(zip(flags[::2], flags[1::2]))}
        if given.get("--init") == "OTHER":
            given["--init"] = str(other)
        return ["moe-run", "train", "t.moe", *(f"{flag}={value}" for flag, value in given.items())]

    def starting(name, code, change, *flags):
        made.append(make(f"train: {name}", code, command(flags), prepared(change, name.startswith("checkpoint"))))

    def late(name, code, change, *flags):
        made.append(make(f"train: {name}", code, command(flags), prepared(change, True), notes=("moe-run: 49 tokens", "moe-run: layer")))

    data(starting)
    checkpoints(starting, late)
    parameters(starting)
    made.append(make("train: a module that cannot", "U108", ["moe-run", "train", "p.moe", "--data", "d.bin", "--out", "run", *common],
                     prepared(lambda folder: None, False)))
    for name, out, notes in (("a file", "d.bin", ()), ("below a file", "d.bin/run", ())):
        made.append(make(f"train: out is {name}", "F203", command(("--out", out)), prepared(lambda folder: None, False),
                         notes=("moe-run: 49 tokens", "moe-run: layer")))
    for tool, given in (("report", ["nowhere"]), ("export", ["nowhere", "out"])):
        code = "F101" if tool == "report" else "R501"
        made.append(make(f"{tool}: no run", code, ["moe-run", tool, *given], prepared(lambda folder: None, False)))
    made.append(make("report: a line that is no JSON", "J101", ["moe-run", "report", "run"], prepared(
        lambda folder: (folder / "run" / "metrics.jsonl").write_text("{}\nhello\n"), True)))
    made.append(make("export: a damaged checkpoint", "R501", ["moe-run", "export", "run", "out"], prepared(
        flip("run/step-2/model.safetensors", -1, 3), True)))
    return made
