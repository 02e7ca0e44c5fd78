// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One rank's way to the other ranks of a program. Every rank makes the same
// calls in the same order; a call returns when this rank's part of it is done.
//
//   std::unique_ptr<Channel> channel = …;            // sim.h
//   ASSIGN_OR_RETURN(int64_t most, channel->Max(tokens));
//   RETURN_IF_ERROR(channel->AllToAllV(args));

#ifndef MOE_RUNTIME_CHANNEL_CHANNEL_H_
#define MOE_RUNTIME_CHANNEL_CHANNEL_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/include/moe/abi.h"

namespace moe {

// Used by one thread at a time. After an error every further call fails.
class Channel {
 public:
  virtual ~Channel() = default;

  virtual int rank() const = 0;
  virtual int ranks() const = 0;

  // MOE_ALL_TO_ALL_V of abi.h. D201 if a rank has gone, D204 if two ranks
  // disagree about what is sent. Allocates nothing on success.
  virtual absl::Status AllToAllV(const moe_collective_v1& args) = 0;

  // The largest |value| of all ranks. D201, D204.
  virtual absl::StatusOr<int64_t> Max(int64_t value) = 0;
};

}  // namespace moe

#endif  // MOE_RUNTIME_CHANNEL_CHANNEL_H_
