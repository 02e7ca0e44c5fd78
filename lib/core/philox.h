// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Philox-4x32-10, the project's one random number generator: a pure function of
// key and counter, so that a value depends on what it is for and never on the
// order, the threads or the machine that asks for it.
//
//   Philox rng(seed);
//   PhiloxBlock b = rng({element_lo, element_hi, op_id, step});   // op_id =
//   layer * 64 + stream
#ifndef MOE_LIB_CORE_PHILOX_H_
#define MOE_LIB_CORE_PHILOX_H_

#include <array>
#include <cstdint>

namespace moe {

using PhiloxBlock = std::array<uint32_t, 4>;

// Streams: the low part of an op id. Numbers are never reused, since stored
// runs depend on them.
enum class RandomStream : uint32_t {
  kSampling = 16,
  kWeightInit = 17,
  kBenchIds = 18,
  kDataOrder = 19,
  kRewrite = 20,
};

constexpr uint32_t RandomOp(uint32_t layer, RandomStream stream) {
  return layer * 64 + static_cast<uint32_t>(stream);
}

class Philox {
 public:
  explicit constexpr Philox(uint64_t key)
      : key0_(static_cast<uint32_t>(key)),
        key1_(static_cast<uint32_t>(key >> 32)) {}

  constexpr PhiloxBlock operator()(PhiloxBlock counter) const {
    uint32_t k0 = key0_, k1 = key1_;
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * counter[0];
      const uint64_t p1 = uint64_t{0xCD9E8D57u} * counter[2];
      counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ k0,
                 static_cast<uint32_t>(p1),
                 static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ k1,
                 static_cast<uint32_t>(p0)};
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    return counter;
  }

 private:
  uint32_t key0_, key1_;
};

// Uniform in [0, 1) with 53 bits, from two words.
constexpr double UniformDouble(uint32_t high, uint32_t low) {
  return static_cast<double>(((uint64_t{high} << 32) | low) >> 11) * 0x1p-53;
}

// Uniform in [0, 1) with 24 bits, from one word: exact in f32.
constexpr float UniformFloat(uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24f;
}

}  // namespace moe

#endif  // MOE_LIB_CORE_PHILOX_H_
