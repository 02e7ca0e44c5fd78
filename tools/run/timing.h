// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Statistics of repeated measurements.

#ifndef MOE_TOOLS_RUN_TIMING_H_
#define MOE_TOOLS_RUN_TIMING_H_

#include <algorithm>
#include <cmath>
#include <vector>

namespace moe::run {

class Timing {
 public:
  void Add(double value) { values_.push_back(value); }
  size_t count() const { return values_.size(); }

  // Linear between the two nearest values; 0 if there are none.
  double Quantile(double fraction) const {
    if (values_.empty()) return 0;
    std::vector<double> sorted = values_;
    std::sort(sorted.begin(), sorted.end());
    const double at = fraction * static_cast<double>(sorted.size() - 1);
    const auto low = static_cast<size_t>(at);
    const size_t high = std::min(low + 1, sorted.size() - 1);
    return sorted[low] +
           (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
  }
  double Median() const { return Quantile(0.5); }

  // Standard deviation over mean; 0 for fewer than two values.
  double Variation() const {
    if (values_.size() < 2) return 0;
    const auto n = static_cast<double>(values_.size());
    double sum = 0, squares = 0;
    for (double value : values_) sum += value;
    const double mean = sum / n;
    for (double value : values_) squares += (value - mean) * (value - mean);
    return mean == 0 ? 0 : std::sqrt(squares / (n - 1)) / mean;
  }

 private:
  std::vector<double> values_;
};

}  // namespace moe::run

#endif  // MOE_TOOLS_RUN_TIMING_H_
