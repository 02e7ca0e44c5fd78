// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Counts calls of operator new in the whole program, on all threads.

#ifndef MOE_TEST_RUNTIME_ALLOCATION_COUNT_H_
#define MOE_TEST_RUNTIME_ALLOCATION_COUNT_H_

#include <cstdint>

namespace moe::test {

int64_t AllocationCount();

}  // namespace moe::test

#endif  // MOE_TEST_RUNTIME_ALLOCATION_COUNT_H_
