// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a module's shared object may contain, checked before the system's loader
// sees it.
#ifndef MOE_RUNTIME_CPU_ELF_CHECK_H_
#define MOE_RUNTIME_CPU_ELF_CHECK_H_

#include <cstddef>
#include <span>
#include <string>

namespace moe {

// Why |object| may not be loaded, as a phrase ("needs library 'libm.so.6'");
// empty if it may. Accepted is a complete little-endian x86-64 shared object
// whose tables lie inside the file and which
//   needs no other library, search path, interpreter or audit;
//   runs nothing on load or unload: no initialisers, finalisers or indirect
//   functions; has no thread-local storage, no text relocations, no executable
//   stack, no segment both writable and executable; leaves no symbol undefined.
// Safe on any bytes. Reads |object| only.
std::string FindElfFault(std::span<const std::byte> object);

}  // namespace moe

#endif  // MOE_RUNTIME_CPU_ELF_CHECK_H_
