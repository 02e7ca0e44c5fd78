// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/granite.h"

namespace mlir::moe::frontend {

static constexpr ConfigKey keys[] = {
    MOE_GRANITE_KEYS,
    {"shared_intermediate_size", KeyUse::Used},
};

static absl::Status build(ImportContext &in) {
  return buildGranite(in, /*withShared=*/true);
}

namespace families {
extern const Family granitemoeshared;
const Family granitemoeshared{"granitemoeshared", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
