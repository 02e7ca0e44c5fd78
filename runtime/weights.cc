// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/weights.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "lib/core/checkpoint.h"
#include "lib/core/errors.h"
#include "lib/core/philox.h"
#include "lib/core/status_macros.h"
#include "runtime/cpu/fp_mode.h"
#include "runtime/cpu/native_call.h"
#include "runtime/weight_binding.h"

namespace moe {
namespace {

std::vector<bool> MappedSlots(const Manifest& manifest,
                              const WeightBinding& binding) {
  std::vector<bool> mapped = MappableSlots(manifest);
  if (manifest.Trains()) return mapped;
  for (const ParamSpec& param : manifest.params)
    for (int64_t i = 0; param.MapsDirectly() && i < param.layers; ++i) {
      const auto address = reinterpret_cast<uintptr_t>(
          binding.Data(param, param.sources.front(), param.first_layer + i, 0));
      const auto size = static_cast<uintptr_t>(DTypeSize(param.dtype));
      mapped[static_cast<size_t>(param.index + i)] = address % size == 0;
    }
  return mapped;
}

// Tells the system that the whole pages in a piece of a mapped file are not
// needed soon: its weights now live in the block.
void Release(const std::byte* data, int64_t bytes) {
  static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(data);
  const uintptr_t begin = (address + page - 1) & -page;
  const uintptr_t end = (address + static_cast<uintptr_t>(bytes)) & -page;
  if (begin < end)
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

void CopyRaw(const std::byte* from, const SourceSpec& source, int64_t columns,
             int64_t k, size_t size, std::byte* to) {
  for (int64_t n = 0; n < columns; ++n)
    for (int64_t i = 0; i < k; ++i, to += size)
      std::memcpy(to,
                  from + (n * source.stride_n + i * source.stride_k) *
                             static_cast<int64_t>(size),
                  size);
}

// Fills units of one block with the module's own pack entries.
class Filler {
 public:
  Filler(const Module& module, ThreadPool* pool, std::byte* block)
      : module_(module), context_(pool), block_(block) {}

  int32_t FromCheckpoint(const WeightBinding& binding,
                         const FillUnit& unit) const {
    const ParamSpec& param = *unit.param;
    const int64_t size = DTypeSize(param.dtype);
    for (const SourceSpec& source : param.sources) {
      const int64_t begin = std::max(unit.begin, source.n0);
      const int64_t end = std::min(unit.end, source.n0 + source.n);
      if (begin >= end) continue;
      if (source.scaled) {
        if (const int32_t code =
                FromScaled(binding, unit, source, begin, end - begin))
          return code;
        continue;
      }
      const std::byte* from =
          binding.Data(param, source, unit.layer, unit.group) +
          size * (begin - source.n0) * source.stride_n;
      if (param.pack.empty()) {
        CopyRaw(from, source, end - begin, param.k, static_cast<size_t>(size),
                block_ + unit.offset + begin * param.k * size);
      } else if (const int32_t code =
                     Pack(unit, from,
                          {end - begin, param.k, begin, source.stride_n,
                           source.stride_k, 0})) {
        return code;
      }
      if (source.stride_k == 1 && source.stride_n == param.k)
        Release(from, (end - begin) * param.k * size);
    }
    return 0;
  }

  // |count| columns from |begin| of a quantised source: as plain numbers first.
  int32_t FromScaled(const WeightBinding& binding, const FillUnit& unit,
                     const SourceSpec& source, int64_t begin,
                     int64_t count) const {
    const ParamSpec& param = *unit.param;
    const int64_t bytes = count * param.k * DTypeSize(param.dtype);
    std::vector<std::byte> plain;
    std::byte* to =
        block_ + unit.offset + begin * param.k * DTypeSize(param.dtype);
    if (!param.pack.empty()) {
      plain.resize(static_cast<size_t>(bytes));
      to = plain.data();
    }
    const std::array<int64_t, MOE_DIM_COUNT> dims = {
        count, param.k,
        binding.First(param, source, unit.group) +
            (begin - source.n0) * source.stride_n,
        source.stride_n, source.stride_k};
    void* const buffers[] = {
        const_cast<std::byte*>(
            binding.Find(param, source, unit.layer, unit.group).data),
        to,
        const_cast<std::byte*>(
            binding.Scales(param, source, unit.layer, unit.group).data)};
    int32_t code = 0;
    {
      ScopedMxcsr mode(kGeneratedCodeMxcsr);
      code = context_.RunUnchecked(*module_.Native(source.scaled->pack),
                                   nullptr, buffers, dims.data());
    }
    if (code != 0 || param.pack.empty()) return code;
    return Pack(unit, plain.data(), {count, param.k, begin, param.k, 1, 0});
  }

  int32_t Random(uint64_t seed, int rank, const FillUnit& unit,
                 bool initial) const {
    const ParamSpec& param = *unit.param;
    const int64_t size = DTypeSize(param.dtype);
    const int64_t count = (unit.end - unit.begin) * param.k;
    const int64_t group = param.FirstGroup(rank) + unit.group;
    const int64_t first = (group * param.n + unit.begin) * param.k;
    if (param.pack.empty()) {
      RandomValues(seed, unit, first, count, initial,
                   block_ + unit.offset + unit.begin * param.k * size);
      return 0;
    }
    std::vector<std::byte> columns(static_cast<size_t>(count * size));
    RandomValues(seed, unit, first, count, initial, columns.data());
    return Pack(unit, columns.data(),
                {unit.end - unit.begin, param.k, unit.begin, param.k, 1, 0});
  }

 private:
  float Deviation(bool initial) const {
    const Json& config = module_.manifest().config;
    const auto range = initial && config.is_object()
                           ? config.find("initializer_range")
                           : config.end();
    return range != config.end() && range->is_number() ? range->get<float>()
                                                       : 0.02f;
  }

  int32_t Pack(const FillUnit& unit, const std::byte* from,
               const std::array<int64_t, MOE_DIM_COUNT>& dims) const {
    void* const buffers[] = {const_cast<std::byte*>(from),
                             block_ + unit.offset};
    ScopedMxcsr mode(kGeneratedCodeMxcsr);
    return context_.RunUnchecked(*module_.Native(unit.param->pack), nullptr,
                                 buffers, dims.data());
  }

  // The logical elements [first, first + count) of a slot.
  void RandomValues(uint64_t seed, const FillUnit& unit, int64_t first,
                    int64_t count, bool initial, std::byte* to) const {
    const ParamSpec& param = *unit.param;
    const bool norm =
        param.rank == 1 && param.name.find("norm") != std::string::npos;
    const bool exact = initial && (param.rank == 1 || param.name.find("bias") !=
                                                          std::string::npos);
    const auto ordinal =
        static_cast<uint32_t>(&param - module_.manifest().params.data());
    const uint32_t op =
        RandomOp(static_cast<uint32_t>(unit.layer), RandomStream::kWeightInit);
    const float centre = norm ? 1.0f : 0.0f;
    const float reach = exact  ? 0.0f
                        : norm ? 0.1f
                               : std::sqrt(3.0f) * Deviation(initial);
    const auto each = [&](auto&& store) {
      const Philox philox(seed);
      PhiloxBlock block{};
      for (int64_t i = first; i < first + count; ++i) {
        if (i == first || i % 4 == 0)
          block = philox({static_cast<uint32_t>(i / 4),
                          static_cast<uint32_t>((i / 4) >> 32), op, ordinal});
        const float word = UniformFloat(block[static_cast<size_t>(i % 4)]);
        store(i - first, centre + reach * (2 * word - 1));
      }
    };
    const int64_t size = DTypeSize(param.dtype);
    if (param.dtype == DType::kBF16)
      each([&](int64_t i, float value) {
        const uint16_t bits = BFloat16FromFloat(value);
        std::memcpy(to + i * 2, &bits, 2);
      });
    else
      each([&](int64_t i, float value) {
        StoreFloat(param.dtype, value, to + i * size);
      });
  }

  const Module& module_;
  NativeContext context_;
  std::byte* block_;
};

absl::Status FillError(const FillUnit* failed) {
  if (failed == nullptr) return absl::OkStatus();
  return Error(Code::R104, "entry ", Quoted(failed->param->pack), " failed on ",
               Quoted(failed->param->name), ", layer ", failed->layer);
}

}  // namespace

Weights::Weights() = default;
Weights::Weights(Weights&&) noexcept = default;
Weights& Weights::operator=(Weights&&) noexcept = default;
Weights::~Weights() = default;

absl::StatusOr<Weights> Weights::Load(const Module& module,
                                      const std::string& dir, ThreadPool* pool,
                                      int rank) {
  const Manifest& manifest = module.manifest();
  Weights weights;
  ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(dir));
  weights.checkpoint_ = std::make_unique<Checkpoint>(std::move(checkpoint));
  ASSIGN_OR_RETURN(const WeightBinding binding,
                   WeightBinding::Bind(manifest, *weights.checkpoint_, rank));
  ASSIGN_OR_RETURN(const WeightLayout layout,
                   LayOutWeights(manifest, MappedSlots(manifest, binding)));
  RETURN_IF_ERROR(weights.Allocate(layout));
  for (const ParamSpec& param : manifest.params)
    for (int64_t i = 0; i < param.layers; ++i) {
      void*& slot = weights.table_[static_cast<size_t>(param.index + i)];
      // Entries take void pointers; they never write through parameters.
      if (slot == nullptr)
        slot = const_cast<std::byte*>(binding.Data(param, param.sources.front(),
                                                   param.first_layer + i, 0));
    }
  Filler filler(module, pool, weights.block_.data());
  RETURN_IF_ERROR(FillError(FillAll(layout, *pool, [&](const FillUnit& unit) {
    return filler.FromCheckpoint(binding, unit);
  })));
  weights.report_.tensors_read = static_cast<int64_t>(binding.used_count());
  for (const Tensor* tensor : weights.checkpoint_->tensors())
    if (!binding.Uses(tensor))
      weights.report_.unused_tensors.push_back(tensor->name);
  weights.report_.unused_files = weights.checkpoint_->unused_files();
  return weights;
}

absl::StatusOr<Weights> Weights::Random(const Module& module, uint64_t seed,
                                        ThreadPool* pool, int rank) {
  return Make(module, seed, pool, rank, /*initial=*/false);
}

absl::StatusOr<Weights> Weights::Initial(const Module& module, uint64_t seed,
                                         ThreadPool* pool, int rank) {
  return Make(module, seed, pool, rank, /*initial=*/true);
}

absl::StatusOr<Weights> Weights::Make(const Module& module, uint64_t seed,
                                      ThreadPool* pool, int rank,
                                      bool initial) {
  const Manifest& manifest = module.manifest();
  Weights weights;
  const std::vector<bool> none(static_cast<size_t>(manifest.param_slots));
  ASSIGN_OR_RETURN(const WeightLayout layout, LayOutWeights(manifest, none));
  RETURN_IF_ERROR(weights.Allocate(layout));
  Filler filler(module, pool, weights.block_.data());
  RETURN_IF_ERROR(FillError(FillAll(layout, *pool, [&](const FillUnit& unit) {
    return filler.Random(seed, rank, unit, initial);
  })));
  return weights;
}

absl::Status Weights::Allocate(const WeightLayout& layout) {
  ASSIGN_OR_RETURN(
      block_, AnonymousMemory::Allocate(layout.block_bytes, "weight block"));
  table_.resize(layout.slot_offset.size());
  for (size_t slot = 0; slot < table_.size(); ++slot)
    if (layout.slot_offset[slot] != WeightLayout::kMapped)
      table_[slot] = block_.data() + layout.slot_offset[slot];
  report_.mapped_bytes = layout.mapped_bytes;
  report_.packed_bytes = layout.block_bytes;
  return absl::OkStatus();
}

absl::StatusOr<int64_t> OwnWeightBytes(const Manifest& manifest) {
  ASSIGN_OR_RETURN(const WeightLayout layout,
                   LayOutWeights(manifest, MappableSlots(manifest)));
  return layout.block_bytes;
}

}  // namespace moe
