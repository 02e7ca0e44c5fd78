// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/channel/sim.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <thread>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

// Bytes in front of the items of |rank| in a buffer with these counts.
int64_t OffsetOf(const int64_t* counts, int rank, int64_t item_bytes) {
  return std::accumulate(counts, counts + rank, int64_t{0}) * item_bytes;
}

}  // namespace

class SimGroup::Member final : public Channel {
 public:
  Member(SimGroup& group, int rank) : group_(group), rank_(rank) {}

  int rank() const override { return rank_; }
  int ranks() const override { return group_.ranks_; }

  absl::Status AllToAllV(const moe_collective_v1& args) override {
    const Offer offer{&args, 0};
    RETURN_IF_ERROR(group_.Meet(rank_, &offer));
    const absl::Status good = group_.CheckCounts(rank_);
    if (good.ok()) Take(args);
    // Nobody may go on, or give up, before all have read what was offered.
    if (!good.ok()) group_.Blame(good);
    const absl::Status parted = group_.Meet(rank_, nullptr);
    return good.ok() ? parted : good;
  }

  absl::StatusOr<int64_t> Max(int64_t value) override {
    const Offer own{nullptr, value};
    RETURN_IF_ERROR(group_.Meet(rank_, &own));
    int64_t most = value;
    bool same = true;
    for (const Offer& offer : group_.offers_) {
      same = same && offer.collective == nullptr;
      most = std::max(most, offer.value);
    }
    absl::Status bad;
    if (!same) {
      bad = Error(Code::D204, "rank ", rank_,
                  " is at another step than its peers");
      group_.Blame(bad);
    }
    const absl::Status parted = group_.Meet(rank_, nullptr);
    RETURN_IF_ERROR(bad);
    RETURN_IF_ERROR(parted);
    return most;
  }

 private:
  void Take(const moe_collective_v1& args) {
    auto* to = static_cast<std::byte*>(args.receive);
    for (int peer = 0; peer < ranks(); ++peer) {
      const moe_collective_v1& other =
          *group_.offers_[static_cast<size_t>(peer)].collective;
      const int64_t bytes = args.receive_counts[peer] * args.item_bytes;
      const auto* from = static_cast<const std::byte*>(other.send) +
                         OffsetOf(other.send_counts, rank_, other.item_bytes);
      if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
      to += bytes;
    }
  }

  SimGroup& group_;
  const int rank_;
};

SimGroup::SimGroup(int ranks)
    : ranks_(ranks), offers_(static_cast<size_t>(ranks)) {}
SimGroup::~SimGroup() = default;

absl::Status SimGroup::Meet(int rank, const Offer* offer) {
  std::unique_lock lock(mutex_);
  const auto failed = [&] {
    return Error(Code::D201, "rank ", rank, " waits for a rank that has ended");
  };
  // Who offered something stays until all have read it, whatever was wrong.
  if (offer != nullptr && (!failure_.ok() || someone_left_)) return failed();
  if (offer != nullptr) offers_[static_cast<size_t>(rank)] = *offer;
  const int64_t meeting = meeting_;
  if (++arrived_ == ranks_) {
    arrived_ = 0;
    ++meeting_;
    changed_.notify_all();
  } else {
    changed_.wait(lock, [&] { return meeting_ != meeting || someone_left_; });
    if (meeting_ == meeting) return failed();
  }
  return offer == nullptr && !failure_.ok() ? failed() : absl::OkStatus();
}

absl::Status SimGroup::CheckCounts(int rank) const {
  const moe_collective_v1& own = *offers_[static_cast<size_t>(rank)].collective;
  for (int peer = 0; peer < ranks_; ++peer) {
    const moe_collective_v1* other =
        offers_[static_cast<size_t>(peer)].collective;
    if (other == nullptr || other->kind != own.kind ||
        other->axis != own.axis ||
        other->ranks != static_cast<uint32_t>(ranks_))
      return Error(Code::D204, "ranks ", rank, " and ", peer,
                   " are at different exchanges");
    if (other->item_bytes != own.item_bytes ||
        other->send_counts[rank] != own.receive_counts[peer] ||
        own.receive_counts[peer] < 0)
      return Error(Code::D204, "rank ", peer, " sends ",
                   other->send_counts[rank], " items of ", other->item_bytes,
                   " bytes to rank ", rank, ", which expects ",
                   own.receive_counts[peer], " of ", own.item_bytes);
  }
  return absl::OkStatus();
}

void SimGroup::Blame(const absl::Status& why) {
  const std::lock_guard lock(mutex_);
  // A rank that merely waited in vain is no cause.
  if (failure_.ok() || CodeOf(failure_) == Code::D201) failure_ = why;
}

absl::Status SimGroup::Run(const std::function<absl::Status(Channel&)>& body) {
  someone_left_ = false;
  failure_ = absl::OkStatus();
  arrived_ = 0;
  std::vector<std::thread> threads;
  threads.reserve(offers_.size());
  for (int rank = 0; rank < ranks_; ++rank)
    threads.emplace_back([&, rank] {
      Member channel(*this, rank);
      const absl::Status status = body(channel);
      if (!status.ok()) Blame(status);
      const std::lock_guard lock(mutex_);
      someone_left_ = true;
      changed_.notify_all();
    });
  for (std::thread& thread : threads) thread.join();
  return failure_;
}

}  // namespace moe
