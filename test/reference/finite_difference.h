// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Checks a vector-Jacobian product by central differences in double.
//
//   CheckVjp("softmax", {x}, outputs, forward, backward, random);
//
// forward(inputs, y) fills y[outputs]; backward(inputs, dy, gradients) fills
// one gradient per input. The scalar is sum(dy * y) for a random dy.

#ifndef MOE_TEST_REFERENCE_FINITE_DIFFERENCE_H_
#define MOE_TEST_REFERENCE_FINITE_DIFFERENCE_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "test/reference/random.h"

namespace moe::reference {

using Vec = std::vector<double>;
using Inputs = std::vector<Vec>;
using Forward = std::function<void(const Inputs&, double*)>;
using Backward = std::function<void(const Inputs&, const double*, Inputs&)>;

// The relative error left by a step of 1e-5 in double, with room to spare.
inline constexpr double kFiniteDifference = 1e-8;

inline void CheckVjp(const std::string& what, Inputs inputs, int64_t outputs,
                     const Forward& forward, const Backward& backward,
                     Random& random) {
  const Vec dy = random.Values<double>(outputs);
  auto scalar = [&] {
    Vec y(outputs, std::numeric_limits<double>::quiet_NaN());
    forward(inputs, y.data());
    double sum = 0;
    for (int64_t i = 0; i < outputs; ++i) sum += dy[i] * y[i];
    return sum;
  };
  // Gradients start as NaN: a function has to write every element.
  Inputs got;
  for (const Vec& input : inputs)
    got.emplace_back(input.size(), std::numeric_limits<double>::quiet_NaN());
  backward(inputs, dy.data(), got);
  for (size_t a = 0; a < inputs.size(); ++a) {
    Vec want;
    for (double& x : inputs[a]) {
      const double at = x, step = 1e-5;
      x = at + step;
      const double above = scalar();
      x = at - step;
      const double below = scalar();
      x = at;
      want.push_back((above - below) / (2 * step));
    }
    Comparison c = LargestError(got[a].data(), want.data(),
                                static_cast<int64_t>(want.size()));
    c.tol = kFiniteDifference * std::max(c.largest, 1.0);
    Report(what + ", operand " + std::to_string(a), c);
  }
}

}  // namespace moe::reference

#endif  // MOE_TEST_REFERENCE_FINITE_DIFFERENCE_H_
