// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Token ids from outside, read and checked.

#ifndef MOE_RUNTIME_TOKEN_IDS_H_
#define MOE_RUNTIME_TOKEN_IDS_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace moe {

// R201 if |ids| is empty, R202 if one is outside [0, vocab_size). |where| says
// whose they are: "row 3".
absl::Status CheckIds(std::span<const int32_t> ids, int64_t vocab_size,
                      std::string_view where);

// R203 if |length| tokens exceed |max_positions|, where 0 stands for no limit.
absl::Status CheckLength(int64_t length, int64_t max_positions,
                         std::string_view where);

// A JSON file [[id, …], …] or [id, …], one row. R201 if it is something else
// or has an empty row, R202 for an id outside the vocabulary, and the codes of
// ReadJsonFile.
absl::StatusOr<std::vector<std::vector<int32_t>>> ReadIdsFile(
    const std::string& path, int64_t vocab_size);

// "1,2,3" as on a command line; U103 if it is something else.
absl::StatusOr<std::vector<int32_t>> ParseIds(std::string_view text);

}  // namespace moe

#endif  // MOE_RUNTIME_TOKEN_IDS_H_
