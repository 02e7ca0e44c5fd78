// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where the interpreter takes the values of `nn.param` from.
//
//   TensorParams<float> given;                     // tests, inputs files
//   given.set("gate", gates);                      // [layers, …]
//   CheckpointParams<float> folder(checkpoint);    // a model folder
//   ParamChain<float> both({&given, &folder});     // the first that knows it
#ifndef MOE_LIB_INTERPRETER_PARAMS_H
#define MOE_LIB_INTERPRETER_PARAMS_H

#include "dialect/nn/NnDialect.h"
#include "lib/core/checkpoint.h"
#include "lib/interpreter/values.h"

#include "llvm/ADT/StringMap.h"

#include <map>
#include <tuple>

namespace mlir::moe {

/// Not thread-safe: implementations may keep what they read.
template <typename T> class ParamProvider {
public:
  virtual ~ParamProvider() = default;
  /// Whether get() can be asked for |param|.
  virtual bool knows(nn::ParamOp param) const = 0;
  /// The tensor of |param|, of |layer| where it has layers (a layer of its
  /// range). Emits a diagnostic on |user| if it cannot be read.
  virtual FailureOr<Tensor<T>>
  get(nn::ParamOp param, std::optional<int64_t> layer, Operation *user) = 0;
};

/// Tensors by symbol name. Those of parameters with layers have a leading axis
/// of all layers of their range. Of a parameter that is split over ranks
/// (`moe.shard`) the value is whole, and get() gives the part of |rank|.
template <typename T> class TensorParams : public ParamProvider<T> {
public:
  explicit TensorParams(int64_t rank = 0) : rank(rank) {}
  void set(llvm::StringRef name, Tensor<T> value) {
    values[name] = std::move(value);
  }
  bool knows(nn::ParamOp param) const override {
    return values.contains(param.getSymName());
  }
  FailureOr<Tensor<T>> get(nn::ParamOp param, std::optional<int64_t> layer,
                           Operation *user) override;

private:
  int64_t rank;
  llvm::StringMap<Tensor<T>> values;
};

/// Tensors assembled from the sources of each parameter, of which |rank| takes
/// its part where it is split. Values read once are kept. The checkpoint must outlive this and must not be header-only.
template <typename T> class CheckpointParams : public ParamProvider<T> {
public:
  explicit CheckpointParams(const ::moe::Checkpoint &checkpoint,
                            int64_t rank = 0)
      : checkpoint(checkpoint), rank(rank) {}
  bool knows(nn::ParamOp param) const override { return true; }
  FailureOr<Tensor<T>> get(nn::ParamOp param, std::optional<int64_t> layer,
                           Operation *user) override;

private:
  const ::moe::Checkpoint &checkpoint;
  int64_t rank;
  /// By type, sources and layer: what decides the value.
  std::map<std::tuple<const void *, const void *, int64_t>, Tensor<T>> kept;
};

/// Asks each provider in turn. They must outlive this.
template <typename T> class ParamChain : public ParamProvider<T> {
public:
  explicit ParamChain(llvm::SmallVector<ParamProvider<T> *> providers)
      : providers(std::move(providers)) {}
  bool knows(nn::ParamOp param) const override;
  FailureOr<Tensor<T>> get(nn::ParamOp param, std::optional<int64_t> layer,
                           Operation *user) override;

private:
  llvm::SmallVector<ParamProvider<T> *> providers;
};

} // namespace mlir::moe

#endif
