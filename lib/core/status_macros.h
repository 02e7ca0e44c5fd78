// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Two macros for functions that return absl::Status or absl::StatusOr.
//
//   absl::Status Load(const std::string& path) {
//     ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
//     RETURN_IF_ERROR(Check(file));
//     return absl::OkStatus();
//   }
//
// Each expression is evaluated once. ASSIGN_OR_RETURN declares or assigns its
// first argument and so may not be the body of an unbraced `if`.

#ifndef MOE_LIB_CORE_STATUS_MACROS_H_
#define MOE_LIB_CORE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define MOE_STATUS_CONCAT_(a, b) a##b
#define MOE_STATUS_CONCAT(a, b) MOE_STATUS_CONCAT_(a, b)

#define RETURN_IF_ERROR(expression)                                          \
  do {                                                                       \
    ::absl::Status moe_return_if_error_status = (expression);                \
    if (!moe_return_if_error_status.ok()) return moe_return_if_error_status; \
  } while (false)

#define ASSIGN_OR_RETURN(target, expression)                                 \
  MOE_ASSIGN_OR_RETURN_(MOE_STATUS_CONCAT(moe_status_or_, __LINE__), target, \
                        expression)

#define MOE_ASSIGN_OR_RETURN_(temporary, target, expression) \
  auto temporary = (expression);                             \
  if (!temporary.ok()) return std::move(temporary).status(); \
  target = *std::move(temporary)

#endif  // MOE_LIB_CORE_STATUS_MACROS_H_
