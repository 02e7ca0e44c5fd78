// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/losses.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace moe::reference {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// Σ_g f_g P_g of the tokens [begin, end), g an expert or a device.
template <typename T>
double Balance(const BalanceLossShape& shape, const T* p, const int32_t* idx,
               int64_t begin, int64_t end) {
  using Kind = BalanceLossShape::Kind;
  const int64_t E = shape.experts, K = shape.k;
  const bool by_device = shape.kind != Kind::kExpert;
  const int64_t groups = by_device ? shape.devices : E;
  const int64_t size = E / groups;
  const double T_ = static_cast<double>(end - begin);
  double loss = 0;
  for (int64_t g = 0; g < groups; ++g) {
    double P = 0, choices = 0, reached = 0;
    for (int64_t t = begin; t < end; ++t) {
      int64_t mine = 0;
      for (int64_t e = g * size; e < (g + 1) * size; ++e) {
        P += static_cast<double>(p[t * E + e]) / T_;
        mine += std::count(idx + t * K, idx + t * K + K, e);
      }
      choices += static_cast<double>(mine);
      reached += mine > 0;
    }
    double f;
    if (shape.kind == Kind::kCommunication)
      f = static_cast<double>(shape.devices) * reached /
          (static_cast<double>(shape.limit) * T_);
    else  // the mean over the experts of the group of E c_e / T
      f = static_cast<double>(E) * choices / T_ / static_cast<double>(size) /
          (shape.per_choice ? static_cast<double>(K) : 1.0);
    loss += f * P;
  }
  return loss;
}

}  // namespace

template <typename T>
T BalanceLoss(const BalanceLossShape& shape, const T* p, const int32_t* idx,
              const int32_t* cu_seqlens, int64_t sequences) {
  if (cu_seqlens == nullptr)
    return static_cast<T>(shape.tokens ? Balance(shape, p, idx, 0, shape.tokens)
                                       : kNone);
  double sum = 0;
  for (int64_t b = 0; b < sequences; ++b)
    if (cu_seqlens[b] < cu_seqlens[b + 1])
      sum += Balance(shape, p, idx, cu_seqlens[b], cu_seqlens[b + 1]);
  return static_cast<T>(sequences ? sum / static_cast<double>(sequences)
                                  : kNone);
}

template <typename T>
T ZLoss(const T* z, int64_t tokens, int64_t experts) {
  double sum = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    const T* row = z + t * experts;
    const double largest = *std::max_element(row, row + experts);
    double total = 0;
    for (int64_t e = 0; e < experts; ++e) total += std::exp(row[e] - largest);
    const double lse = largest + std::log(total);
    sum += lse * lse;
  }
  return static_cast<T>(tokens ? sum / static_cast<double>(tokens) : kNone);
}

template <typename T>
T VariationLoss(const T* x, int64_t tokens, int64_t experts, double eps,
                bool unbiased) {
  const double E = static_cast<double>(experts);
  std::vector<double> v(experts, 0.0);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t e = 0; e < experts; ++e) v[e] += x[t * experts + e];
  double mean = 0, square = 0;
  for (double value : v) mean += value / E;
  for (double value : v) square += (value - mean) * (value - mean);
  return static_cast<T>(square / (unbiased ? E - 1 : E) / (mean * mean + eps));
}

#define MOE_INSTANTIATE(T)                                                  \
  template T BalanceLoss(const BalanceLossShape&, const T*, const int32_t*, \
                         const int32_t*, int64_t);                          \
  template T ZLoss(const T*, int64_t, int64_t);                             \
  template T VariationLoss(const T*, int64_t, int64_t, double, bool);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
