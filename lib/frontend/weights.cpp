// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/weights.h"

#include "lib/core/status_macros.h"

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
        rest.starts_with("."))
      count = std::max(count, index + 1);
  }
  return count;
}

static absl::Status countsDiffer(llvm::StringRef what, llvm::StringRef key,
                                 int64_t expected, int64_t found,
                                 llvm::StringRef dir) {
  return Error(Code::C106, "config.json: ", std::string_view(key), " is ",
               expected, ", but the tensors of ",
               ShownPath(std::string_view(dir)), " have ", found, " ",
               std::string_view(what),
               ". Take config.json and weights from one model.");
}

absl::Status Weights::missing(const Source &source, const std::string &name,
                              int64_t expert) const {
  llvm::StringRef pattern(source.pattern);
  llvm::StringRef beforeLayer = pattern.split("{i}").first;
  if (beforeLayer != pattern)
    if (int64_t found = countAfter(beforeLayer); found && found < layers)
      return countsDiffer("layers", "num_hidden_layers", layers, found,
                          checkpoint.dir());
  if (pattern.contains("{e}")) {
    llvm::StringRef rest = llvm::StringRef(name);
    // The part of the name before the expert's number.
    llvm::StringRef after = pattern.split("{e}").second;
    llvm::StringRef prefix =
        rest.drop_back(after.size() + std::to_string(expert).size());
    if (int64_t found = countAfter(prefix); found && found < experts)
      return countsDiffer("experts", expertsKey, experts, found,
                          checkpoint.dir());
  }
  return Error(Code::W101, ShownPath(checkpoint.dir()), ": tensor ",
               Quoted(name), " ", shownShape(source.shape),
               " is missing, which a model of this config.json has. Take "
               "config.json and weights from one model.");
}

absl::StatusOr<DType> Weights::use(const Source &source,
                                   std::optional<LayerRange> range) {
  patterns.push_back(source.pattern);
  bool perLayer = range.has_value(),
       perExpert = llvm::StringRef(source.pattern).contains("{e}");
  LayerRange over = perLayer ? *range : LayerRange{0, 1};
  const Tensor *first = nullptr;
  for (int64_t i = over.lo; i < over.hi; ++i)
    for (int64_t e = 0; e < (perExpert ? experts : 1); ++e) {
      std::string name = expandPattern(source.pattern, i, e);
      const Tensor *tensor = checkpoint.Find(name);
      if (!tensor)
        return missing(source, name, e);
      const std::string &file = checkpoint.FileOf(*tensor).path();
      if (llvm::ArrayRef<int64_t>(tensor->shape) !=
          llvm::ArrayRef<int64_t>(source.shape))
        return Error(
            Code::W102, ShownPath(file), ": tensor ", Quoted(name), " is ",
            shownShape(tensor->shape), ", expected ", shownShape(source.shape),
            " by config.json. Take config.json and weights from one model.");
      if (tensor->dtype != DType::kF32 && tensor->dtype != DType::kBF16 &&
          tensor->dtype != DType::kF16)
        return Error(Code::W110, ShownPath(file), ": tensor ", Quoted(name),
                     " is ", ::moe::DTypeName(tensor->dtype),
                     "; supported: f32, bf16, f16. Convert the checkpoint.");
      first = first ? first : tensor;
      if (tensor->dtype != first->dtype)
        return Error(Code::W109, ShownPath(file), ": tensor ", Quoted(name),
                     " is ", ::moe::DTypeName(tensor->dtype), ", but ",
                     Quoted(first->name), " is ",
                     ::moe::DTypeName(first->dtype),
                     ". Convert the checkpoint to one dtype.");
      used.insert(tensor);
    }
  return first->dtype;
}

/// Matches |name| against |pattern|; gives the numbers, -1 where there are none.
static bool matchPattern(llvm::StringRef pattern, llvm::StringRef name,
                         int64_t &layer, int64_t &expert) {
  layer = expert = -1;
  while (!pattern.empty()) {
    bool isLayer = pattern.consume_front("{i}");
    if (isLayer || pattern.consume_front("{e}")) {
      if (name.consumeInteger(10, isLayer ? layer : expert))
        return false;
      continue;
    }
    if (name.empty() || name.front() != pattern.front())
      return false;
    pattern = pattern.drop_front();
    name = name.drop_front();
  }
  return name.empty();
}

absl::Status Weights::unexpected(const Tensor &tensor) const {
  int64_t layer, expert;
  for (const std::string &pattern : patterns) {
    if (!matchPattern(pattern, tensor.name, layer, expert))
      continue;
    if (layer >= layers)
      return countsDiffer(
          "layers", "num_hidden_layers", layers,
          countAfter(llvm::StringRef(pattern).split("{i}").first),
          checkpoint.dir());
    if (expert >= experts)
      return countsDiffer(
          "experts", expertsKey, experts,
          countAfter(expandPattern(llvm::StringRef(pattern).split("{e}").first,
                                   layer, 0)),
          checkpoint.dir());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>>
Weights::finish(llvm::ArrayRef<llvm::StringRef> harmless) const {
  std::vector<std::string> unused, extra;
  for (const Tensor *tensor : checkpoint.tensors()) {
    if (used.contains(tensor))
      continue;
    llvm::StringRef name(tensor->name);
    bool known = llvm::any_of(harmless, [&](llvm::StringRef suffix) {
      return name.ends_with(suffix);
    });
    if (!known)
      RETURN_IF_ERROR(unexpected(*tensor));
    (known ? unused : extra).push_back(tensor->name);
  }
  if (extra.empty())
    return unused;
  std::string names;
  for (const std::string &name : llvm::ArrayRef(extra).take_front(3))
    names += (names.empty() ? "" : ", ") + Quoted(name, 60);
  return Error(Code::W104, ShownPath(checkpoint.dir()), ": ", extra.size(),
               " tensors are not part of a model of this config.json: ", names,
               extra.size() > 3 ? ", ..." : "", ".");
}

} // namespace mlir::moe::frontend
