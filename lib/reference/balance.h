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
// The auction of fairseq's balanced_assignment, in T. u = s less the least
// finite value of s, at most 1e30 (in double 1e300), and 0 where s is not
// finite: only differences matter, and no step is lost in rounding. eps =
// max(max u / 50, 1e-4). In rounds r = 0, 1, ...:
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

// moe.assign with `exact`: tokens bid for places at experts (Bertsekas 1988).
// Worths are s - min s over their range, 0 of values that are not finite. In
// phases of eps = 2^-2, 2^-4, ..., 2^-30 (float: 2^-18), prices going on from
// the last one less the lowest, tokens without a place come in turn: one
// takes the place of the largest worth - price (the lowest of several), raises
// its price by what it gains over the second best place, plus eps, and who had
// it waits behind the others. The total is within tokens * eps of the best, in
// units of the range.
template <typename T>
void AssignExactly(const T* s, int64_t tokens, int64_t experts, int32_t* idx);

// moe.sinkhorn: z[tokens, experts] -> y, y may equal z. Sums are fma chains
// from +0 in ascending order; y = (d1 * c) * d0. Gives the iterations.
template <typename T>
int64_t Sinkhorn(const T* z, int64_t tokens, int64_t experts, double tolerance,
                 int64_t max_iterations, T* y);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_BALANCE_H_
