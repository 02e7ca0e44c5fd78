// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Scalar functions and elementwise ops. The transcendental functions are those
// of the C++ library; generated code uses its own polynomials and is compared
// by tolerance. T is float or double; all functions are pure.
//
//   Activate(Activation::kSilu, x, n, y);
//   Glu(gate_up, Activation::kSilu, rows, width, y);

#ifndef MOE_LIB_REFERENCE_ELEMENTWISE_H_
#define MOE_LIB_REFERENCE_ELEMENTWISE_H_

#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>

namespace moe::reference {

template <typename T>
T Exp(T x) {
  return std::exp(x);
}
template <typename T>
T Log(T x) {
  return std::log(x);
}
template <typename T>
T Sqrt(T x) {
  return std::sqrt(x);
}
template <typename T>
T Rsqrt(T x) {
  return T(1) / std::sqrt(x);
}
template <typename T>
T Tanh(T x) {
  return std::tanh(x);
}
template <typename T>
T Erf(T x) {
  return std::erf(x);
}
template <typename T>
T Abs(T x) {
  return std::fabs(x);
}
template <typename T>
T Sigmoid(T x) {
  return T(1) / (T(1) + std::exp(-x));
}

// arith.maximumf and arith.minimumf: a NaN operand gives NaN, and -0 < +0.
template <typename T>
T Maximum(T a, T b) {
  if (a != a) return a;
  if (b != b) return b;
  if (a == b) return std::signbit(a) ? b : a;
  return a > b ? a : b;
}
template <typename T>
T Minimum(T a, T b) {
  if (a != a) return a;
  if (b != b) return b;
  if (a == b) return std::signbit(a) ? a : b;
  return a < b ? a : b;
}

enum class Activation {
  kSilu,      // x * sigmoid(x)
  kGelu,      // x/2 * (1 + erf(x / sqrt 2))
  kGeluTanh,  // x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))
  kRelu,      // maximum(x, 0)
  kSigmoid,
  kTanh,
  kIdentity,
  kQuickGelu,  // x * sigmoid(1.702 x)
};

// The spelling of the IR attribute: silu, gelu, gelu_tanh, relu, sigmoid, tanh,
// identity, quick_gelu. ParseActivation gives nullopt for any other text.
std::string_view ActivationName(Activation act);
std::optional<Activation> ParseActivation(std::string_view name);

template <typename T>
T Activate(Activation act, T x);

// nn.activate on n elements; y may equal x.
template <typename T>
void Activate(Activation act, const T* x, int64_t n, T* y);

// nn.glu: x[rows, 2 * width] -> y[rows, width] = act(x[:, :width]) *
// x[:, width:]. y may not overlap x.
template <typename T>
void Glu(const T* x, Activation act, int64_t rows, int64_t width, T* y);

// What nn.glu does to its halves: limit > 0 cuts the gate to at most limit and
// the other half to ±limit; shift is added to the other half after that.
struct GluLimits {
  double limit = 0, shift = 0;
  template <typename T>
  T Gate(T x) const {
    return limit > 0 ? Minimum(x, static_cast<T>(limit)) : x;
  }
  template <typename T>
  T Other(T x) const {
    const T most = static_cast<T>(limit);
    if (limit > 0) x = Maximum(Minimum(x, most), -most);
    return shift == 0 ? x : x + static_cast<T>(shift);
  }
};
template <typename T>
void Glu(const T* x, Activation act, const GluLimits& limits, int64_t rows,
         int64_t width, T* y);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_ELEMENTWISE_H_
