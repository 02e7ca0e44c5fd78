// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What this machine can do at most, as JSON lines: multiply-adds of f32, tile
// products of bf16 and int8, reads of working sets of 1 MiB to 2 GiB.
//
//   peaks [THREADS,... [ROUNDS]]     by default 1,2 and 7
//
// Each round measures for a tenth of a second and takes the best; a line gives
// the median of the rounds and the lowest and highest.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/cpu/isa.h"
#include "runtime/cpu/machine_limits.h"
#include "runtime/cpu/thread_pool.h"

namespace moe {
namespace {

using Measure = std::function<absl::StatusOr<double>(ThreadPool&)>;

struct Figure {
  std::string name;
  const char* unit;
  Measure measure;
};

std::vector<Figure> Figures() {
  const IsaLevel level = MachineRuns(IsaLevel::kAmx)  ? IsaLevel::kAmx
                         : MachineRuns(IsaLevel::kV4) ? IsaLevel::kV4
                                                      : IsaLevel::kV3;
  std::vector<Figure> figures = {{"f32_fma", "GFLOP/s", [=](ThreadPool& pool) {
                                    return MeasureFlops(pool, level,
                                                        Arithmetic::kF32);
                                  }}};
  if (level == IsaLevel::kAmx) {
    figures.push_back({"bf16_tiles", "GFLOP/s", [=](ThreadPool& pool) {
                         return MeasureFlops(pool, level, Arithmetic::kBF16);
                       }});
    figures.push_back({"bf16_tiles_from_l1", "GFLOP/s", MeasureTilesFromL1});
    figures.push_back({"int8_tiles", "GOP/s", MeasureIntegerTiles});
  }
  for (int64_t mib : {1, 4, 16, 64, 256, 2048})
    figures.push_back(
        {"read_" + std::to_string(mib) + "_mib", "GB/s", [=](ThreadPool& pool) {
           return MeasureReadBandwidth(pool, mib << 20);
         }});
  return figures;
}

int Main(int argc, char** argv) {
  std::istringstream list(argc > 1 ? argv[1] : "1,2");
  const size_t rounds = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 7;
  const std::vector<Figure> figures = Figures();
  for (std::string item; std::getline(list, item, ',');) {
    const int threads = std::atoi(item.c_str());
    if (threads < 1 || threads > 1024 || rounds < 1) {
      std::fprintf(stderr, "usage: peaks [THREADS,... [ROUNDS]]\n");
      return 2;
    }
    ThreadPool pool(threads);
    for (const Figure& figure : figures) {
      std::vector<double> rates;
      while (rates.size() < rounds) {
        const absl::StatusOr<double> rate = figure.measure(pool);
        if (!rate.ok()) {
          std::fprintf(stderr, "%s\n", rate.status().ToString().c_str());
          return 1;
        }
        rates.push_back(*rate * 1e-9);
      }
      std::sort(rates.begin(), rates.end());
      std::printf(
          "{\"figure\": \"%s\", \"threads\": %d, \"unit\": \"%s\", "
          "\"median\": %.2f, \"low\": %.2f, \"high\": %.2f, \"rounds\": %zu}\n",
          figure.name.c_str(), pool.size(), figure.unit,
          rates[rates.size() / 2], rates.front(), rates.back(), rates.size());
      std::fflush(stdout);
    }
  }
  return 0;
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) { return moe::Main(argc, argv); }
