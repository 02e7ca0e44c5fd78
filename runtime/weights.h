// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The weights of a module in memory, as its native code wants them.
//
//   ASSIGN_OR_RETURN(Weights weights, Weights::Load(module, "DIR", &pool));
//   buffers[i] = weights.table();
//
// Raw parameters point into the mapped files; packed ones are made once by the
// module's own pack entries, in one block of memory.

#ifndef MOE_RUNTIME_WEIGHTS_H_
#define MOE_RUNTIME_WEIGHTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/anonymous_memory.h"
#include "runtime/cpu/thread_pool.h"
#include "runtime/module.h"
#include "runtime/weight_layout.h"

namespace moe {

class Checkpoint;

// What a load read, for the log.
struct WeightReport {
  int64_t tensors_read = 0;
  int64_t mapped_bytes = 0;  // used where they lie in the files
  int64_t packed_bytes = 0;  // in memory of our own
  std::vector<std::string> unused_tensors;
  std::vector<std::string> unused_files;
};

// Immutable once made, so safe to share between threads. Movable; the table
// stays where it is.
class Weights {
 public:
  // From a Hugging Face folder, for one rank of the mesh. The codes of Checkpoint::Open; W101 for a
  // tensor that is missing, W102 and W103 for another shape or dtype. R101.
  static absl::StatusOr<Weights> Load(const Module& module,
                                      const std::string& dir, ThreadPool* pool,
                                      int rank = 0);
  // Small values that depend on |seed| and the place in the logical parameter
  // alone, not on format, threads or machine. Norm weights are around 1.
  static absl::StatusOr<Weights> Random(const Module& module, uint64_t seed,
                                        ThreadPool* pool, int rank = 0);

  // Weights to train from: norms are 1, other vectors 0, matrices have a
  // standard deviation of initializer_range of the config, else 0.02.
  static absl::StatusOr<Weights> Initial(const Module& module, uint64_t seed,
                                         ThreadPool* pool, int rank = 0);

  Weights(Weights&&) noexcept;
  Weights& operator=(Weights&&) noexcept;
  ~Weights();

  // A parameter of a module that trains: raw, in memory of our own, its layers
  // one behind another.
  std::byte* Own(const ParamSpec& param) {
    return static_cast<std::byte*>(table_[static_cast<size_t>(param.index)]);
  }
  // One pointer for each slot. Entries read through it and never write.
  void* const* table() const { return table_.data(); }
  const WeightReport& report() const { return report_; }

 private:
  Weights();
  static absl::StatusOr<Weights> Make(const Module& module, uint64_t seed,
                                      ThreadPool* pool, int rank, bool initial);
  absl::Status Allocate(const WeightLayout& layout);

  std::unique_ptr<Checkpoint> checkpoint_;
  AnonymousMemory block_;
  std::vector<void*> table_;
  WeightReport report_;
};

// Bytes that the weights take in memory of our own.
absl::StatusOr<int64_t> OwnWeightBytes(const Manifest& manifest);

}  // namespace moe

#endif  // MOE_RUNTIME_WEIGHTS_H_
