// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <vector>

#include "lib/reference/vjp.h"

namespace moe::reference {

template <typename T>
T ActivationDerivative(Activation act, T x) {
  switch (act) {
    case Activation::kSilu: {
      const T s = Sigmoid(x);
      return s * (T(1) + x * (T(1) - s));
    }
    case Activation::kGelu:
      return T(0.5) * (T(1) + Erf(x * T(0.70710678118654752440))) +
             x * T(0.39894228040143267794) * Exp(T(-0.5) * x * x);
    case Activation::kGeluTanh: {
      const T c = T(0.79788456080286535588), a = T(0.044715);
      const T h = Tanh(c * (x + a * x * x * x));
      return T(0.5) * (T(1) + h) +
             T(0.5) * x * (T(1) - h * h) * c * (T(1) + T(3) * a * x * x);
    }
    case Activation::kRelu:
      return x > T(0) ? T(1) : T(0);
    case Activation::kSigmoid: {
      const T s = Sigmoid(x);
      return s * (T(1) - s);
    }
    case Activation::kTanh: {
      const T h = Tanh(x);
      return T(1) - h * h;
    }
    case Activation::kIdentity:
      return T(1);
    case Activation::kQuickGelu: {
      const T s = Sigmoid(T(1.702) * x);
      return s * (T(1) + T(1.702) * x * (T(1) - s));
    }
  }
  return T(0);
}

template <typename T>
void ActivateVjp(Activation act, const T* x, const T* dy, int64_t n, T* dx) {
  for (int64_t i = 0; i < n; ++i)
    dx[i] = dy[i] * ActivationDerivative(act, x[i]);
}

template <typename T>
void GluVjp(const T* x, const T* dy, Activation act, int64_t rows,
            int64_t width, T* dx) {
  GluVjp(x, dy, act, GluLimits(), rows, width, dx);
}

template <typename T>
void GluVjp(const T* x, const T* dy, Activation act, const GluLimits& limits,
            int64_t rows, int64_t width, T* dx) {
  const T most = static_cast<T>(limits.limit);
  const bool cut = limits.limit > 0;
  for (int64_t r = 0; r < rows; ++r, x += 2 * width, dx += 2 * width)
    for (int64_t i = 0; i < width; ++i) {
      const T g = dy[r * width + i];
      const T gate = limits.Gate(x[i]), other = limits.Other(x[width + i]);
      dx[i] = cut && x[i] > most ? T(0)
                                 : g * other * ActivationDerivative(act, gate);
      dx[width + i] = cut && std::fabs(x[width + i]) > most
                          ? T(0)
                          : g * Activate(act, gate);
    }
}

template <typename T>
void RopeVjp(const T* dy, const T* table, int64_t tokens, int64_t heads,
             int64_t head_dim, int64_t d, int64_t start, RopePairing pairing,
             T* dx) {
  std::vector<T> opposite(table, table + tokens * d);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t i = d / 2; i < d; ++i) opposite[t * d + i] = -table[t * d + i];
  Rope(dy, opposite.data(), tokens, heads, head_dim, d, start, pairing, dx);
}

#define MOE_INSTANTIATE(T)                                                    \
  template T ActivationDerivative(Activation, T);                             \
  template void ActivateVjp(Activation, const T*, const T*, int64_t, T*);     \
  template void GluVjp(const T*, const T*, Activation, int64_t, int64_t, T*); \
  template void GluVjp(const T*, const T*, Activation, const GluLimits&,      \
                       int64_t, int64_t, T*);                                 \
  template void RopeVjp(const T*, const T*, int64_t, int64_t, int64_t,        \
                        int64_t, int64_t, RopePairing, T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
