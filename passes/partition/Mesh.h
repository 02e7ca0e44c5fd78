// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The grid of devices that a program is split over.
#ifndef MOE_PASSES_PARTITION_MESH_H
#define MOE_PASSES_PARTITION_MESH_H

#include "llvm/ADT/StringRef.h"

#include <optional>

namespace mlir::moe::partition {

/// Ranks along each axis. Devices are tp·dp·pp; ep folds the experts over the
/// ranks of tp·dp.
struct Mesh {
  int64_t tp = 1, dp = 1, pp = 1, ep = 1;
};

/// |text| as "dp=4,ep=4", missing axes being 1, "" one device; nothing for
/// other text.
std::optional<Mesh> parseMesh(llvm::StringRef text);
/// What parseMesh takes, for messages.
inline constexpr llvm::StringLiteral kMeshForm =
    "tp, dp, pp and ep at most once, each from 1 to 65536, as dp=4,ep=4";

/// Whether this version partitions for |mesh|.
bool isSupported(const Mesh &mesh);
inline constexpr llvm::StringLiteral kMeshSupport =
    "this version spreads experts over all ranks (dp = ep, tp = pp = 1) and "
    "nothing else";

} // namespace mlir::moe::partition

#endif
