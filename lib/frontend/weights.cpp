// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/weights.h"

#include "lib/core/status_macros.h"
#include "lib/core/tensor_pattern.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>

namespace mlir::moe::frontend {

using ::moe::Code;
using ::moe::DType;
using ::moe::Error;
using ::moe::Quoted;
using ::moe::ShownPath;
using ::moe::Tensor;

std::string patternOver(const std::string &pattern,
                        std::optional<LayerRange> range) {
  if (!range || range->step == 1)
    return pattern;
  std::string place = "{" + std::to_string(range->step) + "i";
  if (range->lo)
    place += "+" + std::to_string(range->lo);
  auto [front, back] = llvm::StringRef(pattern).split("{i}");
  return (front + place + "}" + back).str();
}

static std::string shownShape(llvm::ArrayRef<int64_t> shape) {
  return "[" +
         llvm::join(llvm::map_range(
                        shape, [](int64_t d) { return std::to_string(d); }),
                    ", ") +
         "]";
}

/// One more than the largest N among names "|prefix|N.…"; 0 if there is none.
int64_t Weights::countAfter(llvm::StringRef prefix) const {
  int64_t count = 0, index = 0;
  for (const Tensor *tensor : checkpoint.tensors()) {
    llvm::StringRef rest(tensor->name);
    if (rest.consume_front(prefix) && !rest.consumeInteger(10, index) &&
        rest.starts_with(".") && index >= 0)
      count = std::max(count, index + 1);
  }
  return count;
}

/// The numbers of layers and experts, so that a wrong count is not reported as
/// some tensor that is missing.
absl::Status Weights::checkCounts(const Source &source,
                                  std::optional<LayerRange> range) {
  auto check = [&](const std::string &prefix, llvm::StringRef what,
                   llvm::StringRef key, int64_t expected,
                   int64_t more) -> absl::Status {
    if (!counted.insert(prefix).second)
      return absl::OkStatus();
    int64_t found = countAfter(prefix);
    if (!found || (found >= expected && found <= expected + more))
      return absl::OkStatus();
    return Error(Code::C106, "config.json: ", std::string_view(key), " is ",
                 expected, ", but the tensors of ", ShownPath(dir()), " have ",
                 found, " ", std::string_view(what),
                 ". Take config.json and weights from one model.");
  };
  llvm::StringRef pattern(source.pattern);
  if (range)
    RETURN_IF_ERROR(check(pattern.split("{i}").first.str(), "layers",
                          "num_hidden_layers", layers, skipped));
  if (pattern.contains("{e}"))
    RETURN_IF_ERROR(
        check(::moe::ExpandPattern(std::string_view(pattern.split("{e}").first),
                                   range ? range->lo : 0, 0),
              "experts", expertsKey, experts, 0));
  return absl::OkStatus();
}

Source Weights::withScales(Source source,
                           std::optional<LayerRange> range) const {
  if (!quantized || source.scales || source.shape.size() != 2 ||
      quantized->stored != ::moe::StoredNumber::kF8E4M3)
    return source;
  const Tensor *first = checkpoint.Find(
      ::moe::ExpandPattern(source.pattern, range ? range->lo : 0, 0));
  if (!first || first->dtype != DType::kF8E4M3)
    return source;
  source.scales = {
      source.pattern + "_scale_inv",
      {int64_t(llvm::divideCeil(source.shape[0], quantized->blockRows)),
       int64_t(llvm::divideCeil(source.shape[1], quantized->blockColumns))}};
  return source;
}

absl::StatusOr<const Tensor *>
Weights::get(const std::string &name, llvm::ArrayRef<int64_t> shape) const {
  const Tensor *tensor = checkpoint.Find(name);
  if (!tensor)
    return Error(Code::W101, ShownPath(dir()), ": tensor ", Quoted(name), " ",
                 shownShape(shape),
                 " is missing, which a model of this config.json has. Take "
                 "config.json and weights from one model.");
  if (llvm::ArrayRef<int64_t>(tensor->shape) != shape)
    return Error(Code::W102, ShownPath(checkpoint.FileOf(*tensor).path()),
                 ": tensor ", Quoted(name), " is ", shownShape(tensor->shape),
                 ", expected ", shownShape(shape),
                 " by config.json. Take config.json and weights from one "
                 "model.");
  return tensor;
}

absl::StatusOr<DType> Weights::use(const Source &source,
                                   std::optional<LayerRange> range) {
  RETURN_IF_ERROR(checkCounts(source, range));
  bool perExpert = llvm::StringRef(source.pattern).contains("{e}");
  LayerRange over = range.value_or(LayerRange{0, 1});
  const Tensor *first = nullptr;
  ::moe::ScaledLayout layout;
  if (source.scales)
    layout.stored = quantized->stored;
  auto unsupported = [&](const Tensor &tensor, std::string_view supported) {
    return Error(Code::W110, ShownPath(checkpoint.FileOf(tensor).path()),
                 ": tensor ", Quoted(tensor.name), " is ",
                 ::moe::DTypeName(tensor.dtype), "; supported: ", supported,
                 ". Convert the checkpoint.");
  };
  for (int64_t i = over.lo; i < over.hi; i += over.step)
    for (int64_t e = 0; e < (perExpert ? experts : 1); ++e) {
      ASSIGN_OR_RETURN(
          const Tensor *tensor,
          get(::moe::ExpandPattern(source.pattern, i, e), source.shape));
      used.insert(tensor);
      if (source.scales) {
        ASSIGN_OR_RETURN(const Tensor *scales,
                         get(::moe::ExpandPattern(source.scales->pattern, i, e),
                             source.scales->shape));
        used.insert(scales);
        if (tensor->dtype != layout.NumberType())
          return unsupported(*tensor, ::moe::DTypeName(layout.NumberType()));
        if (scales->dtype != layout.ScaleType())
          return unsupported(*scales, ::moe::DTypeName(layout.ScaleType()));
        continue;
      }
      if (tensor->dtype != DType::kF32 && tensor->dtype != DType::kBF16 &&
          tensor->dtype != DType::kF16)
        return unsupported(*tensor, "f32, bf16, f16");
      first = first ? first : tensor;
      if (tensor->dtype != first->dtype)
        return Error(Code::W109, ShownPath(checkpoint.FileOf(*tensor).path()),
                     ": tensor ", Quoted(tensor->name), " is ",
                     ::moe::DTypeName(tensor->dtype), ", but ",
                     Quoted(first->name), " is ",
                     ::moe::DTypeName(first->dtype),
                     ". Convert the checkpoint to one dtype.");
    }
  return source.scales ? quantized->dtype : first->dtype;
}

absl::StatusOr<std::vector<std::string>>
Weights::finish(llvm::ArrayRef<llvm::StringRef> harmless) const {
  std::vector<std::string> unused, extra;
  for (const Tensor *tensor : checkpoint.tensors()) {
    if (used.contains(tensor))
      continue;
    llvm::StringRef rest(tensor->name);
    bool known = llvm::any_of(harmless, [&](llvm::StringRef suffix) {
      return rest.ends_with(suffix);
    });
    int64_t layer = 0;
    if (rest.consume_front("model.layers.") && !rest.consumeInteger(10, layer))
      known |= layer >= layers && layer < layers + skipped;
    (known ? unused : extra).push_back(tensor->name);
  }
  if (extra.empty())
    return unused;
  std::string names;
  for (const std::string &name : llvm::ArrayRef(extra).take_front(2))
    names += (names.empty() ? "" : ", ") + Quoted(name, 60);
  if (extra.size() > 2)
    names += ::moe::Joined(" and ", extra.size() - 2, " more");
  return Error(Code::W104, ShownPath(dir()),
               ": a model of this config.json has no tensor ", names,
               ". Take config.json and weights from one model.");
}

} // namespace mlir::moe::frontend
