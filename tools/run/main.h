// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef MOE_TOOLS_RUN_MAIN_H_
#define MOE_TOOLS_RUN_MAIN_H_

namespace moe::run {

// The whole of moe-run; returns its exit code.
int Main(int argc, char** argv);

}  // namespace moe::run

#endif  // MOE_TOOLS_RUN_MAIN_H_
