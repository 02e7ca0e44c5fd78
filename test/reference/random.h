// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Deterministic random inputs and the report of a comparison, for the tests of
// this folder.

#ifndef MOE_TEST_REFERENCE_RANDOM_H_
#define MOE_TEST_REFERENCE_RANDOM_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "lib/reference/tolerances.h"

namespace moe::reference {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  double Uniform() {  // [0, 1)
    return static_cast<double>(engine_() >> 11) * 0x1p-53;
  }
  int64_t Int(int64_t least, int64_t most) {  // both included
    return least + static_cast<int64_t>(engine_() % (most - least + 1));
  }
  // n values in [-1, 1).
  template <typename T>
  std::vector<T> Values(int64_t n) {
    std::vector<T> v(n);
    for (T& x : v) x = static_cast<T>(2 * Uniform() - 1);
    return v;
  }

 private:
  std::mt19937_64 engine_;
};

// The same values in double.
template <typename T>
std::vector<double> Wide(const std::vector<T>& v) {
  return {v.begin(), v.end()};
}

// Prints and expects a comparison.
inline void Report(const std::string& what, const Comparison& c) {
  std::printf("%-44s %s\n", what.c_str(), c.Text().c_str());
  EXPECT_TRUE(c.ok()) << what << ": " << c.Text();
}

// The tolerance of one op in T: as contracted in float, 1e-12 in double.
template <typename T>
Comparison CompareOp(const std::vector<T>& got, const std::vector<double>& want,
                     int64_t k) {
  EXPECT_EQ(got.size(), want.size());
  Comparison c = CompareOneOp(got.data(), want.data(),
                              static_cast<int64_t>(want.size()), k);
  if (sizeof(T) == 8) c.tol *= 1e-7;
  return c;
}

}  // namespace moe::reference

#endif  // MOE_TEST_REFERENCE_RANDOM_H_
