// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/training.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "lib/reference/elementwise.h"
#include "lib/reference/lanes.h"
#include "lib/reference/matmul.h"
#include "lib/reference/vjp.h"

namespace moe::reference {
namespace {

// The exponentials of a row less its largest element, in e; that element and
// their sum.
template <typename T>
struct Row {
  T largest, sum;
  Row(const T* x, int64_t n, std::vector<T>& e)
      : largest(*std::max_element(x, x + n)) {
    for (int64_t i = 0; i < n; ++i) e[i] = Exp(x[i] - largest);
    sum = LaneSum(e.data(), n);
  }
};

bool HasTarget(int32_t target, int64_t vocab) {
  return target >= 0 && target < vocab;
}

}  // namespace

template <typename T>
void CrossEntropyRows(const T* logits, const int32_t* targets, int64_t rows,
                      int64_t vocab, T* y) {
  std::vector<T> e(vocab);
  for (int64_t r = 0; r < rows; ++r) {
    y[r] = 0;
    if (!HasTarget(targets[r], vocab)) continue;
    const T* x = logits + r * vocab;
    const Row<T> row(x, vocab, e);
    y[r] = Log(row.sum) + row.largest - x[targets[r]];
  }
}

template <typename T>
void CrossEntropyRowsVjp(const T* logits, const int32_t* targets, const T* dy,
                         int64_t rows, int64_t vocab, T* dlogits) {
  std::vector<T> e(vocab);
  for (int64_t r = 0; r < rows; ++r) {
    T* dx = dlogits + r * vocab;
    std::fill_n(dx, vocab, T(0));
    if (!HasTarget(targets[r], vocab)) continue;
    const Row<T> row(logits + r * vocab, vocab, e);
    for (int64_t i = 0; i < vocab; ++i)
      dx[i] = dy[r] * (e[i] / row.sum - (i == targets[r] ? T(1) : T(0)));
  }
}

template <typename T>
void HeadLoss(const T* x, const T* w, const int32_t* targets, const T* dy,
              int64_t tokens, int64_t k, int64_t vocab, T scale, T* y, T* dx,
              T* dw) {
  std::vector<T> logits(tokens * vocab);
  Linear<T>(x, w, nullptr, tokens, vocab, k, Accumulation::kChain,
            logits.data());
  for (T& logit : logits) logit = logit * scale;
  CrossEntropyRows(logits.data(), targets, tokens, vocab, y);
  if (dy == nullptr) return;
  std::vector<T> dlogits(tokens * vocab);
  CrossEntropyRowsVjp(logits.data(), targets, dy, tokens, vocab,
                      dlogits.data());
  for (T& d : dlogits) d = d * scale;
  LinearVjpX(dlogits.data(), w, tokens, vocab, k, dx);
  LinearVjpW(dlogits.data(), x, tokens, vocab, k, dw);
}

template <typename T>
T SumSquares(const T* x, int64_t n, T start) {
  for (int64_t at = 0; at < n; at += kSumBlock)
    start = start + LaneSumOfSquares(x + at, std::min(kSumBlock, n - at));
  return start;
}

template <typename T>
void Adamw(const AdamwStep<T>& step, int64_t n, const T* w, const T* grad,
           const T* m, const T* v, T* new_w, T* new_m, T* new_v) {
  const T keep = T(1) - step.lr * step.decay;
  const T rate = step.lr / step.correction1;
  for (int64_t i = 0; i < n; ++i) {
    const T g = grad[i] * step.scale;
    const T mean = std::fma(T(1) - step.beta1, g, step.beta1 * m[i]);
    const T square = std::fma((T(1) - step.beta2) * g, g, step.beta2 * v[i]);
    const T root = Sqrt(square / step.correction2) + step.eps;
    new_w[i] = w[i] * keep - rate * mean / root;
    new_m[i] = mean;
    new_v[i] = square;
  }
}

#define MOE_INSTANTIATE(T)                                                   \
  template void CrossEntropyRows(const T*, const int32_t*, int64_t, int64_t, \
                                 T*);                                        \
  template void CrossEntropyRowsVjp(const T*, const int32_t*, const T*,      \
                                    int64_t, int64_t, T*);                   \
  template void HeadLoss(const T*, const T*, const int32_t*, const T*,       \
                         int64_t, int64_t, int64_t, T, T*, T*, T*);          \
  template T SumSquares(const T*, int64_t, T);                               \
  template void Adamw(const AdamwStep<T>&, int64_t, const T*, const T*,      \
                      const T*, const T*, T*, T*, T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
