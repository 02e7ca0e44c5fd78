// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/qwen.h"

#include "lib/core/status_macros.h"

namespace mlir::moe::frontend {

absl::Status readSparseLayers(::moe::JsonFields &config,
                              llvm::MutableArrayRef<LayerKind> layers) {
  ASSIGN_OR_RETURN(int64_t step,
                   config.IntOr("decoder_sparse_step", 1, 1, kMaxLayers));
  std::vector<int64_t> dense;
  if (config.Has("mlp_only_layers")) {
    ASSIGN_OR_RETURN(dense, config.Ints("mlp_only_layers"));
  }
  for (auto [i, layer] : llvm::enumerate(layers))
    layer.mixture =
        !llvm::is_contained(dense, int64_t(i)) && (i + 1) % step == 0;
  return absl::OkStatus();
}

FlatSymbolRefAttr declareSoftmaxRouter(ImportContext &in, llvm::StringRef name,
                                       const ExpertsConfig &e, Param gate,
                                       bool normalize) {
  return in.model.router(name, in.common.hidden, e.count, e.topK, gate, {},
                         [&](RouterBuilder &r, Value x, Value w, Value) {
                           Value p = r.softmax(r.linear(x, w));
                           Value idx = r.select(p, e.topK);
                           Value chosen = r.pick(p, idx);
                           return r.merge(
                               idx, normalize ? r.renormalize(chosen) : chosen,
                               e.count, e.map);
                         });
}

} // namespace mlir::moe::frontend
