// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/cpu/native_call.h"

#include <cstddef>
#include <cstring>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/cpu/fp_mode.h"

namespace moe {
namespace {

constexpr int32_t kNoDevice = -1;
// What generated code reports (passes/lower/cpu/Routing.h).
constexpr int32_t kTooManyRows = 101, kUnevenTokens = 102;

void ParallelFor(const moe_rt_v1* rt, moe_range_fn_v1 fn, void* closure,
                 int64_t n, int64_t grain) {
  static_cast<NativeContext*>(rt->ctx)->pool().ParallelFor(fn, closure, n,
                                                           grain);
}

int32_t Launch(const moe_rt_v1* rt, const void*) {
  return rt->fail(rt, kNoDevice, 0, 0);
}

void Trace(const moe_rt_v1*, uint32_t, uint32_t) {}

}  // namespace

// Generated code knows these places as numbers.
static_assert(offsetof(moe_rt_v1, parallel_for) == 16 &&
              offsetof(moe_rt_v1, collective) == 32 &&
              offsetof(moe_rt_v1, fail) == 48);
static_assert(sizeof(moe_collective_v1) == 56 &&
              offsetof(moe_collective_v1, ranks) == 12 &&
              offsetof(moe_collective_v1, item_bytes) == 16 &&
              offsetof(moe_collective_v1, send) == 24 &&
              offsetof(moe_collective_v1, receive_counts) == 48);

NativeContext::NativeContext(ThreadPool* pool, Channel* channel)
    : table_{sizeof(moe_rt_v1),
             MOE_ABI_VERSION,
             this,
             ParallelFor,
             Launch,
             NativeContext::Collective,
             Trace,
             Fail,
             std::memcpy,
             std::memmove,
             memset},
      pool_(pool),
      channel_(channel) {}

int32_t NativeContext::Collective(const moe_rt_v1* rt,
                                  const moe_collective_v1* args) {
  auto* context = static_cast<NativeContext*>(rt->ctx);
  absl::Status& status = context->channel_status_;
  if (!context->failed_ && status.ok()) {
    status =
        context->channel_ == nullptr ||
                static_cast<uint32_t>(context->channel_->ranks()) != args->ranks
            ? Error(Code::D203, "an exchange of ", args->ranks,
                    " ranks has no channel of as many")
            : context->channel_->AllToAllV(*args);
    if (status.ok()) return 0;
  }
  // What the entry goes on with until it ends.
  int64_t items = 0;
  for (uint32_t i = 0; i < args->ranks; ++i) items += args->receive_counts[i];
  memset(args->receive, 0, static_cast<size_t>(items * args->item_bytes));
  return rt->fail(rt, kNoDevice, 0, 0);
}

int32_t NativeContext::Fail(const moe_rt_v1* rt, int32_t code, int64_t a,
                            int64_t b) {
  auto* context = static_cast<NativeContext*>(rt->ctx);
  if (!context->failed_.exchange(true)) {
    context->code_ = code;
    context->a_ = a;
    context->b_ = b;
  }
  return code;
}

absl::Status NativeContext::Run(const moe_entry_v1& entry, void* arena,
                                void* const* buffers, const int64_t* dims) {
  failed_ = false;
  channel_status_ = absl::OkStatus();
  int32_t code;
  {
    ScopedMxcsr mode(kGeneratedCodeMxcsr);
    code = entry.fn(&table_, arena, buffers, dims);
  }
  if (code == 0 && !failed_) return absl::OkStatus();
  RETURN_IF_ERROR(channel_status_);
  if (!failed_)
    return Error(Code::R104, "entry '", entry.name, "' returned error ", code);
  switch (code_) {
    case kTooManyRows:
      return Error(Code::R104, "entry '", entry.name, "': ", a_,
                   " rows arrive where ", b_, " have room");
    case kUnevenTokens:
      return Error(Code::R104, "entry '", entry.name, "': ", a_,
                   " tokens cannot be assigned to ", b_,
                   " experts in equal parts");
    default:
      return Error(Code::R104, "entry '", entry.name, "' reported error ",
                   code_, " (", a_, ", ", b_, ")");
  }
}

absl::StatusOr<int64_t> WorkspaceBytes(const moe_entry_v1& entry,
                                       const int64_t* dims) {
  const int64_t bytes = entry.workspace == nullptr ? 0 : entry.workspace(dims);
  if (bytes < 0)
    return Error(Code::R101, "entry '", entry.name, "' has no workspace for ",
                 dims[MOE_DIM_TOKENS], " tokens: the size overflows");
  return bytes;
}

}  // namespace moe
