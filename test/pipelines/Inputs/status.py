# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""status.py CODE COMMAND…: runs the command and expects this exit code."""

import subprocess
import sys

status = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL, check=False).returncode
if status != int(sys.argv[1]):
    sys.exit(f"exit code {status}, expected {sys.argv[1]}")
