// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "lib/core/philox.h"

namespace moe {
namespace {

// Index of the largest logit, the first among equals; -1 if a logit is NaN or
// none is above minus infinity.
int32_t Largest(std::span<const float> logits) {
  int32_t best = -1;
  float value = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) return -1;
    if (logits[i] > value) {
      value = logits[i];
      best = static_cast<int32_t>(i);
    }
  }
  return std::isinf(value) ? -1 : best;
}

double Uniform(uint64_t seed, int64_t position) {
  const uint64_t element = static_cast<uint64_t>(position);
  const PhiloxBlock block = Philox(seed)(
      {static_cast<uint32_t>(element), static_cast<uint32_t>(element >> 32),
       RandomOp(0, RandomStream::kSampling), 0});
  return UniformDouble(block[0], block[1]);
}

}  // namespace

Sampler::Sampler(int64_t vocab_size)
    : order_(static_cast<size_t>(vocab_size)) {}

int64_t Sampler::KeepLikeliest(std::span<const float> logits,
                               const SamplingOptions& options, float largest) {
  const double scale = 1 / options.temperature;
  const auto weight = [&](int32_t i) {
    return std::exp((double{logits[static_cast<size_t>(i)]} - largest) * scale);
  };
  // A heap with the likeliest token on top; pop_heap moves it to the end of
  // what is left.
  const auto less = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)],
                y = logits[static_cast<size_t>(b)];
    return x < y || (x == y && a > b);
  };
  std::iota(order_.begin(), order_.end(), 0);
  std::make_heap(order_.begin(), order_.end(), less);
  const int64_t vocab = static_cast<int64_t>(order_.size());
  const int64_t k = options.top_k > 0 ? std::min(options.top_k, vocab) : vocab;
  const bool limited = k < vocab;
  double total = 0;
  int64_t kept = 0;
  if (limited) {
    for (; kept < k; ++kept) {
      std::pop_heap(order_.begin(), order_.end() - kept, less);
      total += weight(order_[static_cast<size_t>(vocab - 1 - kept)]);
    }
  } else {
    for (int32_t i = 0; i < vocab; ++i) total += weight(i);
  }
  if (options.top_p >= 1 && limited) return kept;
  double sum = 0;
  for (int64_t i = 0; i < k; ++i) {
    if (!limited) std::pop_heap(order_.begin(), order_.end() - i, less);
    sum += weight(order_[static_cast<size_t>(vocab - 1 - i)]);
    if (sum >= options.top_p * total) return i + 1;
  }
  return k;
}

std::optional<int32_t> Sampler::Sample(std::span<const float> logits,
                                       const SamplingOptions& options,
                                       int64_t position) {
  const int32_t best = Largest(logits);
  if (best < 0) return std::nullopt;
  if (!(options.temperature > 0) || std::isinf(1 / options.temperature))
    return best;
  const float largest = logits[static_cast<size_t>(best)];
  const double scale = 1 / options.temperature;
  const bool all = options.top_p >= 1 &&
                   (options.top_k <= 0 ||
                    options.top_k >= static_cast<int64_t>(order_.size()));
  const int64_t kept = all ? static_cast<int64_t>(order_.size())
                           : KeepLikeliest(logits, options, largest);
  const auto token = [&](int64_t i) {
    return all ? static_cast<int32_t>(i)
               : order_[order_.size() - 1 - static_cast<size_t>(i)];
  };
  const auto weight = [&](int32_t i) {
    return std::exp((double{logits[static_cast<size_t>(i)]} - largest) * scale);
  };
  double total = 0;
  for (int64_t i = 0; i < kept; ++i) total += weight(token(i));
  double left = Uniform(options.seed, position) * total;
  int32_t chosen = best;
  for (int64_t i = 0; i < kept; ++i) {
    const double w = weight(token(i));
    if (w > 0) chosen = token(i);
    left -= w;
    if (left < 0) break;
  }
  return chosen;
}

}  // namespace moe
