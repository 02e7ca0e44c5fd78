// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_RUNTIME_SHAPE_TEXT_H_
#define MOE_RUNTIME_SHAPE_TEXT_H_

#include <cstdint>
#include <span>
#include <string>

namespace moe {

// "[4, 128]", as messages and listings show it.
inline std::string ShapeText(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace moe

#endif  // MOE_RUNTIME_SHAPE_TEXT_H_
