# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""exits.py CODE COMMAND…: runs the command, expects this exit code, one line of
at most 300 characters on stderr and nothing on stdout; prints the line."""

import subprocess
import sys

expected, command = int(sys.argv[1]), sys.argv[2:]
done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
lines = done.stderr.splitlines()
print("\n".join(lines))
if done.returncode != expected:
    sys.exit(f"exit code {done.returncode}, expected {expected}")
if len(lines) != 1 or len(lines[0]) > 300:
    sys.exit(f"{len(lines)} lines on stderr, expected one of at most 300 characters")
if done.stdout:
    sys.exit("something on stdout")
