// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef MOE_TOOLS_RUN_NEAREST_H_
#define MOE_TOOLS_RUN_NEAREST_H_

#include <string>
#include <vector>

namespace moe::run {

// The name that |given| most likely was meant to be; empty if none is near.
std::string Nearest(const std::string& given,
                    const std::vector<std::string>& names);

}  // namespace moe::run

#endif  // MOE_TOOLS_RUN_NEAREST_H_
