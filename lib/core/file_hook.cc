// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/core/file_hook.h"

#include <atomic>
#include <cerrno>

namespace moe {
namespace {

std::atomic<FileHook> the_hook{nullptr};

}  // namespace

void SetFileHook(FileHook hook) { the_hook = hook; }

bool FileCallFails(const char* call) {
  const FileHook hook = the_hook;
  const int error = hook == nullptr ? 0 : hook(call);
  if (error != 0) errno = error;
  return error != 0;
}

}  // namespace moe
