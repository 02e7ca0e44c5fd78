// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/anonymous_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "lib/core/errors.h"
#include "runtime/memory_stats.h"

namespace moe {
namespace {

constexpr int64_t kHugeFrom = int64_t{4} << 20;

}  // namespace

absl::StatusOr<AnonymousMemory> AnonymousMemory::Allocate(
    int64_t bytes, std::string_view what) {
  AnonymousMemory memory;
  if (bytes <= 0) return memory;
  void* data = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED)
    return Error(Code::R101, "the ", what, " needs ", FormatBytes(bytes),
                 ", which the system refused (", strerror(errno), ")");
  if (bytes >= kHugeFrom)
    madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  memory.data_ = static_cast<std::byte*>(data);
  memory.size_ = bytes;
  return memory;
}

AnonymousMemory::AnonymousMemory(AnonymousMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

AnonymousMemory& AnonymousMemory::operator=(AnonymousMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

AnonymousMemory::~AnonymousMemory() {
  if (data_ != nullptr) munmap(data_, static_cast<size_t>(size_));
}

}  // namespace moe
