// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What stands behind the installed interface: failures as values, and the
// engine that copies of a model share.

#ifndef MOE_RUNTIME_MODEL_STATE_H_
#define MOE_RUNTIME_MODEL_STATE_H_

#include <exception>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/core/errors.h"
#include "runtime/engine.h"
#include "runtime/include/moe/model.h"

namespace moe {

inline Failure ToFailure(const absl::Status& status) {
  return Failure(InfoOf(CodeOf(status)).name,
                 Escaped(std::string_view(status.message().data(),
                                          status.message().size())),
                 ExitCode(status));
}

// Runs |body|, which gives an absl::StatusOr; nothing thrown gets out.
template <typename T, typename Body>
Result<T> Guarded(Body&& body) {
  try {
    absl::StatusOr<T> result = body();
    if (!result.ok()) return ToFailure(result.status());
    return *std::move(result);
  } catch (const std::bad_alloc&) {
    return ToFailure(Error(Code::R101, "memory ran out"));
  } catch (const std::exception& error) {
    return ToFailure(Error(Code::I002, error.what()));
  }
}

struct Model::State {
  std::unique_ptr<Engine> engine;
};

}  // namespace moe

#endif  // MOE_RUNTIME_MODEL_STATE_H_
