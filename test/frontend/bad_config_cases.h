// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_TEST_FRONTEND_BAD_CONFIG_CASES_H_
#define MOE_TEST_FRONTEND_BAD_CONFIG_CASES_H_

#include <functional>
#include <string>
#include <vector>

#include "test/frontend/folder.h"

namespace mlir::moe {

// A folder that must be refused.
struct BadFolder {
  std::string name;
  std::string base;  // fixture that is changed
  std::function<void(Folder&)> change;
  int exit;
  std::string line;  // behind "moe-import: error"
};

// Wrong configurations.
std::vector<BadFolder> BadConfigs();
// Tensors that do not fit the configuration.
std::vector<BadFolder> BadTensors();

}  // namespace mlir::moe

#endif  // MOE_TEST_FRONTEND_BAD_CONFIG_CASES_H_
