// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Files that TensorBoard reads: records of Event messages with scalars.
//
//   EventFile events;
//   events.Add(/*step=*/1, /*seconds=*/0.5, {{"train/loss", 5.5}});
//   WriteFileAtomically(path, events.bytes());

#ifndef MOE_TOOLS_RUN_TENSORBOARD_H_
#define MOE_TOOLS_RUN_TENSORBOARD_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace moe::run {

struct Scalar {
  std::string_view tag;
  double value = 0;
};

class EventFile {
 public:
  EventFile();
  // |seconds|: the wall time of the event.
  void Add(int64_t step, double seconds, std::span<const Scalar> scalars);
  const std::string& bytes() const { return bytes_; }

 private:
  void Append(std::string_view event);
  std::string bytes_;
};

// CRC-32C (Castagnoli), as of RFC 3720.
uint32_t Crc32c(std::string_view bytes);

}  // namespace moe::run

#endif  // MOE_TOOLS_RUN_TENSORBOARD_H_
