// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Calls entries of native code with the function table they expect.
//
//   NativeContext context(&pool);
//   RETURN_IF_ERROR(context.Run(*module.Native("score"), arena, buffers, dims));

#ifndef MOE_RUNTIME_CPU_NATIVE_CALL_H_
#define MOE_RUNTIME_CPU_NATIVE_CALL_H_

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/channel/channel.h"
#include "runtime/cpu/thread_pool.h"
#include "runtime/include/moe/abi.h"

namespace moe {

class NativeContext {
 public:
  // |pool| must outlive the context, as must |channel|, which is null where
  // there is one rank.
  explicit NativeContext(ThreadPool* pool, Channel* channel = nullptr);
  NativeContext(const NativeContext&) = delete;
  NativeContext& operator=(const NativeContext&) = delete;

  // Runs |entry| to its end on this thread and the pool's, with denormals
  // flushed, and restores the caller's floating point mode. R104 if the entry
  // returns an error. One call at a time; a success allocates nothing.
  absl::Status Run(const moe_entry_v1& entry, void* arena, void* const* buffers,
                   const int64_t* dims);

  // For callers that run several entries at a time themselves: the code the
  // entry returned, 0 for success.
  int32_t RunUnchecked(const moe_entry_v1& entry, void* arena,
                       void* const* buffers, const int64_t* dims) const {
    return entry.fn(&table_, arena, buffers, dims);
  }

  ThreadPool& pool() const { return *pool_; }

 private:
  static int32_t Collective(const moe_rt_v1* rt, const moe_collective_v1* args);
  static int32_t Fail(const moe_rt_v1* rt, int32_t code, int64_t a, int64_t b);

  moe_rt_v1 table_;
  ThreadPool* pool_;
  Channel* channel_;
  absl::Status channel_status_;
  // The first failure that the running entry noted.
  std::atomic<bool> failed_{false};
  int32_t code_ = 0;
  int64_t a_ = 0, b_ = 0;
};

// Bytes of arena that |entry| needs for |dims|; R101 if it cannot say.
absl::StatusOr<int64_t> WorkspaceBytes(const moe_entry_v1& entry,
                                       const int64_t* dims);

}  // namespace moe

#endif  // MOE_RUNTIME_CPU_NATIVE_CALL_H_
