# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Words that have no place in a finished tree: promises of later work, paths of
one machine, hosts of package registries, switched-off tests."""

import re

import lint

# Each pattern has a bracketed letter, so that this file does not find itself.
FORBIDDEN = [
    ("unfinished work", r"\bTO[D]O\b|\bFIX[M]E\b|\bXX[X]\b|\bHAC[K]\b|(?i:\bnot implemente[d]\b|\bunimplemente[d]\b"
                        r"|\bplaceholde[r]s?\b|\bfor no[w]\b)"),
    ("a path of one machine", r"(?<![\w.])/(?:wor[k]|far[m]|roo[t]|hom[e])/|/tm[p]/(?:build|plan)"),
    ("a registry host", r"\bpyp[i]\.org|\bpythonhoste[d]\.org|\bdebia[n]\.org|\bubunt[u]\.com|\bnpmj[s]\.org"
                        r"|\bdocke[r]\.io|\bcrate[s]\.io"),
    ("how the work was organised", r"(?i:\bthis iss[u]e\b|\bissue #?\d|\bsubagen[t]|\bclaud[e]\b"
                                   r"|\bcopilo[t]\b|\bfar[m]-\w|\.librar[y]\b)"),
    ("a switched-off test", r"\bXFAI[L]\b|\bDISABLE[D]_\w"),
]
PATTERNS = [(what, re.compile(pattern)) for what, pattern in FORBIDDEN]
SKIP_NAMES = ("LICENSE",)
SKIP_ENDINGS = (".json", ".safetensors", ".txt", ".bin", ".png")
SKIP_FOLDERS = ("models/data/",)


def check(tree):
    findings, files, lines = [], 0, 0
    for file in tree.files:
        if file in SKIP_NAMES or file.startswith(SKIP_FOLDERS):
            continue
        if file.endswith(SKIP_ENDINGS) and not file.endswith("CMakeLists.txt"):
            continue
        files += 1
        for number, line in tree.lines(file):
            lines += 1
            for what, pattern in PATTERNS:
                match = pattern.search(line)
                if match:
                    findings.append(f"{file}:{number}: {what}: '{match.group(0)}'")
    return findings, f"{lines} lines of {files} files for {len(PATTERNS)} kinds of words"


CASES = [
    ("later", {"a.cc": "int x;  // TO" + "DO: finish\n"}, "unfinished work"),
    ("stub", {"a.cc": "return Error(\"not " + "implemented\");\n"}, "unfinished work"),
    ("path", {"a.py": "open('/ro" + "ot/x')\n"}, "a path of one machine"),
    ("host", {"a": "https://py" + "pi.org/simple\n"}, "a registry host"),
    ("off", {"a.cc": "TEST(A, DISABLED" + "_B) {}\n"}, "a switched-off test"),
    ("numbered", {"README.md": "see issue" + " 12\n"}, "how the work was organised"),
    ("data", {"models/data/a.txt": "TO" + "DO\n"}, None),
    ("clean", {"a.cc": "char name[] = \"/tmp/moe-XXXXXX\";  // issues 3 warnings\n"}, None),
]

if __name__ == "__main__":
    lint.main(check, CASES)
