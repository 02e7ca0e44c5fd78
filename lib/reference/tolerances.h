// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every tolerance of the project, stated once, and comparisons that use them.
//
//   Comparison c = CompareOneOp(got, want, n, /*k=*/d);
//   EXPECT_TRUE(c.ok()) << c.Text();   // "max_err=3.1e-07 tol=2.4e-06 at 17"
//
// `want` is the reference. A NaN equals a NaN and nothing else, an infinity
// only itself; any other mismatch of those gives an infinite error. All
// functions are pure.

#ifndef MOE_LIB_REFERENCE_TOLERANCES_H_
#define MOE_LIB_REFERENCE_TOLERANCES_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

namespace moe::reference {

// One op in f32: of the largest reference value, times sqrt(k) for k summands.
inline constexpr double kOneOpF32 = 1e-5;
// Model logits, of the largest logit.
inline constexpr double kLogitsF32 = 2e-5;
inline constexpr double kLogitsBf16 = 0.05;
// Kullback-Leibler divergence from f32 logits of the same bf16 weights, nats.
inline constexpr double kKlBf16 = 1e-3;
// Gradients, of the norm of the reference tensor.
inline constexpr double kGradientF32 = 1e-4;
// Loss curves, in nats at each step.
inline constexpr double kCurveNats = 1e-4;
// A reduction split over ranks against the same one unsplit, relative.
inline constexpr double kSplitReduction = 1e-5;

inline double OneOpF32(int64_t k, double largest) {
  return kOneOpF32 * std::sqrt(static_cast<double>(std::max<int64_t>(k, 1))) *
         largest;
}

// The outcome of a comparison.
struct Comparison {
  double max_err = 0;  // largest absolute error (gradients: norm of the error)
  double tol = 0;
  double largest = 0;  // largest finite |want|
  int64_t at = -1;     // where max_err is; -1 if there is no error

  bool ok() const { return max_err <= tol; }
  // `max_err=… tol=…`, and where, if there is an error.
  std::string Text() const;
};

// |got - want|, by the rules for NaN and infinities above.
inline double AbsoluteError(double got, double want) {
  if (got == want || (got != got && want != want)) return 0;
  const double err = std::fabs(got - want);
  return std::isfinite(err) ? err : std::numeric_limits<double>::infinity();
}

// Fills max_err, largest and at; the caller sets tol.
template <typename A, typename B>
Comparison LargestError(const A* got, const B* want, int64_t n) {
  Comparison c;
  for (int64_t i = 0; i < n; ++i) {
    const double w = static_cast<double>(want[i]);
    const double err = AbsoluteError(static_cast<double>(got[i]), w);
    if (std::isfinite(w)) c.largest = std::max(c.largest, std::fabs(w));
    if (err > c.max_err) {
      c.max_err = err;
      c.at = i;
    }
  }
  return c;
}

// One op in f32, k summands per result.
template <typename A, typename B>
Comparison CompareOneOp(const A* got, const B* want, int64_t n, int64_t k) {
  Comparison c = LargestError(got, want, n);
  c.tol = OneOpF32(k, c.largest);
  return c;
}

// Within `relative` of the largest reference value: CompareRelative(g, w, n,
// kLogitsF32), … kLogitsBf16, … kSplitReduction.
template <typename A, typename B>
Comparison CompareRelative(const A* got, const B* want, int64_t n,
                           double relative) {
  Comparison c = LargestError(got, want, n);
  c.tol = relative * c.largest;
  return c;
}

// The norm of the error of one gradient tensor against kGradientF32 of the norm
// of the reference. A reference norm below `floor` counts as `floor`, for
// tensors whose true gradient is 0 (pass a small part of the whole gradient's
// norm).
template <typename A, typename B>
Comparison CompareGradient(const A* got, const B* want, int64_t n,
                           double floor = 0) {
  Comparison c = LargestError(got, want, n);
  double err = 0, norm = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double w = static_cast<double>(want[i]);
    const double e = AbsoluteError(static_cast<double>(got[i]), w);
    err += e * e;
    norm += w * w;
  }
  c.max_err = std::sqrt(err);
  c.tol = kGradientF32 * std::max(std::sqrt(norm), floor);
  return c;
}

// Mean over rows of KL(softmax(want) || softmax(got)), logits [rows, vocab], in
// nats; NaN if a logit is.
double MeanKl(const float* got, const float* want, int64_t rows, int64_t vocab);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_TOLERANCES_H_
