// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The ranks of a partitioned program in one process, one running at a time:
//
//   Ranks<float> ranks(2);
//   ranks.run([&](int rank) {
//     Interpreter<float> interpreter(module, &params, &ranks.at(rank));
//     return succeeded(interpreter.run("layer", inputs[rank]));
//   });
#ifndef MOE_LIB_INTERPRETER_RANKS_H
#define MOE_LIB_INTERPRETER_RANKS_H

#include "lib/interpreter/values.h"

#include "llvm/ADT/STLFunctionalExtras.h"

#include <condition_variable>
#include <mutex>
#include <optional>

namespace mlir::moe {

/// What one rank sends to another in one exchange.
template <typename T> using Parcel = llvm::SmallVector<Tensor<T>, 2>;

template <typename T> class Ranks {
public:
  /// One rank's end.
  class Member {
  public:
    int64_t rank() const { return index; }
    int64_t size() const { return ranks->members.size(); }
    /// Gives |parcels[p]| to each rank p and takes one from each, in order.
    /// Nothing if a rank ended without this exchange.
    std::optional<std::vector<Parcel<T>>>
    exchange(std::vector<Parcel<T>> parcels) {
      return ranks->exchange(index, std::move(parcels));
    }

  private:
    friend class Ranks;
    Ranks *ranks = nullptr;
    int index = 0;
  };

  explicit Ranks(int size);
  Member &at(int rank) { return members[rank]; }

  /// Runs |body| for each rank on a thread of its own; they take turns, and the
  /// order is always the same. Whether all gave true.
  bool run(llvm::function_ref<bool(int rank)> body);

private:
  std::optional<std::vector<Parcel<T>>>
  exchange(int rank, std::vector<Parcel<T>> parcels);
  void passOn(int rank);

  std::vector<Member> members;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<bool> running;
  std::vector<std::vector<Parcel<T>>> given, delivered; // by sender
  int turn = 0, waiting = 0;
  int64_t rounds = 0;
};

} // namespace mlir::moe

#endif
