# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""exits.py CODE COMMAND...: runs a command and fails unless it exits with CODE."""

import subprocess
import sys

found = subprocess.call(sys.argv[2:])
if found != int(sys.argv[1]):
    sys.exit(f"{sys.argv[2]} exits with {found}, expected {sys.argv[1]}")
