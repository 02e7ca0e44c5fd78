// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Operations on values, checked: what the handlers of single operations and
// those of sugar have in common.
//
//   Check check(op);
//   Tensor<T> n = rmsNorm(check, x, w, 1e-6);
//   Tensor<T> y = add(check, x, linear(check, n, down, nullptr));
//   if (check.failed()) …        // one diagnostic was emitted on op
//
// Each function checks what types leave open (dynamic sizes, values of
// integers), calls lib/reference and rounds to the element of its result, which
// is that of its first operand unless said otherwise. After a failure all
// further functions do nothing and give an arbitrary tensor.
#ifndef MOE_LIB_INTERPRETER_EAGER_H
#define MOE_LIB_INTERPRETER_EAGER_H

#include "dialect/nn/NnDialect.h"
#include "lib/interpreter/values.h"
#include "lib/reference/elementwise.h"

namespace mlir::moe {

/// Emits the first failure as a diagnostic on an operation.
class Check {
public:
  explicit Check(Operation *op) : op(op) {}
  /// Whether all went well so far, |holds| included.
  bool expect(bool holds, const llvm::Twine &what);
  /// Sizes of one dimension.
  bool same(llvm::StringRef what, int64_t got, int64_t want);
  /// |cu| is [B+1], ascending from 0 or more to at most |tokens|.
  template <typename T> bool sequences(const Tensor<T> &cu, int64_t tokens);
  bool failed() const { return bad; }
  void fail() { bad = true; }

  Operation *const op;

private:
  bool bad = false;
};

template <typename T> using Maybe = const Tensor<T> *;

template <typename T>
Tensor<T> linear(Check &c, const Tensor<T> &x, const Tensor<T> &w,
                 Maybe<T> bias = nullptr);
template <typename T>
Tensor<T> headLinear(Check &c, const Tensor<T> &x, const Tensor<T> &w);
template <typename T>
Tensor<T> rmsNorm(Check &c, const Tensor<T> &x, const Tensor<T> &w, double eps);
template <typename T>
Tensor<T> glu(Check &c, const Tensor<T> &x, nn::Activation act,
              const ::moe::reference::GluLimits &limits = {});
/// x + y, of one shape and element.
template <typename T>
Tensor<T> add(Check &c, const Tensor<T> &x, const Tensor<T> &y);
/// The last axis, [start, start + size).
template <typename T>
Tensor<T> slice(Check &c, const Tensor<T> &x, int64_t start, int64_t size);
template <typename T>
Tensor<T> concatenate(Check &c, llvm::ArrayRef<Tensor<T>> parts);
/// [T, …] as [T, tail…].
template <typename T>
Tensor<T> regroup(Check &c, const Tensor<T> &x, llvm::ArrayRef<int64_t> tail);

template <typename T>
Tensor<T> rope(Check &c, const Tensor<T> &x, const Tensor<T> &table,
               nn::RopePairing pairing, int64_t start);

/// Operands of nn.attend; |v| is null in latent form, the last four without a
/// cache.
template <typename T> struct AttendOperands {
  Tensor<T> q, k;
  Maybe<T> v = nullptr;
  Tensor<T> positions, cuSeqlens;
  double scale = 1;
  int64_t window = 0, valueDims = 0;
  Cache<T> *cache = nullptr;
  int64_t layer = 0;
  Maybe<T> slot = nullptr, blockTable = nullptr;
  Maybe<T> sinks = nullptr; ///< may be absent
  bool tiled = false;
  double cap = 0;
};
template <typename T>
Tensor<T> attend(Check &c, const AttendOperands<T> &operands);

template <typename T>
Tensor<T> dispatch(Check &c, const Tensor<T> &x, const Plan &plan);
template <typename T>
Tensor<T> combine(Check &c, const Tensor<T> &rows, const Plan &plan,
                  const Tensor<T> &weights);

} // namespace mlir::moe

#endif
