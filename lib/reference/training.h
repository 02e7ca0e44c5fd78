// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The end of a training step: cross-entropy, the global norm, AdamW.
//
//   CrossEntropyRows(logits, targets, rows, vocab, nll);
//   CrossEntropyRowsVjp(logits, targets, dnll, rows, vocab, dlogits);
//   AdamwStep step{.lr = 1e-3, .beta1 = 0.9, …};
//   Adamw(step, n, w, grad, m, v, new_w, new_m, new_v);
//
// T is float or double; all functions are pure. Outputs may overlap inputs
// where stated.

#ifndef MOE_LIB_REFERENCE_TRAINING_H_
#define MOE_LIB_REFERENCE_TRAINING_H_

#include <cstdint>

namespace moe::reference {

// y[rows]: log(sum(exp(x - max))) + max - x[target], the exponentials summed in
// lanes (lanes.h); 0 for a row whose target is not in [0, vocab).
template <typename T>
void CrossEntropyRows(const T* logits, const int32_t* targets, int64_t rows,
                      int64_t vocab, T* y);

// dlogits[rows, vocab] = dy[r] * (softmax(logits[r]) - onehot(targets[r])), 0
// in rows without a target.
template <typename T>
void CrossEntropyRowsVjp(const T* logits, const int32_t* targets, const T* dy,
                         int64_t rows, int64_t vocab, T* dlogits);

// Both of the logits scale * Linear(x[tokens, k], w[vocab, k]), and the
// gradients with respect to x and w of sum(dy * y); without dy the losses alone.
template <typename T>
void HeadLoss(const T* x, const T* w, const int32_t* targets, const T* dy,
              int64_t tokens, int64_t k, int64_t vocab, T scale, T* y, T* dx,
              T* dw);

// The blocks in which SumSquares adds.
inline constexpr int64_t kSumBlock = 4096;

// sum(x[i]^2): blocks of kSumBlock elements in lanes, added in order to `start`.
template <typename T>
T SumSquares(const T* x, int64_t n, T start);

// The numbers of one AdamW step; correction1 = 1 - beta1^t, correction2 =
// 1 - beta2^t. decay is 0 for parameters that do not decay.
template <typename T>
struct AdamwStep {
  T lr, beta1, beta2, eps, decay, correction1, correction2, scale;
};

// One AdamW step of n elements. Outputs may be the inputs of the same name.
template <typename T>
void Adamw(const AdamwStep<T>& step, int64_t n, const T* w, const T* grad,
           const T* m, const T* v, T* new_w, T* new_m, T* new_v);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_TRAINING_H_
