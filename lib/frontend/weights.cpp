// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/weights.h"

#include "lib/core/status_macros.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <algorithm>

namespace mlir::moe::frontend {

using ::moe::Code;
using ::moe::DType;
using ::moe::Error;
using ::moe::Quoted;
using ::moe::ShownPath;
using ::moe::Tensor;

std::string expandPattern(llvm::StringRef pattern, int64_t layer,
                          int64_t expert) {
  std::string out;
  while (!pattern.empty()) {
    if (pattern.consume_front("{i}"))
      out += std::to_string(layer);
    else if (pattern.consume_front("{e}"))
      out += std::to_string(expert);
    else {
      out += pattern.front();
      pattern = pattern.drop_front();
    }
  }
  return out;
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
    RETURN_IF_ERROR(check(
        expandPattern(pattern.split("{e}").first, range ? range->lo : 0, 0),
        "experts", expertsKey, experts, 0));
  return absl::OkStatus();
}

absl::StatusOr<DType> Weights::use(const Source &source,
                                   std::optional<LayerRange> range) {
  RETURN_IF_ERROR(checkCounts(source, range));
  bool perExpert = llvm::StringRef(source.pattern).contains("{e}");
  LayerRange over = range.value_or(LayerRange{0, 1});
  const Tensor *first = nullptr;
  for (int64_t i = over.lo; i < over.hi; ++i)
    for (int64_t e = 0; e < (perExpert ? experts : 1); ++e) {
      std::string name = expandPattern(source.pattern, i, e);
      const Tensor *tensor = checkpoint.Find(name);
      if (!tensor)
        return Error(Code::W101, ShownPath(dir()), ": tensor ", Quoted(name),
                     " ", shownShape(source.shape),
                     " is missing, which a model of this config.json has. Take "
                     "config.json and weights from one "
                     "model.");
      std::string file = ShownPath(checkpoint.FileOf(*tensor).path());
      if (llvm::ArrayRef<int64_t>(tensor->shape) !=
          llvm::ArrayRef<int64_t>(source.shape))
        return Error(
            Code::W102, file, ": tensor ", Quoted(name), " is ",
            shownShape(tensor->shape), ", expected ", shownShape(source.shape),
            " by config.json. Take config.json and weights from one model.");
      if (tensor->dtype != DType::kF32 && tensor->dtype != DType::kBF16 &&
          tensor->dtype != DType::kF16)
        return Error(Code::W110, file, ": tensor ", Quoted(name), " is ",
                     ::moe::DTypeName(tensor->dtype),
                     "; supported: f32, bf16, f16. Convert the checkpoint.");
      first = first ? first : tensor;
      if (tensor->dtype != first->dtype)
        return Error(Code::W109, file, ": tensor ", Quoted(name), " is ",
                     ::moe::DTypeName(tensor->dtype), ", but ",
                     Quoted(first->name), " is ",
                     ::moe::DTypeName(first->dtype),
                     ". Convert the checkpoint to one dtype.");
      used.insert(tensor);
    }
  return first->dtype;
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
