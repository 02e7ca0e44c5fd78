// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/bound_entry.h"

#include <algorithm>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

constexpr int64_t kAlignment = 64;

// Bytes of an output under |dims|, rounded up to whole cache lines.
absl::StatusOr<int64_t> OutputBytes(const BufferSpec& buffer,
                                    const Dims& dims) {
  std::vector<int64_t> shape;
  for (const Extent& extent : buffer.shape)
    shape.push_back(ExtentSize(extent, dims.data()));
  const std::optional<int64_t> bytes = ByteCount(buffer.dtype, shape);
  if (!bytes || *bytes > INT64_MAX - kAlignment)
    return Error(Code::R101, "output ", Quoted(buffer.name),
                 " would be larger than any memory");
  return (*bytes + kAlignment - 1) & -kAlignment;
}

absl::StatusOr<void* const*> ParameterTable(const Engine& engine,
                                            std::string_view entry) {
  static void* const kEmpty[1] = {};
  if (engine.manifest().params.empty()) return kEmpty;
  if (engine.weights() != nullptr) return engine.weights()->table();
  return Error(Code::U102, "entry ", Quoted(entry), " needs weights: give ",
               "--weights DIR or --random-weights SEED");
}

}  // namespace

absl::StatusOr<EntryMemory> PlanEntry(const Module& module,
                                      std::string_view entry,
                                      const Dims& most) {
  ASSIGN_OR_RETURN(const EntrySpec* spec, module.manifest().GetEntry(entry));
  EntryMemory memory;
  ASSIGN_OR_RETURN(memory.workspace,
                   WorkspaceBytes(*module.Native(entry), most.data()));
  for (const BufferSpec& buffer : spec->buffers) {
    if (buffer.role != BufferRole::kOutput) continue;
    ASSIGN_OR_RETURN(const int64_t bytes, OutputBytes(buffer, most));
    if (__builtin_add_overflow(memory.outputs, bytes, &memory.outputs))
      return Error(Code::R101, "the outputs of entry ", Quoted(entry),
                   " would be larger than any memory");
  }
  return memory;
}

absl::StatusOr<BoundEntry> BoundEntry::Bind(const Engine& engine,
                                            std::string_view entry,
                                            const Dims& most, Outputs outputs) {
  ASSIGN_OR_RETURN(EntryMemory memory, PlanEntry(engine.module(), entry, most));
  BoundEntry bound;
  bound.kind_ = outputs;
  if (outputs == Outputs::kGiven) memory.outputs = 0;
  bound.spec_ = engine.manifest().FindEntry(entry);
  bound.code_ = engine.module().Native(entry);
  bound.context_ =
      std::make_unique<NativeContext>(&engine.pool(), engine.channel());
  bound.most_ = most;
  ASSIGN_OR_RETURN(bound.arena_,
                   AnonymousMemory::Allocate(memory.workspace, "workspace"));
  ASSIGN_OR_RETURN(bound.outputs_,
                   AnonymousMemory::Allocate(memory.outputs, "outputs"));
  bound.buffers_.resize(bound.spec_->buffers.size());
  bound.set_.resize(bound.buffers_.size());
  int64_t offset = 0;
  for (size_t i = 0; i < bound.buffers_.size(); ++i) {
    const BufferSpec& buffer = bound.spec_->buffers[i];
    const bool own_output =
        buffer.role == BufferRole::kOutput && outputs == Outputs::kOwn;
    bound.set_[i] = own_output || buffer.role == BufferRole::kParams;
    if (own_output) {
      bound.buffers_[i] = bound.outputs_.data() + offset;
      ASSIGN_OR_RETURN(const int64_t bytes, OutputBytes(buffer, most));
      offset += bytes;
    } else if (buffer.role == BufferRole::kParams) {
      ASSIGN_OR_RETURN(void* const* table, ParameterTable(engine, entry));
      bound.buffers_[i] = const_cast<void**>(table);
    }
  }
  return bound;
}

absl::Status BoundEntry::SetInput(std::string_view name, const void* data) {
  const int i = spec_->FindBuffer(name);
  if (i < 0)
    return Error(Code::M113, "entry ", Quoted(spec_->name),
                 " of the module has no buffer ", Quoted(name),
                 ". Compile the model again.");
  // Native code takes void pointers; it writes to outputs and the cache only.
  buffers_[static_cast<size_t>(i)] = const_cast<void*>(data);
  set_[static_cast<size_t>(i)] = true;
  return absl::OkStatus();
}

absl::Status BoundEntry::SetInPlace(std::string_view name, void* data) {
  bool found = false;
  const std::string next = Joined("next.", name);
  for (size_t i = 0; i < buffers_.size(); ++i) {
    const BufferSpec& buffer = spec_->buffers[i];
    const bool settable =
        buffer.role == BufferRole::kInput ||
        (buffer.role == BufferRole::kOutput && kind_ == Outputs::kGiven);
    const bool output = buffer.role == BufferRole::kOutput;
    if (!settable || buffer.name != (output ? next : name)) continue;
    buffers_[i] = data;
    set_[i] = found = true;
  }
  if (found) return absl::OkStatus();
  return Error(Code::M113, "entry ", Quoted(spec_->name),
               " of the module has no buffer ", Quoted(name),
               ". Compile the model again.");
}

void* BoundEntry::OutputData(std::string_view name) const {
  const int i = spec_->FindBuffer(name);
  if (i < 0) return nullptr;
  const auto at = static_cast<size_t>(i);
  return spec_->buffers[at].role == BufferRole::kOutput ? buffers_[at]
                                                        : nullptr;
}

absl::Status BoundEntry::CheckOutput(
    std::string_view name, DType dtype,
    std::initializer_list<std::string> shape) const {
  const int i = spec_->FindBuffer(name);
  const BufferSpec* buffer =
      i < 0 ? nullptr : &spec_->buffers[static_cast<size_t>(i)];
  if (buffer != nullptr && buffer->role == BufferRole::kOutput &&
      buffer->dtype == dtype &&
      std::equal(buffer->shape.begin(), buffer->shape.end(), shape.begin(),
                 shape.end(),
                 [](const Extent& extent, const std::string& text) {
                   return extent.text == text;
                 }))
    return absl::OkStatus();
  std::string expected;
  for (const std::string& text : shape)
    expected += (expected.empty() ? "" : ", ") + text;
  return Error(Code::M113, "entry ", Quoted(spec_->name),
               " of the module has no output ", Quoted(name), " of ",
               DTypeName(dtype), " [", expected, "]. Compile the model again.");
}

absl::Status BoundEntry::CheckInputsSet() const {
  for (size_t i = 0; i < set_.size(); ++i)
    if (!set_[i])
      return Error(Code::M113, "entry ", Quoted(spec_->name),
                   " of the module wants ", Quoted(spec_->buffers[i].name),
                   ", which is not known here. Compile the model again.");
  return absl::OkStatus();
}

absl::Status BoundEntry::Run(const Dims& dims) {
  for (size_t i = 0; i < dims.size(); ++i)
    if (dims[i] < 0 || dims[i] > most_[i])
      return Error(Code::I002, "entry ", Quoted(spec_->name), " was bound for ",
                   most_[i], " in dim ", i, " and is run with ", dims[i]);
  if (code_->workspace != nullptr &&
      code_->workspace(dims.data()) > arena_.size())
    return Error(Code::I002, "entry ", Quoted(spec_->name),
                 " needs a larger workspace for fewer tokens");
  return context_->Run(*code_, arena_.data(), buffers_.data(), dims.data());
}

}  // namespace moe
