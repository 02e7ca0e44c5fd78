// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/channel/sim.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

// What rank |from| sends to rank |to|, as many as SentCount.
int32_t Item(int from, int to, int64_t i) {
  return static_cast<int32_t>(from * 10000 + to * 100 + i);
}
int64_t SentCount(int from, int to) { return from == 1 ? 0 : 1 + from + to; }

struct Exchange {
  std::vector<int64_t> send_counts, receive_counts;
  std::vector<int32_t> sent, received;

  Exchange(int rank, int ranks) {
    for (int peer = 0; peer < ranks; ++peer) {
      send_counts.push_back(SentCount(rank, peer));
      receive_counts.push_back(SentCount(peer, rank));
      for (int64_t i = 0; i < send_counts.back(); ++i)
        sent.push_back(Item(rank, peer, i));
    }
    received.resize(static_cast<size_t>(std::accumulate(
        receive_counts.begin(), receive_counts.end(), int64_t{0})));
  }
  moe_collective_v1 Args() {
    return {sizeof(moe_collective_v1),
            MOE_ALL_TO_ALL_V,
            0,
            static_cast<uint32_t>(send_counts.size()),
            sizeof(int32_t),
            sent.data(),
            received.data(),
            send_counts.data(),
            receive_counts.data()};
  }
};

TEST(Sim, ItemsArriveBySenderThenOrder) {
  constexpr int kRanks = 3;
  SimGroup group(kRanks);
  const absl::Status status = group.Run([](Channel& channel) -> absl::Status {
    for (int round = 0; round < 50; ++round) {
      Exchange exchange(channel.rank(), kRanks);
      RETURN_IF_ERROR(channel.AllToAllV(exchange.Args()));
      std::vector<int32_t> expected;
      for (int peer = 0; peer < kRanks; ++peer)
        for (int64_t i = 0; i < SentCount(peer, channel.rank()); ++i)
          expected.push_back(Item(peer, channel.rank(), i));
      EXPECT_EQ(exchange.received, expected);
      ASSIGN_OR_RETURN(const int64_t most, channel.Max(channel.rank() * 7));
      EXPECT_EQ(most, 14);
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST(Sim, OneRanksErrorEndsAllAndIsTold) {
  SimGroup group(3);
  std::vector<absl::Status> seen(3);
  const absl::Status status = group.Run([&](Channel& channel) -> absl::Status {
    const auto rank = static_cast<size_t>(channel.rank());
    if (rank == 1) return Error(Code::R205, "bad input of rank 1");
    Exchange exchange(channel.rank(), 3);
    seen[rank] = channel.AllToAllV(exchange.Args());
    return seen[rank];
  });
  EXPECT_TRUE(HasCode(status, Code::R205)) << status;
  EXPECT_TRUE(HasCode(seen[0], Code::D201)) << seen[0];
  EXPECT_TRUE(HasCode(seen[2], Code::D201)) << seen[2];
}

TEST(Sim, DisagreementAboutCountsIsAnError) {
  SimGroup group(2);
  const absl::Status status = group.Run([](Channel& channel) {
    Exchange exchange(channel.rank(), 2);
    if (channel.rank() == 0) {
      exchange.receive_counts[0] += 1;
      exchange.received.resize(exchange.received.size() + 1);
    }
    return channel.AllToAllV(exchange.Args());
  });
  EXPECT_TRUE(HasCode(status, Code::D204)) << status;
}

TEST(Sim, RanksAtDifferentStepsAreAnError) {
  SimGroup group(2);
  const absl::Status status = group.Run([](Channel& channel) {
    Exchange exchange(channel.rank(), 2);
    if (channel.rank() == 0) return channel.AllToAllV(exchange.Args());
    return channel.Max(3).status();
  });
  EXPECT_TRUE(HasCode(status, Code::D204)) << status;
}

TEST(Sim, ARankThatEndsEarlyIsAnError) {
  SimGroup group(2);
  const absl::Status status = group.Run([](Channel& channel) {
    if (channel.rank() == 0) return absl::OkStatus();
    return channel.Max(3).status();
  });
  EXPECT_TRUE(HasCode(status, Code::D201)) << status;
}

}  // namespace
}  // namespace moe
