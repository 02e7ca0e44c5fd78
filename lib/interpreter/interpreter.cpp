// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/interpreter/interpreter.h"

#include "lib/interpreter/machine.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

using namespace mlir;
using namespace mlir::moe;

namespace {
/// f32 programs run with denormals as zero, as generated code does.
template <typename T> class FloatMode {
#if defined(__SSE2__)
  static constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;

public:
  FloatMode() : before(_mm_getcsr()) {
    if constexpr (std::is_same_v<T, float>)
      _mm_setcsr(before | kFlushToZero | kDenormalsAreZero);
  }
  ~FloatMode() { _mm_setcsr(before); }

private:
  unsigned before;
#endif
};
} // namespace

template <typename T> class Interpreter<T>::Impl : public Machine<T> {
  using Machine<T>::Machine;
};

template <typename T>
Interpreter<T>::Interpreter(ModuleOp module, ParamProvider<T> *params,
                            typename Ranks<T>::Member *member)
    : impl(std::make_unique<Impl>(module, params, member)) {}
template <typename T> Interpreter<T>::~Interpreter() = default;

template <typename T>
FailureOr<Results<T>> Interpreter<T>::run(llvm::StringRef name,
                                          llvm::ArrayRef<Datum<T>> inputs) {
  ModuleOp module = impl->module;
  FloatMode<T> mode;
  return impl->call(module, StringAttr::get(module.getContext(), name), inputs);
}

std::vector<std::string> mlir::moe::interpretedOps() {
  std::vector<std::string> names;
  for (llvm::StringRef name : handlers<float>().names())
    names.push_back(name.str());
  llvm::sort(names);
  return names;
}

namespace mlir::moe {
template class Interpreter<float>;
template class Interpreter<double>;
} // namespace mlir::moe
