// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Questions to a manifest that was read.
#include <algorithm>

#include "lib/core/errors.h"
#include "lib/core/tensor_pattern.h"
#include "runtime/manifest.h"

namespace moe {
int EntrySpec::FindBuffer(std::string_view buffer) const {
  for (size_t i = 0; i < buffers.size(); ++i)
    if (buffers[i].name == buffer) return static_cast<int>(i);
  return -1;
}

std::string SourceSpec::TensorName(int64_t layer, int64_t group) const {
  return ExpandPattern(pattern, layer, group);
}

std::string SourceSpec::ScaleName(int64_t layer, int64_t group) const {
  return ExpandPattern(scaled->pattern, layer, group);
}

bool ParamSpec::MapsDirectly() const {
  if (format != ParamFormat::kRaw || sources.size() != 1) return false;
  const SourceSpec& source = sources.front();
  return !source.scaled && !source.PerGroup() && source.n0 == 0 &&
         source.n == n && (k == 1 || source.stride_k == 1) &&
         (n == 1 || source.stride_n == k) &&
         (groups == 1 || source.stride_g == n * k);
}

bool ParamSpec::PerExpert(int64_t experts) const {
  return experts > 1 && groups * shards == experts;
}

int64_t Manifest::Ranks() const {
  int64_t ranks = 1;
  for (const MeshAxis& axis : mesh) ranks *= axis.ranks;
  return ranks;
}

const EntrySpec* Manifest::FindEntry(std::string_view entry) const {
  for (const EntrySpec& spec : entries)
    if (spec.name == entry) return &spec;
  return nullptr;
}

absl::StatusOr<const EntrySpec*> Manifest::GetEntry(
    std::string_view entry) const {
  if (const EntrySpec* spec = FindEntry(entry)) return spec;
  std::string names;
  for (const EntrySpec& spec : entries)
    names += (names.empty() ? "" : ", ") + Quoted(spec.name, 40);
  return Error(Code::U108, "the module has no entry ", Quoted(entry),
               ": it has ", names.empty() ? "none" : names);
}

std::string_view FormatName(ParamFormat format) {
  switch (format) {
    case ParamFormat::kRaw:
      return "raw";
    case ParamFormat::kF32N32:
      return "f32.n32";
    case ParamFormat::kBF16N32:
      return "bf16.n32";
    case ParamFormat::kBF16Amx:
      return "bf16.amx";
  }
  return {};
}

std::optional<int64_t> GroupBytes(ParamFormat format, DType dtype, int64_t n,
                                  int64_t k) {
  int64_t rows = k, columns = n, size = DTypeSize(dtype);
  if (format != ParamFormat::kRaw) {
    columns = (n + 31) / 32 * 32;
    size = format == ParamFormat::kF32N32 ? 4 : 2;
  }
  if (format == ParamFormat::kBF16Amx) rows = (k + 31) / 32 * 32;
  int64_t bytes;
  if (__builtin_mul_overflow(columns, rows, &bytes) ||
      __builtin_mul_overflow(bytes, size, &bytes))
    return std::nullopt;
  return bytes;
}

}  // namespace moe
