// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A model folder in memory, and what its configuration says of rotary
// positions. For tests: anything missing throws.

#ifndef MOE_TEST_REFERENCE_ORACLE_FOLDER_H_
#define MOE_TEST_REFERENCE_ORACLE_FOLDER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lib/core/json.h"

namespace moe::reference {

struct Weight {
  std::vector<int64_t> shape;
  std::vector<float> values;  // bf16 is widened
};

struct OracleFolder {
  std::string dir;
  Json config;
  std::map<std::string, Weight> weights;

  // A number of the configuration; `fallback` if it is absent or null.
  double Number(const char* key, double fallback) const;
  // An integer that has to be there.
  int64_t Int(const char* key) const;
  std::string Text(const char* key, const char* fallback) const;
};

OracleFolder ReadFolder(const std::string& dir);
// All tensors of a safetensors file, and a JSON file.
std::map<std::string, Weight> ReadTensors(const std::string& path);
Json ReadJson(const std::string& path);

struct RopeFrequencies {
  std::vector<float> inv_freq;
  double table_scale = 1;    // of cos and sin
  double softmax_scale = 1;  // deepseek: factor of the softmax scale
};
// For d rotated dims: default, linear, yarn and llama3 scaling.
RopeFrequencies RopeOf(const OracleFolder& folder, int64_t d);

}  // namespace moe::reference

#endif  // MOE_TEST_REFERENCE_ORACLE_FOLDER_H_
