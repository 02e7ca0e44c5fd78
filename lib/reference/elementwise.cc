// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/elementwise.h"

#include <iterator>

namespace moe::reference {
namespace {

constexpr std::string_view kNames[] = {"silu",     "gelu",      "gelu_tanh",
                                       "relu",     "sigmoid",   "tanh",
                                       "identity", "quick_gelu"};

}  // namespace

std::string_view ActivationName(Activation act) {
  return kNames[static_cast<int>(act)];
}

std::optional<Activation> ParseActivation(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (kNames[i] == name) return static_cast<Activation>(i);
  return std::nullopt;
}

template <typename T>
T Activate(Activation act, T x) {
  switch (act) {
    case Activation::kSilu:
      return x * Sigmoid(x);
    case Activation::kGelu:
      return T(0.5) * x * (T(1) + Erf(x * T(0.70710678118654752440)));
    case Activation::kGeluTanh:
      return T(0.5) * x *
             (T(1) +
              Tanh(T(0.79788456080286535588) * (x + T(0.044715) * x * x * x)));
    case Activation::kRelu:
      return Maximum(x, T(0));
    case Activation::kSigmoid:
      return Sigmoid(x);
    case Activation::kTanh:
      return Tanh(x);
    case Activation::kIdentity:
      return x;
    case Activation::kQuickGelu:
      return x * Sigmoid(T(1.702) * x);
  }
  return x;
}

template <typename T>
void Activate(Activation act, const T* x, int64_t n, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = Activate(act, x[i]);
}

template <typename T>
void Glu(const T* x, Activation act, int64_t rows, int64_t width, T* y) {
  Glu(x, act, GluLimits(), rows, width, y);
}

template <typename T>
void Glu(const T* x, Activation act, const GluLimits& limits, int64_t rows,
         int64_t width, T* y) {
  for (int64_t r = 0; r < rows; ++r, x += 2 * width, y += width)
    for (int64_t i = 0; i < width; ++i)
      y[i] = Activate(act, limits.Gate(x[i])) * limits.Other(x[width + i]);
}

#define MOE_INSTANTIATE(T)                                                    \
  template T Activate(Activation, T);                                         \
  template void Activate(Activation, const T*, int64_t, T*);                  \
  template void Glu(const T*, Activation, int64_t, int64_t, T*);              \
  template void Glu(const T*, Activation, const GluLimits&, int64_t, int64_t, \
                    T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
