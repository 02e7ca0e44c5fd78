# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""crash.py FOLDER MODEL: crashes, run in FOLDER. A signal while moe-opt reads, a
program nested deeper than its stack allows, and a signal while moe-compile
makes code. Each must end
in exit code 70, one line, and where a program was read a reproducer that
runs."""

import os
import resource
import signal
import subprocess
import sys
import time

os.makedirs(sys.argv[1], exist_ok=True)
os.chdir(sys.argv[1])


def fail(text):
    sys.exit(f"crash.py: {text}")


process = subprocess.Popen(["moe-opt", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
while os.readlink(f"/proc/{process.pid}/exe").endswith("python3"):
    time.sleep(0.01)
time.sleep(1)  # for the handlers to be there
process.send_signal(signal.SIGSEGV)
errors = process.communicate()[1]
if process.returncode != 70 or "moe-opt: error[MOE-I001]: bug in" not in errors:
    fail(f"exit {process.returncode}: {errors}")



def small_stack():
    resource.setrlimit(resource.RLIMIT_STACK, (256 << 10, 256 << 10))


with open("deep.mlir", "w", encoding="utf-8") as file:
    file.write("module {}\n// -----\n" + "module {" * 250 + "}" * 250 + "\n")
for flags in ([], ["--split-input-file", "--canonicalize"]):
    done = subprocess.run(["moe-opt", *flags, "deep.mlir", "-o", "deep.out"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, preexec_fn=small_stack)
    line = done.stderr.strip()
    if done.returncode != 70 or "\n" in line or "Reproducer: repro-" not in line:
        fail(f"exit {done.returncode}: {done.stderr[:1000]}")
    name = line.split("Reproducer: ")[1].split(". Run:")[0]
    with open(name, encoding="utf-8") as file, open("deep.mlir", encoding="utf-8") as source:
        if file.read() != source.read():
            fail("the reproducer is not the program")
    again = subprocess.run(line.split(". Run: ")[1].split(), capture_output=True, preexec_fn=small_stack)
    if again.returncode != 70 or again.stderr.decode().strip() != line:
        fail(f"exit {again.returncode} of the reproducer: {again.stderr}")
    if os.path.exists("deep.out"):
        fail("the crash left an output")
    print(line)

command = ["moe-compile", sys.argv[2], "--verbose", "-o", "never.moe"]
with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
    for line in process.stderr:
        if "fused phase:" in line:
            process.send_signal(signal.SIGSEGV)
            break
    line = process.stderr.read().strip().splitlines()[-1]
if process.returncode != 70 or "Reproducer: repro-" not in line:
    fail(f"exit {process.returncode}: {line}")
if os.path.exists("never.moe"):
    fail("the crash left an output")
run = line.split(". Run: ")[1].split()
if subprocess.run(run, stdout=subprocess.DEVNULL, check=False).returncode:
    fail(f"{' '.join(run)} does not run")
print(line)
