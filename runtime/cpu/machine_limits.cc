// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/cpu/machine_limits.h"

#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <vector>

#include "lib/core/status_macros.h"
#include "runtime/anonymous_memory.h"

namespace moe {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kMeasureSeconds = 0.1;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Keeps a result from being optimised away.
std::atomic<uint64_t> sink{0};

__attribute__((target("avx2"))) uint64_t ReadAll(const std::byte* data,
                                                 int64_t bytes) {
  __m256i sum[4] = {};
  for (int64_t at = 0; at + 128 <= bytes; at += 128)
    for (int i = 0; i < 4; ++i)
      sum[i] = _mm256_xor_si256(
          sum[i], _mm256_load_si256(
                      reinterpret_cast<const __m256i*>(data + at + i * 32)));
  sum[0] = _mm256_xor_si256(_mm256_xor_si256(sum[0], sum[1]),
                            _mm256_xor_si256(sum[2], sum[3]));
  return static_cast<uint64_t>(_mm256_extract_epi64(sum[0], 0));
}

__attribute__((target("avx512f"))) uint64_t ReadAll512(const std::byte* data,
                                                       int64_t bytes) {
  __m512i sum[4] = {};
  for (int64_t at = 0; at + 256 <= bytes; at += 256)
    for (int i = 0; i < 4; ++i)
      sum[i] = _mm512_xor_si512(sum[i], _mm512_load_si512(data + at + i * 64));
  sum[0] = _mm512_xor_si512(_mm512_xor_si512(sum[0], sum[1]),
                            _mm512_xor_si512(sum[2], sum[3]));
  alignas(64) uint64_t words[8];
  _mm512_store_si512(words, sum[0]);
  return words[0];
}

constexpr int kRounds = 1 << 16;
constexpr int kChains = 12;  // enough to hide the latency of two units

__attribute__((target("avx2,fma"))) float Fma256(float seed) {
  __m256 sum[kChains];
  for (__m256& s : sum) s = _mm256_set1_ps(seed);
  const __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(seed);
  for (int r = 0; r < kRounds; ++r)
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sum[i] = _mm256_fmadd_ps(sum[i], a, b);
  for (int i = 1; i < kChains; ++i) sum[0] = _mm256_add_ps(sum[0], sum[i]);
  return _mm256_cvtss_f32(sum[0]);
}

__attribute__((target("avx512f"))) float Fma512(float seed) {
  __m512 sum[kChains];
  for (__m512& s : sum) s = _mm512_set1_ps(seed);
  const __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(seed);
  for (int r = 0; r < kRounds; ++r)
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sum[i] = _mm512_fmadd_ps(sum[i], a, b);
  for (int i = 1; i < kChains; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
  return _mm512_cvtss_f32(sum[0]);
}

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

TileConfig FullTiles() {
  TileConfig config;
  std::fill_n(config.row_bytes, 8, uint16_t{64});
  std::fill_n(config.rows, 8, uint8_t{16});
  return config;
}

constexpr int kTileRounds = kRounds / 64;
constexpr double kTileProducts = kTileRounds * 4.0 * 16 * 16 * 2;
constexpr int kTile = 16 * 32;  // bf16 elements

// Products of tiles that stay in registers: of bf16, or of int8.
template <bool int8>
__attribute__((target("amx-tile,amx-bf16,amx-int8"))) float Tiles() {
  const TileConfig config = FullTiles();
  _tile_loadconfig(&config);
  alignas(64) uint16_t operand[kTile];
  alignas(64) float out[16 * 16];
  std::fill_n(operand, kTile, uint16_t{0x3C23});  // about 0.01; 60 and 35
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, operand, 64);
  _tile_loadd(5, operand, 64);
  _tile_loadd(6, operand, 64);
  _tile_loadd(7, operand, 64);
  for (int r = 0; r < kTileRounds; ++r) {
    if constexpr (int8) {
      _tile_dpbssd(0, 4, 6);
      _tile_dpbssd(1, 4, 7);
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    } else {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, out, 64);
  _tile_release();
  return out[0];
}

constexpr int kSteps = 8;

struct alignas(64) TileData {
  uint16_t values[kSteps * 4 * kTile];
};

// 32 KiB of small numbers.
const TileData& Operands() {
  static const TileData data = [] {
    TileData made;
    for (int i = 0; i < kSteps * 4 * kTile; ++i)
      made.values[i] = static_cast<uint16_t>(0x3C00 + i * 7 % 509);
    return made;
  }();
  return data;
}

// Products of bf16 with the operands of each round loaded.
__attribute__((target("amx-tile,amx-bf16"))) float TilesFromL1() {
  const uint16_t* data = Operands().values;
  const TileConfig config = FullTiles();
  _tile_loadconfig(&config);
  alignas(64) float out[16 * 16];
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int r = 0; r < kTileRounds; ++r) {
    const uint16_t* at = data + r % kSteps * 4 * kTile;
    _tile_loadd(4, at, 64);
    _tile_loadd(6, at + kTile, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, at + 2 * kTile, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, at + 3 * kTile, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, out, 64);
  _tile_release();
  return out[0];
}

// Operations per second of |run|, which does |operations|, on all threads.
template <typename Run>
double Rate(ThreadPool& pool, double operations, Run&& run) {
  double best = 0, spent = 0;
  while (spent < kMeasureSeconds) {
    const Clock::time_point start = Clock::now();
    pool.ParallelFor(pool.size(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float value = run();
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        sink.fetch_xor(bits, std::memory_order_relaxed);
      }
    });
    const double seconds = SecondsSince(start);
    best = std::max(best, operations * pool.size() / seconds);
    spent += seconds;
  }
  return best;
}

}  // namespace

