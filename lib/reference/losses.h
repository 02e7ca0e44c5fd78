// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Losses of routers, by their formulas: what expansions are compared with. All
// sums are in double; T is float or double. All functions are pure.

#ifndef MOE_LIB_REFERENCE_LOSSES_H_
#define MOE_LIB_REFERENCE_LOSSES_H_

#include <cstdint>

namespace moe::reference {

struct BalanceLossShape {
  enum class Kind { kExpert, kDevice, kCommunication };
  Kind kind = Kind::kExpert;
  int64_t tokens = 0;
  int64_t experts = 0;
  int64_t k = 0;
  int64_t devices = 1;
  int64_t limit = 1;
  bool per_choice = false;
};

// moe.balance_loss without its factor: p[tokens, experts], idx[tokens, k] with
// anything outside [0, experts) no choice. cu_seqlens[sequences + 1] or null
// for all tokens at once; an empty sequence has loss 0 and counts in the mean.
// NaN without tokens (with cu_seqlens: without sequences).
template <typename T>
T BalanceLoss(const BalanceLossShape& shape, const T* p, const int32_t* idx,
              const int32_t* cu_seqlens, int64_t sequences);

// moe.z_loss without its factor: z[tokens, experts]. NaN without tokens.
template <typename T>
T ZLoss(const T* z, int64_t tokens, int64_t experts);

// moe.variation_loss without its factor: x[tokens, experts].
template <typename T>
T VariationLoss(const T* x, int64_t tokens, int64_t experts, double eps,
                bool unbiased);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_LOSSES_H_
