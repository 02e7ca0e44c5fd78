// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tokens to train on, cut into windows, and the order in which they come.
//
//   ASSIGN_OR_RETURN(TrainData data, TrainData::Open("text.txt", {.vocab = 256, .window = 128}));
//   TrainRow row = data.Window(ShuffledIndex(seed, epoch, i, data.windows()));

#ifndef MOE_RUNTIME_TRAIN_TRAIN_DATA_H_
#define MOE_RUNTIME_TRAIN_TRAIN_DATA_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/core/hash.h"
#include "runtime/train/train_step.h"

namespace moe {

struct DataOptions {
  int64_t vocab = 0;
  int64_t window = 0;             // tokens of a row
  std::string ids_dtype = "u16";  // of a .bin file: u16 or u32, little-endian
};

// Immutable. Movable; rows stay valid.
class TrainData {
 public:
  // By the end of the name: ".json" holds rows [[id, …], …], each a window of
  // its own, at most |window| long; ".bin" token ids; anything else is UTF-8
  // text, whose bytes are the ids. R206 if there is no whole window, if the
  // text is no UTF-8, or a .bin file has half an id; R202 for an id outside the
  // vocabulary, R203 for a row that is too long, and the codes of MappedFile.
  static absl::StatusOr<TrainData> Open(const std::string& path,
                                        const DataOptions& options);
  // Rows as in a ".json", whatever the name; a window of 0 takes any length.
  static absl::StatusOr<TrainData> OpenRows(const std::string& path,
                                            const DataOptions& options);

  // Windows of a stream overlap by the one token that is the last target of one
  // and the first token of the next.
  int64_t windows() const { return static_cast<int64_t>(starts_.size()); }
  TrainRow Window(int64_t index) const;
  // All of them, in order.
  std::vector<TrainRow> Windows() const;
  int64_t max_row() const { return max_row_; }
  int64_t tokens() const { return static_cast<int64_t>(ids_.size()); }
  // Of the ids and the cuts.
  const Hash128& hash() const { return hash_; }

 private:
  TrainData() = default;
  absl::Status ReadRows(const std::string& path, const DataOptions& options);
  absl::Status ReadStream(const std::string& path, const DataOptions& options);
  void Finish();

  std::vector<int32_t> ids_, targets_;
  std::vector<int64_t> starts_, lengths_;
  int64_t max_row_ = 0;
  Hash128 hash_;
};

// The place |index| of an epoch as a place of the data: a permutation of
// [0, count) that is a function of seed and epoch alone.
int64_t ShuffledIndex(uint64_t seed, int64_t epoch, int64_t index,
                      int64_t count);

}  // namespace moe

#endif  // MOE_RUNTIME_TRAIN_TRAIN_DATA_H_
