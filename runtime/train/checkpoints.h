// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The folders RUN/step-N that a training run writes. One without a manifest,
// which is written last, does not exist.

#ifndef MOE_RUNTIME_TRAIN_CHECKPOINTS_H_
#define MOE_RUNTIME_TRAIN_CHECKPOINTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/core/json.h"

namespace moe {

// Steps that |run| has a checkpoint of, in order; none if there is no such
// folder.
std::vector<int64_t> CheckpointSteps(const std::string& run);

// RUN/step-N.
std::string CheckpointFolder(const std::string& run, int64_t step);

// The manifest of a folder, after every file was compared with its hash: R501.
absl::StatusOr<Json> CheckCheckpoint(const std::string& folder);

// Removes the oldest until |keep| are left; 0 keeps all.
absl::Status DropCheckpoints(const std::string& run, int64_t keep);

// Removes what a process that was killed left of a folder, and its temporary
// files; nothing that is not ours. For the one process that writes to |run|.
absl::Status RemoveUnfinished(const std::string& run);

}  // namespace moe

#endif  // MOE_RUNTIME_TRAIN_CHECKPOINTS_H_
