// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Vector-Jacobian products of the ops of this folder: from dy, the gradient of
// a scalar with respect to an op's result, the gradients of its operands.
//
//   LinearVjpX(dy, w, tokens, n, k, dx);
//   LinearVjpW(dy, x, tokens, n, k, dw);
//
// Every output is overwritten, not added to. Sums over rows are fma chains in
// ascending row order, sums over an output axis fma chains in ascending index
// order, unless stated otherwise. Shapes are those of the forward op. Indices,
// plans, masks and counts carry no gradient. T is float or double. All
// functions are pure. Outputs may not overlap inputs.

#ifndef MOE_LIB_REFERENCE_VJP_H_
#define MOE_LIB_REFERENCE_VJP_H_

#include <cstdint>

#include "lib/reference/attention.h"
#include "lib/reference/elementwise.h"
#include "lib/reference/reduce.h"
#include "lib/reference/rope.h"
#include "lib/reference/routing.h"

namespace moe::reference {

// Linear: dx[t, k] = sum_n dy[t, n] w[n, k];  dw[n, k] = sum_t dy[t, n] x[t,
// k]; dbias[n] = sum_t dy[t, n].
template <typename T>
void LinearVjpX(const T* dy, const T* w, int64_t tokens, int64_t n, int64_t k,
                T* dx);
template <typename T>
void LinearVjpW(const T* dy, const T* x, int64_t tokens, int64_t n, int64_t k,
                T* dw);
template <typename T>
void LinearVjpBias(const T* dy, int64_t tokens, int64_t n, T* dbias);

// HeadLinear, as LinearVjpX and LinearVjpW per head.
template <typename T>
void HeadLinearVjpX(const T* dy, const T* w, int64_t tokens, int64_t heads,
                    int64_t n, int64_t k, T* dx);
template <typename T>
void HeadLinearVjpW(const T* dy, const T* x, int64_t tokens, int64_t heads,
                    int64_t n, int64_t k, T* dw);

// GroupedMatmul on rows. dx is per row (for gathered rows the caller adds them
// up with DispatchVjp); dw[experts, n, k] and dbias[experts, n] are 0 for an
// expert without rows. source_row as in GroupedMatmul.
template <typename T>
void GroupedMatmulVjpX(const T* dy, const int32_t* offsets, const T* w,
                       int64_t experts, int64_t n, int64_t k, T* dx);
template <typename T>
void GroupedMatmulVjpW(const T* dy, const T* x, const int32_t* source_row,
                       const int32_t* offsets, int64_t experts, int64_t n,
                       int64_t k, T* dw);
template <typename T>
void GroupedMatmulVjpBias(const T* dy, const int32_t* offsets, int64_t experts,
                          int64_t n, T* dbias);

// RmsNorm and LayerNorm. Sums over d use the 16 lanes. w, dw, dbias may be
// null, where the forward op had none.
template <typename T>
void RmsNormVjp(const T* x, const T* w, const T* dy, int64_t rows, int64_t d,
                T eps, T* dx, T* dw);
template <typename T>
void LayerNormVjp(const T* x, const T* w, const T* dy, int64_t rows, int64_t d,
                  T eps, T* dx, T* dw, T* dbias);

// Softmax, from its result y: dx = y * (dy - sum(y * dy)).
template <typename T>
void SoftmaxVjp(const T* y, const T* dy, int64_t outer, int64_t n,
                int64_t inner, T* dx);

// Reduce. Max and min pass dy to the first element that equals y.
template <typename T>
void ReduceVjp(ReduceKind kind, const T* x, const T* y, const T* dy,
               int64_t outer, int64_t n, int64_t inner, T* dx);

// The derivative of an activation at x (relu: 0 at x <= 0).
template <typename T>
T ActivationDerivative(Activation act, T x);
template <typename T>
void ActivateVjp(Activation act, const T* x, const T* dy, int64_t n, T* dx);

// Glu: dx[rows, 2 * width].
template <typename T>
void GluVjp(const T* x, const T* dy, Activation act, int64_t rows,
            int64_t width, T* dx);
// With limits: what was cut gets no gradient.
template <typename T>
void GluVjp(const T* x, const T* dy, Activation act, const GluLimits& limits,
            int64_t rows, int64_t width, T* dx);

// Rope: the rotation by the opposite angle; table as in the forward op.
template <typename T>
void RopeVjp(const T* dy, const T* table, int64_t tokens, int64_t heads,
             int64_t head_dim, int64_t d, int64_t start, RopePairing pairing,
             T* dx);

// Attend without cache. In the latent form v and dv are null and the gradient
// of the values is added to dk. dsinks[heads] with sinks[heads].
template <typename T>
void AttendVjp(const AttendShape& shape, const T* q, const T* k, const T* v,
               const int32_t* cu_seqlens, const T* dy, T* dq, T* dk, T* dv,
               const T* sinks = nullptr, T* dsinks = nullptr);

// Embedding: dtable[vocab, d], tokens added in ascending order.
template <typename T>
void EmbeddingVjp(const int32_t* ids, const T* dy, int64_t tokens,
                  int64_t vocab, int64_t d, T* dtable);

// LastRows: dx[tokens, d], dy[b, :] added to row cu_seqlens[b + 1] - 1, b
// ascending; 0 elsewhere. Each cu_seqlens[b + 1] is at least 1.
template <typename T>
void LastRowsVjp(const T* dy, const int32_t* cu_seqlens, int64_t tokens,
                 int64_t sequences, int64_t d, T* dx);

// GroupMask, from its operand s: dy where the group was kept, else 0.
template <typename T>
void GroupMaskVjp(const T* s, const T* dy, int64_t tokens, int64_t experts,
                  int64_t groups, int64_t keep, GroupScore score, T* ds);

// Pick: ds[tokens, experts], dw scattered (added) to the picked columns.
template <typename T>
void PickVjp(const int32_t* idx, const T* dw, int64_t tokens, int64_t experts,
             int64_t k, T* ds);

// Dispatch: dx[t, :] = sum over choices ascending of drows of (t, j).
template <typename T>
void DispatchVjp(const T* drows, const Plan& plan, int64_t d, T* dx);

// Combine: drows[r, :] = w[t, j] * dy[t, :]; dw[t, j] = LaneDot(dy[t, :], row),
// 0 where the slot is invalid.
template <typename T>
void CombineVjp(const T* rows, const Plan& plan, const T* w, const T* dy,
                int64_t d, T* drows, T* dw);

// y[r, :] = w[t, j] * rows[r, :], and its gradients: drows[r, :] = w[t, j] *
// dy[r, :]; dw[t, j] = LaneDot(dy[r, :], rows[r, :]), 0 where the slot is
// invalid.
template <typename T>
void Weigh(const T* rows, const Plan& plan, const T* w, int64_t n, T* y);
template <typename T>
void WeighVjp(const T* rows, const Plan& plan, const T* w, const T* dy,
              int64_t n, T* drows, T* dw);

// The mean cross-entropy over rows with a target in [0, vocab) (others are left
// out), and its gradient into dlogits[rows, vocab] unless that is null. 0 if no
// row has a target.
template <typename T>
T CrossEntropy(const T* logits, const int32_t* targets, int64_t rows,
               int64_t vocab, T* dlogits);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_VJP_H_
