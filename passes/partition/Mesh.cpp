// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "passes/partition/Mesh.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir::moe::partition;

static constexpr int64_t kMostRanks = 1 << 16;

std::optional<Mesh> mlir::moe::partition::parseMesh(llvm::StringRef text) {
  Mesh mesh;
  if (text.empty())
    return mesh;
  llvm::StringMap<int64_t *> axes = {
      {"tp", &mesh.tp}, {"dp", &mesh.dp}, {"pp", &mesh.pp}, {"ep", &mesh.ep}};
  llvm::StringSet<> seen;
  for (llvm::StringRef part : llvm::split(text, ',')) {
    auto [name, size] = part.split('=');
    auto axis = axes.find(name);
    int64_t ranks;
    if (axis == axes.end() || size.getAsInteger(10, ranks) || ranks < 1 ||
        ranks > kMostRanks || !seen.insert(name).second)
      return std::nullopt;
    *axis->second = ranks;
  }
  return mesh;
}

bool mlir::moe::partition::isSupported(const Mesh &mesh) {
  return mesh.tp == 1 && mesh.pp == 1 && mesh.dp == mesh.ep;
}
