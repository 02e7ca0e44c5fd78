# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Bad input through the real tools.

    run.py WORK FIXTURES [--write] [NAME…]

Every case runs one command in a folder of its own, which its `prepare` has broken. It must

  - exit with the code of golden.txt and print exactly the line there: at most 300 characters, with the error code that
    the case names, on stderr; nothing on stdout;
  - leave every file of the folder as it was, make none, and leave nothing in the folder for temporary files;
  - take less than a second of processor time.

--write makes golden.txt anew; read what changed.
"""

import dataclasses
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import typing

SECONDS = 1.0
GOLDEN = pathlib.Path(__file__).with_name("golden.txt")
# What an error says about the machine rather than about the input.
VARYING = [(re.compile(r"\d+ free\)"), "N free)"), (re.compile(r"moe-module-\w+"), "moe-module-N"),
           (re.compile(r"(room for|needs) \d+ bytes"), r"\1 N bytes"),
           # The size of a module is that of today's code.
           (re.compile(r"(m\.moe: .*?)\d{5,}"), r"\1N"), (re.compile(r"(m\.moe: .*?)\d{5,}"), r"\1N"),
           (re.compile(r"\d+\.\d [KMGT]iB"), "N KiB"), (re.compile(r"(model_type .* is not supported; supported:) .*"), r"\1 …")]


@dataclasses.dataclass
class Case:
    name: str
    code: str  # "S104"
    command: list
    prepare: typing.Callable = lambda folder: None
    file_limit: int = 0  # no file may grow beyond, as on a full disk
    killable: bool = False  # a file beyond the limit sends SIGXFSZ, as in a shell under `ulimit -f`
    stdout: str = ""  # a file to write to instead of a pipe
    notes: tuple = ()  # what a line before the error may start with
    env: dict = dataclasses.field(default_factory=dict)


class Failed(Exception):
    pass


def snapshot(folder):
    """What is under |folder|: kinds, sizes, bytes, links."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in folders + files:
            path = pathlib.Path(root, name)
            key = str(path.relative_to(folder))
            if path.is_symlink():
                found[key] = ("link", os.readlink(path))
            elif path.is_file():
                stat = path.stat()
                found[key] = ("file", stat.st_size, path.read_bytes() if stat.st_size < 1 << 24 else stat.st_mtime_ns)
            else:
                found[key] = ("folder or device",)
    return found


def limit(case):
    if case.file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (case.file_limit, case.file_limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if case.killable else signal.SIG_IGN)


def run(case, work, fixtures):
    """Exit code, line on stderr and processor seconds of |case|; raises Failed."""
    folder, temporary = work / case.name.replace(" ", "-"), work / "tmp"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(temporary, ignore_errors=True)
    folder.mkdir()
    temporary.mkdir()
    case.prepare(folder)
    before = snapshot(folder)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(case.stdout or os.devnull, "wb") as target:
        done = subprocess.run(
            [shutil.which(case.command[0]), *case.command[1:]], cwd=folder, stdin=subprocess.DEVNULL, stdout=target if case.stdout else subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=60, check=False, preexec_fn=lambda: limit(case), restore_signals=False,
            env={**os.environ, "TMPDIR": str(temporary), "XDG_CACHE_HOME": str(temporary), **case.env})
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    after = snapshot(folder)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        raise Failed(f"changed {changed}")
    if left := os.listdir(temporary):
        raise Failed(f"left temporary files: {left}")
    if done.stdout:
        raise Failed(f"something on stdout: {done.stdout[:80]}")
    lines = done.stderr.decode("utf-8", "replace").splitlines()
    while len(lines) > 1 and case.notes and lines[0].startswith(case.notes):
        del lines[0]
    if len(lines) != 1:
        raise Failed(f"exit {done.returncode}, {len(lines)} lines on stderr: {lines[:6]}")
    if len(lines[0].encode()) > 300:
        raise Failed(f"a line of {len(lines[0])} characters: {lines[0]}")
    if not lines[0].startswith(f"{case.command[0]}: error[MOE-{case.code}]: "):
        raise Failed(f"exit {done.returncode}, not {case.code}: {lines[0]}")
    if seconds > SECONDS:
        raise Failed(f"took {seconds:.2f} s")
    line = lines[0].replace(str(work), "WORK").replace(str(fixtures), "FIXTURES")
    for pattern, replacement in VARYING:
        line = pattern.sub(replacement, line)
    shutil.rmtree(folder)
    return done.returncode, line, seconds


def read_golden():
    golden = {}
    for line in GOLDEN.read_text(encoding="utf-8").splitlines() if GOLDEN.exists() else []:
        if line and not line.startswith("#"):
            name, code, text = line.split(" | ", 2)
            golden[name] = (int(code), text)
    return golden


def main():
    arguments = [a for a in sys.argv[1:] if a != "--write"]
    writing, chosen = len(arguments) < len(sys.argv) - 1, set(arguments[2:])
    work, fixtures = pathlib.Path(arguments[0]).resolve(), pathlib.Path(arguments[1]).resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    import flags  # pylint: disable=import-outside-toplevel
    import folders  # pylint: disable=import-outside-toplevel
    import modules  # pylint: disable=import-outside-toplevel
    import outputs  # pylint: disable=import-outside-toplevel
    import training  # pylint: disable=import-outside-toplevel
    parts = (folders, modules, outputs, flags, training)
    cases = [case for part in parts for case in part.cases(Case, fixtures, work)]
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    golden, failures, slowest, found = read_golden(), 0, (0.0, ""), {}
    for case in cases:
        if chosen and case.name not in chosen:
            continue
        try:
            code, line, seconds = run(case, work, fixtures)
            found[case.name] = (code, line)
            slowest = max(slowest, (seconds, case.name))
            if not writing and golden.get(case.name) != (code, line):
                raise Failed(f"exit {code}: {line}\n    expected {golden.get(case.name)}")
        except Failed as failure:
            failures += 1
            print(f"FAILED {case.name}: {failure}")
    if writing and not chosen:
        GOLDEN.write_text("# case | exit code | line on stderr\n" + "".join(
            f"{name} | {code} | {line}\n" for name, (code, line) in found.items()), encoding="utf-8")
    if not chosen and not writing and (gone := golden.keys() - set(names)):
        failures += 1
        print(f"FAILED golden.txt has cases that are gone: {sorted(gone)}")
    print(f"bad input: {len(found)} cases, {failures} failed, most time {slowest[0]:.2f} s ({slowest[1]})")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
