// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Ranks that are threads of one process.
//
//   SimGroup group(2);
//   RETURN_IF_ERROR(group.Run([](Channel& channel) {
//     return RunRank(channel.rank(), channel);
//   }));

#ifndef MOE_RUNTIME_CHANNEL_SIM_H_
#define MOE_RUNTIME_CHANNEL_SIM_H_

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "runtime/channel/channel.h"

namespace moe {

class SimGroup {
 public:
  explicit SimGroup(int ranks);
  ~SimGroup();
  SimGroup(const SimGroup&) = delete;
  SimGroup& operator=(const SimGroup&) = delete;

  // Runs |body| once for each rank, on a thread of its own, with that rank's
  // channel. When one fails, the others fail in their next call. The first
  // failure that is not a consequence of another.
  absl::Status Run(const std::function<absl::Status(Channel&)>& body);

 private:
  class Member;
  // What a rank brings to a meeting: exactly one of them.
  struct Offer {
    const moe_collective_v1* collective = nullptr;
    int64_t value = 0;
  };
  // Waits until every rank has come, or one has gone. Ranks meet twice: with
  // what they offer, then, with null, when they have read what the others did;
  // that second meeting fails if any rank was blamed between the two.
  absl::Status Meet(int rank, const Offer* offer);
  void Blame(const absl::Status& why);
  absl::Status CheckCounts(int rank) const;

  const int ranks_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Offer> offers_;
  int arrived_ = 0;
  int64_t meeting_ = 0;
  bool someone_left_ = false;
  absl::Status failure_;
};

}  // namespace moe

#endif  // MOE_RUNTIME_CHANNEL_SIM_H_
