// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Runs modules. The commands are in tools/run.
#include "tools/run/main.h"

int main(int argc, char **argv) { return moe::run::Main(argc, argv); }
