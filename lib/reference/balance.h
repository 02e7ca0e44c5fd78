// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Choices that use all experts equally: the auction of BASE layers and
// Sinkhorn's scaling. T is float or double. All functions are pure.

#ifndef MOE_LIB_REFERENCE_BALANCE_H_
#define MOE_LIB_REFERENCE_BALANCE_H_

#include <cstdint>

namespace moe::reference {

// moe.assign: s[tokens, experts] -> idx[tokens]; every expert gets tokens /
// experts of them. experts divides tokens. Gives the number of rounds.
//
// The auction of fairseq's balanced_assignment, in double whatever T. u = s
// within +-1e300, values that are not finite being the least of the others (0 if
// there are none); eps = max((max u - min u) / 50, 1e-4, max |u| 2^-40), the
// last so that no step is lost in rounding. In rounds r = 0, 1, ...:
//   1. Each expert ranks tokens by value (larger, then lower token; at first
//      value = u). Its bids on its tokens / experts best are value - value of
//      the best token left out + eps; on a token that it holds, eps instead,
//      while r < 100. Others get no bid.
//   2. If every token has a bid, each expert gets the tokens it ranked best.
//   3. Each token's price rises by its highest bid, and the expert that made
//      it (the lowest of several) holds it. value = u - price, but of a held
//      token to its holder max u while r < 100, u from then on.
// One expert takes all tokens, in 0 rounds.
template <typename T>
int64_t Assign(const T* s, int64_t tokens, int64_t experts, int32_t* idx);

// moe.sinkhorn: z[tokens, experts] -> y, y may equal z. Sums are fma chains
// from +0 in ascending order; y = (d1 * c) * d0. Gives the iterations.
template <typename T>
int64_t Sinkhorn(const T* z, int64_t tokens, int64_t experts, double tolerance,
                 int64_t max_iterations, T* y);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_BALANCE_H_
