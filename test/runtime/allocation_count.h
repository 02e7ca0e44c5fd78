// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Counts, on all threads of the program, what asks for memory: malloc and its
// kin, hence operator new, and mappings (not those of a sanitizer's build).

#ifndef MOE_TEST_RUNTIME_ALLOCATION_COUNT_H_
#define MOE_TEST_RUNTIME_ALLOCATION_COUNT_H_

#include <cstdint>

namespace moe::test {

int64_t AllocationCount();

}  // namespace moe::test

#endif  // MOE_TEST_RUNTIME_ALLOCATION_COUNT_H_
