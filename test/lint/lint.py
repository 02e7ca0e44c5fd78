# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What every lint of this folder shares.

A lint is a file with `check(tree)`, which returns (findings, what was checked),
and CASES, small trees that prove that it can fail:

    CASES = [("a tab", {"a.h": "\\t"}, "a.h:1"), ("no tab", {"a.h": ""}, None)]
    if __name__ == "__main__":
        lint.main(check, CASES)

Running it first runs the cases, then checks the tree at --root.
"""

import argparse
import os
import subprocess
import sys
import tempfile

SOURCE = (".cc", ".cpp", ".h", ".c", ".def", ".td", ".py", ".cmake", ".sh")


class Tree:
    """The files that belong to the project: what git tracks or would track."""

    def __init__(self, root):
        self.root = os.path.abspath(root)
        self.files = sorted(self._list())
        self._set = set(self.files)

    def _list(self):
        if os.path.exists(os.path.join(self.root, ".git")):
            command = ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"]
            out = subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True).stdout
            return {f for f in out.splitlines() if os.path.isfile(os.path.join(self.root, f))}
        found = set()
        for folder, folders, files in os.walk(self.root):
            if folder == self.root:
                folders[:] = [f for f in folders if not f.startswith("build")]
            found.update(os.path.relpath(os.path.join(folder, f), self.root) for f in files)
        return found

    def __contains__(self, path):
        return path in self._set

    def path(self, file):
        return os.path.join(self.root, file)

    def text(self, file):
        with open(self.path(file), encoding="utf-8", errors="replace") as f:
            return f.read()

    def lines(self, file):
        """Pairs of line number, from 1, and line."""
        return enumerate(self.text(file).splitlines(), 1)

    def sources(self):
        """Hand-written code, build files and scripts."""
        for file in self.files:
            if file.endswith(SOURCE) or os.path.basename(file) == "CMakeLists.txt" or self._is_script(file):
                yield file

    def _is_script(self, file):
        if "." in os.path.basename(file):
            return False
        with open(self.path(file), "rb") as f:
            return f.read(2) == b"#!"


def _prove(check, cases):
    for name, files, wanted in cases:
        with tempfile.TemporaryDirectory() as root:
            for file, content in files.items():
                os.makedirs(os.path.dirname(os.path.join(root, file)), exist_ok=True)
                with open(os.path.join(root, file), "w", encoding="utf-8") as f:
                    f.write(content)
            findings, _ = check(Tree(root))
        ok = not findings if wanted is None else any(wanted in finding for finding in findings)
        if not ok:
            sys.exit(f"self-test '{name}': expected {wanted or 'no finding'}, got {findings}")


def main(check, cases):
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), "..", ".."))
    arguments = parser.parse_args()
    _prove(check, cases)
    findings, checked = check(Tree(arguments.root))
    for finding in findings:
        print(finding)
    print(f"{len(cases)} self-tests passed; checked {checked}: {len(findings)} findings")
    sys.exit(1 if findings else 0)
