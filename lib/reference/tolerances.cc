// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/tolerances.h"

#include <cstdio>

namespace moe::reference {

std::string Comparison::Text() const {
  char text[96];
  std::snprintf(text, sizeof(text), "max_err=%.3g tol=%.3g", max_err, tol);
  std::string result = text;
  if (at >= 0) result += " at " + std::to_string(at);
  return result;
}

namespace {

double LogSumExp(const float* x, int64_t n) {
  const double largest = *std::max_element(x, x + n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(x[i] - largest);
  return largest + std::log(sum);
}

}  // namespace

double MeanKl(const float* got, const float* want, int64_t rows,
              int64_t vocab) {
  double total = 0;
  for (int64_t r = 0; r < rows; ++r, got += vocab, want += vocab) {
    const double log_got = LogSumExp(got, vocab);
    const double log_want = LogSumExp(want, vocab);
    for (int64_t i = 0; i < vocab; ++i) {
      const double log_p = want[i] - log_want;
      total += std::exp(log_p) * (log_p - (got[i] - log_got));
    }
  }
  return rows == 0 ? 0 : total / static_cast<double>(rows);
}

}  // namespace moe::reference
