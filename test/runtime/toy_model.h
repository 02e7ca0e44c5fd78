// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The model of toy_module.c: its manifest, a checkpoint, and its logits
// computed here.

#ifndef MOE_TEST_RUNTIME_TOY_MODEL_H_
#define MOE_TEST_RUNTIME_TOY_MODEL_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lib/core/json.h"
#include "runtime/engine.h"

namespace moe::toy {

inline constexpr int64_t kVocab = 256, kWidth = 2, kLayers = 2, kExperts = 4;
inline constexpr int64_t kTopK = 2, kN = 40, kK = 8, kGate = 24;

// A folder that goes away with its object.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string operator/(const std::string& name) const {
    return path_ + "/" + name;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The bytes of an object that CMakeLists.txt made: "toy", "toy_tls", …
std::string Object(const std::string& name);

// The manifest, to be changed by tests that want another.
Json ToyManifest();

// Writes |object| as the code of every ISA level.
void WriteModule(const std::string& path, const Json& manifest,
                 const std::string& object = "toy");

// The value of embed[id][k], and of column |n| of one expert of one layer (1 or
// 2 in checkpoint names).
float Embed(int64_t id, int64_t k);
float ExpertValue(int64_t layer, int64_t expert, int64_t n, int64_t k);

struct CheckpointFaults {
  std::string leave_out = {};    // a tensor's name
  std::string other_shape = {};  // a tensor with one row more
  std::string other_dtype = {};  // a tensor in bf16
  bool extra = false;            // a tensor nobody wants
};
void WriteCheckpoint(const std::string& dir,
                     const CheckpointFaults& faults = {});

// After the last of |ids|: kVocab values.
std::vector<float> Logits(std::span<const int32_t> ids);
// The index of the largest, the first of equals.
int32_t Greedy(std::span<const int32_t> ids);

// Module and checkpoint in |dir|, loaded.
std::unique_ptr<Engine> LoadToy(const TempDir& dir, int threads = 1);

}  // namespace moe::toy

#endif  // MOE_TEST_RUNTIME_TOY_MODEL_H_
