// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A fixed set of threads for loops over independent work units.
//
//   ThreadPool pool(4);                       // the caller and three workers
//   pool.ParallelFor(fn, closure, n, grain);  // returns when [0, n) is done
//
// The split is static: [0, n) is cut into one share for each thread, nearly
// equal runs of whole grains, so the shares depend on n, grain and the number of
// threads alone. Thread t takes share t; a share that its thread has not begun
// when the caller is done with its own is run by the caller, so a loop never
// waits for a thread to wake up. Workers spin for some tens of microseconds
// after a loop, then sleep in the kernel. No loop allocates or takes a lock.

#ifndef MOE_RUNTIME_CPU_THREAD_POOL_H_
#define MOE_RUNTIME_CPU_THREAD_POOL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace moe {

class ThreadPool {
 public:
  using RangeFn = void (*)(void* closure, int64_t begin, int64_t end);

  // Starts |threads| - 1 workers; at least one thread, the caller's, always
  // exists. Fewer run if the system refuses to start more: size() tells.
  explicit ThreadPool(int threads);
  // Joins the workers. No loop may be running.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Runs fn over [0, n). May be called from any thread, also from inside a
  // loop: when the workers are taken, the caller runs the whole range itself.
  // Workers run under the caller's MXCSR. |fn| must not throw.
  void ParallelFor(RangeFn fn, void* closure, int64_t n, int64_t grain);

  // The same for a callable f(begin, end); no allocation.
  template <typename F>
  void ParallelFor(int64_t n, int64_t grain, F&& f) {
    using Closure = std::remove_reference_t<F>;
    ParallelFor(
        [](void* closure, int64_t begin, int64_t end) {
          (*static_cast<Closure*>(closure))(begin, end);
        },
        const_cast<void*>(static_cast<const void*>(&f)), n, grain);
  }

 private:
  void WorkerMain(uint32_t index);
  // Runs share |index| of loop |epoch| unless another thread has it.
  void TryShare(uint32_t index, uint32_t epoch);
  void RunShare(int64_t index) const;

  // One loop. Written by the caller before |epoch_| moves; read only by threads
  // that hold a share, so never while the next one is written.
  struct Job {
    RangeFn fn = nullptr;
    void* closure = nullptr;
    int64_t n = 0;
    int64_t grain = 1;
    uint32_t mxcsr = 0;
  };

  // The last loop in which the share was taken.
  struct alignas(64) Claim {
    std::atomic<uint32_t> epoch{0};
  };

  Job job_;
  std::atomic<bool> taken_{false};
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<uint32_t> epoch_{0};
  alignas(64) std::atomic<uint32_t> unfinished_{0};  // shares
  std::vector<Claim> claims_;
  std::vector<std::thread> workers_;
};

}  // namespace moe

#endif  // MOE_RUNTIME_CPU_THREAD_POOL_H_