absl::StatusOr<double> MeasureReadBandwidth(ThreadPool& pool, int64_t bytes) {
  constexpr int64_t kPiece = 4096;
  const int64_t pieces = std::max<int64_t>(bytes / kPiece, pool.size());
  ASSIGN_OR_RETURN(const AnonymousMemory memory,
                   AnonymousMemory::Allocate(pieces * kPiece, "benchmark"));
  // Untouched pages are all one page of zeros.
  pool.ParallelFor(pieces, 1, [&](int64_t begin, int64_t end) {
    std::memset(memory.data() + begin * kPiece, 1,
                static_cast<size_t>((end - begin) * kPiece));
  });
  // Wide loads are faster from caches, narrow ones from memory: both in turn.
  const auto wide = MachineRuns(IsaLevel::kV4) ? ReadAll512 : ReadAll;
  double best = 0, spent = 0;
  for (int turn = 0; turn < 2 || spent < 2 * kMeasureSeconds; ++turn) {
    const auto read = turn % 2 ? wide : ReadAll;
    const Clock::time_point start = Clock::now();
    pool.ParallelFor(pieces, 1, [&](int64_t begin, int64_t end) {
      sink.fetch_xor(
          read(memory.data() + begin * kPiece, (end - begin) * kPiece),
          std::memory_order_relaxed);
    });
    const double seconds = SecondsSince(start);
    best = std::max(best, static_cast<double>(pieces * kPiece) / seconds);
    spent += seconds;
  }
  return best;
}

double MeasureFlops(ThreadPool& pool, IsaLevel level, Arithmetic arithmetic) {
  if (level == IsaLevel::kAmx && arithmetic == Arithmetic::kBF16)
    return Rate(pool, kTileProducts * 32, Tiles<false>);
  if (level == IsaLevel::kV3)
    return Rate(pool, kRounds * double{kChains} * 8 * 2,
                [] { return Fma256(1.0f); });
  return Rate(pool, kRounds * double{kChains} * 16 * 2,
              [] { return Fma512(1.0f); });
}

double MeasureTilesFromL1(ThreadPool& pool) {
  Operands();  // made before the clock runs
  return Rate(pool, kTileProducts * 32, TilesFromL1);
}

double MeasureIntegerTiles(ThreadPool& pool) {
  return Rate(pool, kTileProducts * 64, Tiles<true>);
}

}  // namespace moe
