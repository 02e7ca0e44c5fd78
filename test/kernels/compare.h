// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the kernel tests have in common: text of functions, comparisons.

#ifndef MOE_TEST_KERNELS_COMPARE_H_
#define MOE_TEST_KERNELS_COMPARE_H_

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "lib/reference/tolerances.h"
#include "test/kernels/program.h"
#include "test/reference/random.h"

namespace moe::kernels {

using reference::Random;

// Widths around whole vectors of 16, and tokens of a call; a rank may have none.
inline constexpr int64_t kWidths[] = {1, 5, 16, 17, 33, 100};
inline constexpr int64_t kTokens[] = {0, 1, 2, 37};
inline constexpr DType kComputeTypes[] = {DType::kF32, DType::kBF16};

inline std::string Name(DType dtype) { return std::string(DTypeName(dtype)); }
inline std::string Str(int64_t n) { return std::to_string(n); }

// tensor<?x5xbf16>; -1 is a dynamic size.
inline std::string Tensor(const std::vector<int64_t>& shape, DType dtype) {
  std::string text = "tensor<";
  for (int64_t size : shape) text += (size < 0 ? "?" : Str(size)) + "x";
  return text + Name(dtype) + ">";
}

// An entry that gives |values|, such as "%y, %z", of types such as "(A, B)".
inline std::string EntryOf(const std::string& name,
                           const std::string& arguments,
                           const std::string& results,
                           const std::string& values, const std::string& body) {
  const bool several = results.front() == '(';
  return "func.func @" + name + "(" + arguments + ") -> " + results +
         " attributes {nn.entry = \"" + name + "\"} {\n" + body + "\nreturn " +
         values + " : " +
         (several ? results.substr(1, results.size() - 2) : results) + "\n}\n";
}

// An entry that gives %y.
inline std::string Entry(const std::string& name, const std::string& arguments,
                         const std::string& result, const std::string& body) {
  return EntryOf(name, arguments, result, "%y", body);
}

// Random values in [-scale, scale), as stored.
inline Array RandomArray(Random& random, DType dtype, int64_t n,
                         float scale = 1) {
  std::vector<float> values = random.Values<float>(n);
  for (float& value : values) value *= scale;
  return Array(dtype, values);
}

// Values that were copied: equal, NaN to NaN.
inline void ExpectSame(const std::string& what, const Array& got,
                       const std::vector<float>& want) {
  ASSERT_LE(static_cast<int64_t>(want.size()), got.size()) << what;
  const auto c =
      reference::LargestError(got.Floats().data(), want.data(), want.size());
  EXPECT_EQ(c.max_err, 0) << what << " at " << c.at;
}

// Says when the program ends how close the results were.
class LargestErrors {
 public:
  void Add(const std::string& what, double error, double tolerance) {
    ++count_;
    if (tolerance > 0 && error / tolerance > worst_) {
      worst_ = error / tolerance;
      what_ = what;
    }
  }
  ~LargestErrors() {
    std::printf(
        "%lld results compared, largest error %.3f of the tolerance%s\n",
        static_cast<long long>(count_), worst_, what_.c_str());
  }

 private:
  int64_t count_ = 0;
  double worst_ = 0;
  std::string what_;
};
inline LargestErrors largest_errors;

// Results of one op with k summands. For bf16 the reference is not rounded, and
// a result may be off by the rounding, and by one place where the reference is
// close to the middle of two values.
inline void ExpectClose(const std::string& what, const Array& got,
                        const std::vector<float>& want, int64_t k) {
  ASSERT_LE(static_cast<int64_t>(want.size()), got.size()) << what;
  const std::vector<float> values = got.Floats();
  const auto c =
      reference::CompareOneOp(values.data(), want.data(), want.size(), k);
  if (got.dtype == DType::kF32) {
    EXPECT_TRUE(c.ok()) << what << ": " << c.Text();
    largest_errors.Add(": " + what + " " + c.Text(), c.max_err, c.tol);
    return;
  }
  for (size_t i = 0; i < want.size(); ++i) {
    const double error = reference::AbsoluteError(values[i], want[i]);
    const double tolerance = c.tol + std::fabs(want[i]) * 0x1p-7;
    largest_errors.Add(": " + what, error, tolerance);
    ASSERT_LE(error, tolerance)
        << what << " at " << i << ": " << values[i] << ", not " << want[i];
  }
}

}  // namespace moe::kernels

#endif  // MOE_TEST_KERNELS_COMPARE_H_
