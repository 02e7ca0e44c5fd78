// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Routing primitives: from scores to selected experts, to a plan that orders
// rows by expert, and the moves along it.
//
//   Select(scores, bias, tokens, experts, k, idx);
//   Pick(scores, idx, tokens, experts, k, weights);
//   Plan plan = MakePlan(idx, tokens, experts, k);
//   Dispatch(x, plan, d, rows);            // rows[plan.rows(), d]
//   …                                      // experts
//   Combine(rows, plan, weights, d, y);
//
// The order of selection everywhere: value descending, index ascending among
// equals, NaN above every number, -0 equal to +0. In float, denormal values
// count as 0, as they do in generated code; in double they do not.
// T is float or double. All functions are pure.

#ifndef MOE_LIB_REFERENCE_ROUTING_H_
#define MOE_LIB_REFERENCE_ROUTING_H_

#include <cstdint>
#include <vector>

namespace moe::reference {

// A signed 64-bit key that orders values as selection does: a is preferred to b
// iff SelectionKey(a) > SelectionKey(b); equal keys mean equal rank.
int64_t SelectionKey(float x);
int64_t SelectionKey(double x);

// The k best of values[0..n) in selection order, their indices into out[k].
// 0 <= k <= n.
template <typename T>
void TopK(const T* values, int64_t n, int64_t k, int32_t* out);

// How the score of a group is made from its members.
struct GroupScore {
  // 0: the largest member (max). n > 0: the sum of the n best members
  // (sum_top n), added from the best on; n is at most experts / groups.
  int64_t sum_top = 0;
};

// kept[groups]: 1 for the `keep` best of `groups` equal consecutive groups of
// the scores s[experts] of one token, else 0. groups divides experts, keep <=
// groups.
template <typename T>
void KeptGroups(const T* s, int64_t experts, int64_t groups, int64_t keep,
                GroupScore score, uint8_t* kept);

// moe.group_mask: experts are `groups` equal consecutive groups; the `keep`
// best groups (KeptGroups) keep their scores, the others become fill.
// s[tokens, experts] -> y; y may equal s.
template <typename T>
void GroupMask(const T* s, int64_t tokens, int64_t experts, int64_t groups,
               int64_t keep, GroupScore score, T fill, T* y);

// moe.select: idx[tokens, k] are the k best experts of s + bias, in selection
// order. bias[experts] or null. k <= experts.
template <typename T>
void Select(const T* s, const T* bias, int64_t tokens, int64_t experts,
            int64_t k, int32_t* idx);

// moe.select with `above`: a choice whose s + bias is not larger, in the order
// of selection (a NaN is larger than any number), becomes `experts`.
template <typename T>
void DropNotAbove(const T* s, const T* bias, T above, int64_t tokens,
                  int64_t experts, int64_t k, int32_t* idx);

// moe.mask_choices: y[t, e] = fill where e is among idx[t, :], else s[t, e]. y
// may equal s.
template <typename T>
void MaskChoices(const T* s, const int32_t* idx, int64_t tokens,
                 int64_t experts, int64_t k, T fill, T* y);

// moe.pick: w[t, j] = s[t, idx[t, j]], 0 where idx is invalid (not in
// [0, experts); written as `experts`).
template <typename T>
void Pick(const T* s, const int32_t* idx, int64_t tokens, int64_t experts,
          int64_t k, T* w);

// !moe.plan in token-major form: integers only.
struct Plan {
  int64_t tokens = 0;
  int64_t experts = 0;
  int64_t top_k = 0;
  std::vector<int32_t> idx;       // [tokens * top_k]; `experts` where invalid
  std::vector<int32_t> slot2row;  // [tokens * top_k]; -1 where invalid
  std::vector<int32_t> row2slot;  // [rows]; slot = token * top_k + choice
  std::vector<int32_t> offsets;   // [experts + 1]; rows of expert e are
                                  // [offsets[e], offsets[e + 1])
  int64_t rows() const { return static_cast<int64_t>(row2slot.size()); }
};

// moe.make_plan: rows are the valid slots of idx[tokens, k], ordered by expert,
// then token, then choice. Invalid indices are normalised to `experts`.
Plan MakePlan(const int32_t* idx, int64_t tokens, int64_t experts, int64_t k);

// moe.counts: counts[experts], the rows of each expert.
void Counts(const Plan& plan, int32_t* counts);

// tokens[rows]: the token of each row, for GroupedMatmul's source_row.
void PlanTokens(const Plan& plan, int32_t* tokens);

// moe.plan_seqs of a plan of one expert: y[sequences + 1], the rows of tokens
// below cu_seqlens[b].
void PlanSeqs(const Plan& plan, const int32_t* cu_seqlens, int64_t sequences,
              int32_t* y);

// moe.dispatch: rows[plan.rows(), d], row r = x[token of r, :]. T may be int32_t
// too.
template <typename T>
void Dispatch(const T* x, const Plan& plan, int64_t d, T* rows);

// moe.ungroup: y[tokens, top_k, d] = the row of (t, j), 0 where invalid.
template <typename T>
void Ungroup(const T* rows, const Plan& plan, int64_t d, T* y);

// moe.group: rows[plan.rows(), d], row r = y[slot of r, :], y[tokens, top_k, d].
template <typename T>
void Group(const T* y, const Plan& plan, int64_t d, T* rows);

// moe.combine: y[t, :] = sum over choices j ascending of w[t, j] * row of
// (t, j), as acc = fma(w, row, acc) from +0; invalid slots are left out, a
// token without rows gives 0. w[tokens, top_k].
template <typename T>
void Combine(const T* rows, const Plan& plan, const T* w, int64_t d, T* y);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_ROUTING_H_
