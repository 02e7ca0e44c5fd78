// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/interpreter/ranks.h"

#include <thread>

using namespace mlir::moe;

template <typename T>
Ranks<T>::Ranks(int size) : members(size), running(size), given(size) {
  for (int rank = 0; rank < size; ++rank) {
    members[rank].ranks = this;
    members[rank].index = rank;
  }
}

/// The next running rank behind |rank| goes on. Needs the lock.
template <typename T> void Ranks<T>::passOn(int rank) {
  int size = members.size();
  for (int step = 1; step <= size; ++step) {
    turn = (rank + step) % size;
    if (running[turn])
      break;
  }
  changed.notify_all();
}

template <typename T>
std::optional<std::vector<Parcel<T>>>
Ranks<T>::exchange(int rank, std::vector<Parcel<T>> parcels) {
  std::unique_lock lock(mutex);
  given[rank] = std::move(parcels);
  int64_t round = rounds;
  if (++waiting == int(members.size())) {
    delivered = std::move(given);
    given.assign(members.size(), {});
    waiting = 0;
    ++rounds;
  }
  passOn(rank);
  changed.wait(lock, [&] { return turn == rank; });
  // Everybody had a turn: without a new round somebody has ended.
  if (rounds == round)
    return std::nullopt;
  std::vector<Parcel<T>> taken;
  for (std::vector<Parcel<T>> &sent : delivered)
    taken.push_back(sent[rank]);
  return taken;
}

template <typename T>
bool Ranks<T>::run(llvm::function_ref<bool(int rank)> body) {
  int size = members.size();
  running.assign(size, true);
  turn = waiting = 0;
  std::vector<char> good(size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return turn == rank; });
      }
      good[rank] = body(rank);
      std::unique_lock lock(mutex);
      running[rank] = false;
      passOn(rank);
    });
  for (std::thread &thread : threads)
    thread.join();
  return llvm::all_of(good, [](char each) { return each != 0; });
}

template class mlir::moe::Ranks<float>;
template class mlir::moe::Ranks<double>;
