// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/cpu/native_call.h"

#include <cstring>

#include "lib/core/errors.h"
#include "runtime/cpu/fp_mode.h"

namespace moe {
namespace {

constexpr int32_t kNoDevice = -1;

void ParallelFor(const moe_rt_v1* rt, moe_range_fn_v1 fn, void* closure,
                 int64_t n, int64_t grain) {
  static_cast<NativeContext*>(rt->ctx)->pool().ParallelFor(fn, closure, n,
                                                           grain);
}

int32_t Launch(const moe_rt_v1* rt, const void*) {
  return rt->fail(rt, kNoDevice, 0, 0);
}

int32_t Collective(const moe_rt_v1* rt, const moe_collective_v1*) {
  return rt->fail(rt, kNoDevice, 0, 0);
}

void Trace(const moe_rt_v1*, uint32_t, uint32_t) {}

}  // namespace

NativeContext::NativeContext(ThreadPool* pool)
    : table_{sizeof(moe_rt_v1),
             MOE_ABI_VERSION,
             this,
             ParallelFor,
             Launch,
             Collective,
             Trace,
             Fail,
             std::memcpy,
             std::memmove,
             memset},
      pool_(pool) {}

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
  int32_t code;
  {
    ScopedMxcsr mode(kGeneratedCodeMxcsr);
    code = entry.fn(&table_, arena, buffers, dims);
  }
  if (code == 0 && !failed_) return absl::OkStatus();
  if (!failed_)
    return Error(Code::R104, "entry '", entry.name, "' returned error ", code);
  return Error(Code::R104, "entry '", entry.name, "' reported error ", code_,
               " (", a_, ", ", b_, ")");
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
