// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/granite.h"

namespace mlir::moe::frontend {

static constexpr ConfigKey keys[] = {
    MOE_GRANITE_KEYS,
};

static absl::Status build(ImportContext &in) {
  return buildGranite(in, /*withShared=*/false);
}

namespace families {
extern const Family granitemoe;
const Family granitemoe{"granitemoe", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
