# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Tests of the compiler and of whole programs: *.mlir and *.test files with RUN lines.
#
#   moe-opt moe-import moe-compile moe-run      the tools of this build
#   FileCheck not split-file llvm-*             LLVM's
#   %ptxas %python                              one program each (feature ptxas where it is there)
#   %models %data %fixtures %inputs             models/tiny, models/data, test/oracle/fixtures, Inputs/ beside the test
#   %native-module FILE…                        checks that the native objects of a module are closed
#
# Each test has its own empty cache folder, so that no test sees what another packed.

import os

import lit.formats

config.name = "moe"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs", "fixtures"]
config.test_source_root = os.path.join(config.moe_source, "test")
config.test_exec_root = os.path.join(config.moe_build, "test")

config.environment["PATH"] = os.pathsep.join(
    [os.path.join(config.moe_build, "bin"), config.llvm_tools, config.environment["PATH"]])
config.environment["XDG_CACHE_HOME"] = os.path.join(config.lit_tmp, "cache")
config.environment["NO_COLOR"] = "1"

config.substitutions += [
    ("%ptxas", config.ptxas),
    ("%python", config.python),
    ("%models", os.path.join(config.moe_source, "models", "tiny")),
    ("%data", os.path.join(config.moe_source, "models", "data")),
    ("%fixtures", os.path.join(config.moe_source, "test", "oracle", "fixtures")),
    ("%inputs", "%S/Inputs"),
    ("%native-module", f"{config.python} -B {config.moe_source}/test/lint/native_module.py"),
]

if config.ptxas and not config.ptxas.endswith("NOTFOUND"):
    config.available_features.add("ptxas")

with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
    flags = set(next((line for line in cpuinfo if line.startswith("flags")), "").split())
config.available_features.update(flag for flag in ("avx2", "avx512f", "amx_bf16") if flag in flags)
