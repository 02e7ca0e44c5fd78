// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A training run as one HTML page.

#ifndef MOE_TOOLS_RUN_REPORT_PAGE_H_
#define MOE_TOOLS_RUN_REPORT_PAGE_H_

#include <string>
#include <string_view>

#include "tools/run/run_log.h"

namespace moe::run {

// Stands alone: no script, no network.
std::string ReportPage(const RunLog& log, std::string_view name);

}  // namespace moe::run

#endif  // MOE_TOOLS_RUN_REPORT_PAGE_H_
