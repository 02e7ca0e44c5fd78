// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A place where tests come between this project and the system: each call that
// changes a file or a folder asks here first.
//
//   SetFileHook([](const char* call) { return ++calls == 7 ? ENOSPC : 0; });

#ifndef MOE_LIB_CORE_FILE_HOOK_H_
#define MOE_LIB_CORE_FILE_HOOK_H_

namespace moe {

// Gets the name of a system call; a number other than 0 is the errno that the
// call fails with instead of being made.
using FileHook = int (*)(const char* call);

// For tests alone; null, which it is at the start, for none.
void SetFileHook(FileHook hook);

// Whether |call| is to fail; then errno says why.
bool FileCallFails(const char* call);

}  // namespace moe

#endif  // MOE_LIB_CORE_FILE_HOOK_H_
