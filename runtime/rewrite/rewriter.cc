// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/rewrite/rewriter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <set>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/philox.h"
#include "lib/core/status_macros.h"
#include "lib/core/tensor_pattern.h"

namespace moe {
namespace {

// Keys of config.json that say nothing about what weights mean.
constexpr const char* kHarmless[] = {
    "_name_or_path", "architectures",        "bos_token_id",
    "dtype",         "eos_token_id",         "initializer_range",
    "pad_token_id",  "transformers_version", "torch_dtype",
    "use_cache",     "attention_dropout"};

// A number of mean 0 and deviation 1 for an element: four uniform ones added,
// which is close to normal and has the same bits everywhere.
double Deviate(const Philox& philox, uint64_t element, size_t ordinal) {
  const PhiloxBlock block = philox(
      {static_cast<uint32_t>(element), static_cast<uint32_t>(element >> 32),
       RandomOp(0, RandomStream::kRewrite), static_cast<uint32_t>(ordinal)});
  double sum = -2;
  for (const uint32_t word : block) sum += UniformFloat(word);
  return sum * std::sqrt(3.0);
}

int64_t Product(std::span<const int64_t> extents) {
  return std::accumulate(extents.begin(), extents.end(), int64_t{1},
                         std::multiplies<>());
}

std::string ShapeText(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    text += Joined(i ? ", " : "", shape[i]);
  return text + "]";
}

}  // namespace

absl::StatusOr<std::unique_ptr<Rewriter>> Rewriter::Open(
    RewritePlan plan, const std::vector<std::string>& folders) {
  const auto count = static_cast<int64_t>(folders.size());
  if (plan.folders != 0 ? count != plan.folders : count < 2)
    return Error(Code::U103, "--weights: ", plan.recipe, " takes ",
                 plan.folders == 0 ? std::string("two folders or more")
                                   : Joined(plan.folders, " of them"),
                 ", got ", count);
  std::unique_ptr<Rewriter> rewriter(new Rewriter());
  rewriter->plan_ = std::move(plan);
  for (const std::string& folder : folders) {
    ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(folder));
    rewriter->folders_.push_back(std::move(checkpoint));
  }
  RETURN_IF_ERROR(rewriter->CheckConfigs());
  RETURN_IF_ERROR(rewriter->Expand());
  for (const Item& item : rewriter->items_)
    RETURN_IF_ERROR(rewriter->Check(item));
  return rewriter;
}

absl::Status Rewriter::CheckConfigs() const {
  const Json& donor = plan_.donor;
  for (const Checkpoint& folder : folders_) {
    ASSIGN_OR_RETURN(const Json config, ReadConfig(folder.dir()));
    for (const auto& [key, value] : config.items()) {
      const bool harmless =
          std::find(std::begin(kHarmless), std::end(kHarmless), key) !=
          std::end(kHarmless);
      // As text, as numbers of files have more than one type.
      if (!harmless && donor.contains(key) &&
          DumpJson(donor[key]) != DumpJson(value))
        return Error(Code::C106, ShownPath(folder.dir()),
                     ": config.json: ", Quoted(key), " is ", DumpJson(value),
                     ", and the module was compiled from a donor with ",
                     DumpJson(donor[key]));
    }
  }
  return absl::OkStatus();
}

absl::Status Rewriter::Expand() {
  const auto count = static_cast<int64_t>(folders_.size());
  for (const std::string& key : plan_.counts) plan_.config[key] = count;
  const Json top_k = plan_.config.value("num_experts_per_tok", Json());
  if (plan_.folders == 0 && top_k.is_number() && top_k.get<int64_t>() > count)
    return Error(Code::U103, "--weights: ", count, " folders are fewer than ",
                 top_k.get<int64_t>(), " experts for each token (top_k)");
  for (const RewriteTensor& made : plan_.tensors) {
    Item item{&made, made.name, made.shape};
    for (int64_t& extent : item.shape)
      if (extent == -1) extent = count;
    if (made.folders != FolderUse::kEach) {
      items_.push_back(std::move(item));
      continue;
    }
    for (int64_t folder = 0; folder < count; ++folder) {
      item.folder = static_cast<size_t>(folder);
      item.name = ExpandPattern(made.name, std::nullopt, folder);
      items_.push_back(item);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<const Tensor*> Rewriter::Source(const std::string& name,
                                               DType dtype,
                                               size_t folder) const {
  const Checkpoint& checkpoint = folders_[folder];
  const absl::StatusOr<const Tensor*> found = checkpoint.Get(name);
  if (!found.ok())
    return WithContext(found.status(), ShownPath(checkpoint.dir()));
  if ((*found)->dtype != dtype)
    return Error(Code::W109, ShownPath(checkpoint.dir()), ": tensor ",
                 Quoted(name), " is ", DTypeName((*found)->dtype),
                 ", and the donor's is ", DTypeName(dtype));
  return *found;
}

absl::Status Rewriter::CheckCluster(const ClusterSpec& cluster) const {
  const Tensor* tensor = folders_[0].Find(cluster.tensor);
  if (tensor == nullptr)
    return Error(Code::W101, ShownPath(folders_[0].dir()), ": tensor ",
                 Quoted(cluster.tensor), " is missing");
  if (tensor->shape.size() == 2 && tensor->shape[0] > 0 &&
      tensor->shape[0] % cluster.count == 0)
    return absl::OkStatus();
  return Error(Code::M109, "the rows of ", Quoted(cluster.tensor),
               " cannot be ", cluster.count, " clusters");
}

absl::StatusOr<int64_t> Rewriter::LengthOf(const Item& item,
                                           const RewriteTerm& term,
                                           size_t folder) const {
  const size_t axis = item.made->axis;
  ASSIGN_OR_RETURN(const Tensor* tensor,
                   Source(term.tensor, item.made->dtype, folder));
  const auto misfit = [&](std::vector<int64_t> wanted) {
    return Error(Code::W102, ShownPath(folders_[folder].dir()), ": tensor ",
                 Quoted(term.tensor), " has shape ", ShapeText(tensor->shape),
                 ", expected ", ShapeText(wanted));
  };
  std::vector<int64_t> wanted = item.shape;
  if (tensor->shape.size() != wanted.size()) return misfit(wanted);
  const int64_t extent = wanted[axis] = tensor->shape[axis];
  if (tensor->shape != wanted) return misfit(wanted);
  if (!term.cluster.tensor.empty()) {
    RETURN_IF_ERROR(CheckCluster(term.cluster));
    wanted[axis] = folders_[0].Find(term.cluster.tensor)->shape[0];
    if (extent != wanted[axis]) return misfit(wanted);
    return extent / term.cluster.count;
  }
  int64_t length = term.ranges.empty() ? extent : 0;
  for (const auto& [begin, count] : term.ranges) {
    wanted[axis] = begin + count;
    if (begin > extent - count) return misfit(wanted);
    if (__builtin_add_overflow(length, count, &length)) return misfit(wanted);
  }
  return length;
}

absl::Status Rewriter::CheckParts(const Item& item, size_t folder) const {
  int64_t sum = 0;
  for (const auto& terms : item.made->parts) {
    ASSIGN_OR_RETURN(const int64_t length, LengthOf(item, terms[0], folder));
    for (const RewriteTerm& term : terms) {
      ASSIGN_OR_RETURN(const int64_t other, LengthOf(item, term, folder));
      if (other != length)
        return Error(Code::W102, ShownPath(folders_[folder].dir()),
                     ": tensors ", Quoted(terms[0].tensor), " and ",
                     Quoted(term.tensor), ", to be added, differ in size");
    }
    if (__builtin_add_overflow(sum, length, &sum)) break;
  }
  const int64_t wanted = item.shape[item.made->axis];
  if (sum == wanted) return absl::OkStatus();
  return Error(Code::W102, ShownPath(folders_[folder].dir()), ": tensor ",
               Quoted(item.made->parts[0][0].tensor), " gives ", sum,
               " rows or columns, expected ", wanted);
}

absl::Status Rewriter::Check(const Item& item) const {
  const RewriteTensor& made = *item.made;
  const auto contradicts = [&](const char* what) {
    return Error(Code::M109, "the table of the rewrite contradicts itself: ",
                 Quoted(item.name), " ", what);
  };
  if (!ByteCount(made.dtype, item.shape)) return contradicts("is too large");
  if (made.kind == RewriteKind::kRandom)
    return item.shape.size() == 2 ? absl::OkStatus()
                                  : contradicts("is no matrix");
  if (made.kind == RewriteKind::kCentres) {
    RETURN_IF_ERROR(CheckCluster(made.cluster));
    const Tensor* tensor = folders_[0].Find(made.cluster.tensor);
    return item.shape == std::vector{made.cluster.count, tensor->shape[1]}
               ? absl::OkStatus()
               : contradicts("is not as large as its clusters");
  }
  const size_t last =
      made.folders == FolderUse::kMean ? folders_.size() - 1 : item.folder;
  for (size_t folder = item.folder; folder <= last; ++folder)
    RETURN_IF_ERROR(CheckParts(item, folder));
  return absl::OkStatus();
}

std::vector<std::string> Rewriter::Unused() const {
  std::set<std::string_view> used;
  for (const RewriteTensor& made : plan_.tensors)
    for (const auto& terms : made.parts)
      for (const RewriteTerm& term : terms) used.insert(term.tensor);
  std::vector<std::string> unused;
  for (const Tensor* tensor : folders_[0].tensors())
    if (!used.contains(tensor->name)) unused.push_back(tensor->name);
  return unused;
}

std::vector<ModelTensor> Rewriter::Tensors() {
  std::vector<ModelTensor> tensors;
  for (size_t i = 0; i < items_.size(); ++i)
    tensors.push_back(
        {items_[i].name, items_[i].made->dtype, items_[i].shape,
         [this, i](std::span<std::byte> out) { return Fill(i, out); }});
  return tensors;
}

absl::StatusOr<const Clusters*> Rewriter::ClustersOf(
    const ClusterSpec& cluster) {
  if (clustered_.tensor == cluster.tensor && clustered_.count == cluster.count)
    return &clusters_;
  const Tensor& tensor = *folders_[0].Find(cluster.tensor);
  const int64_t n = tensor.shape[0], width = tensor.shape[1];
  std::vector<float> rows(static_cast<size_t>(n * width));
  const auto size = static_cast<size_t>(DTypeSize(tensor.dtype));
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i] = LoadFloat(tensor.dtype, tensor.data + i * size);
    if (!std::isfinite(rows[i]))
      return Error(Code::R301, ShownPath(folders_[0].dir()), ": tensor ",
                   Quoted(cluster.tensor), " has numbers that are not finite");
  }
  clusters_ =
      BalancedClusters(std::move(rows), n, width, cluster.count, plan_.seed);
  clustered_ = cluster;
  return &clusters_;
}

absl::StatusOr<std::vector<int64_t>> Rewriter::Indices(const RewriteTerm& term,
                                                       int64_t extent) {
  if (!term.cluster.tensor.empty()) {
    ASSIGN_OR_RETURN(const Clusters* clusters, ClustersOf(term.cluster));
    return clusters->rows[static_cast<size_t>(term.pick)];
  }
  std::vector<int64_t> indices;
  const auto add = [&](int64_t begin, int64_t count) {
    for (int64_t i = 0; i < count; ++i) indices.push_back(begin + i);
  };
  if (term.ranges.empty()) add(0, extent);
  for (const auto& [begin, count] : term.ranges) add(begin, count);
  return indices;
}

absl::Status Rewriter::Combine(const Item& item, std::span<std::byte> out) {
  const RewriteTensor& made = *item.made;
  const std::span<const int64_t> shape = item.shape;
  const int64_t outer = Product(shape.first(made.axis));
  const int64_t inner = Product(shape.subspan(made.axis + 1));
  const int64_t size = DTypeSize(made.dtype);
  struct Piece {
    const Tensor* tensor;
    double weight;
    std::vector<int64_t> indices;
  };
  const bool mean = made.folders == FolderUse::kMean;
  int64_t at = 0;
  for (const auto& terms : made.parts) {
    std::vector<Piece> pieces;
    for (const RewriteTerm& term : terms)
      for (size_t f = mean ? 0 : item.folder;
           f < (mean ? folders_.size() : item.folder + 1); ++f) {
        ASSIGN_OR_RETURN(const Tensor* tensor,
                         Source(term.tensor, made.dtype, f));
        ASSIGN_OR_RETURN(std::vector<int64_t> indices,
                         Indices(term, tensor->shape[made.axis]));
        pieces.push_back({tensor, term.weight, std::move(indices)});
      }
    const auto length = static_cast<int64_t>(pieces[0].indices.size());
    const bool exact = pieces.size() == 1 && pieces[0].weight == 1;
    const double divisor = mean ? static_cast<double>(folders_.size()) : 1;
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t j = 0; j < length; ++j) {
        std::byte* to =
            out.data() + ((o * shape[made.axis] + at + j) * inner) * size;
        const auto from = [&](const Piece& piece) {
          const int64_t row = o * piece.tensor->shape[made.axis] +
                              piece.indices[static_cast<size_t>(j)];
          return piece.tensor->data + row * inner * size;
        };
        if (exact) {
          std::memcpy(to, from(pieces[0]), static_cast<size_t>(inner * size));
          continue;
        }
        for (int64_t i = 0; i < inner; ++i) {
          double sum = 0;
          for (const Piece& piece : pieces)
            sum +=
                piece.weight * LoadDouble(made.dtype, from(piece) + i * size);
          StoreDouble(made.dtype, sum / divisor, to + i * size);
        }
      }
    at += length;
  }
  return absl::OkStatus();
}

void Rewriter::Disturb(size_t ordinal, const Item& item,
                       std::span<std::byte> out) const {
  const RewriteTensor& made = *item.made;
  if (made.scale == 1 && made.noise == 0) return;
  const auto size = static_cast<size_t>(DTypeSize(made.dtype));
  const size_t count = out.size() / size;
  double square = 0;
  for (size_t i = 0; made.noise != 0 && i < count; ++i) {
    const double value = LoadDouble(made.dtype, out.data() + i * size);
    square += value * value;
  }
  const double reach =
      made.noise * std::sqrt(square / static_cast<double>(count));
  const Philox philox(plan_.seed);
  for (size_t i = 0; i < count; ++i) {
    std::byte* at = out.data() + i * size;
    double value = LoadDouble(made.dtype, at);
    if (reach != 0) value += reach * Deviate(philox, i, ordinal);
    StoreDouble(made.dtype, made.scale * value, at);
  }
}

absl::Status Rewriter::Centres(const Item& item, std::span<std::byte> out) {
  ASSIGN_OR_RETURN(const Clusters* clusters, ClustersOf(item.made->cluster));
  const auto size = static_cast<size_t>(DTypeSize(item.made->dtype));
  for (size_t i = 0; i < clusters->centres.size(); ++i)
    StoreFloat(item.made->dtype, clusters->centres[i], out.data() + i * size);
  return absl::OkStatus();
}

void Rewriter::Random(size_t ordinal, const Item& item,
                      std::span<std::byte> out) const {
  const auto size = static_cast<size_t>(DTypeSize(item.made->dtype));
  const auto columns = static_cast<size_t>(item.shape[1]);
  const auto repeat = static_cast<size_t>(item.made->repeat);
  const Philox philox(plan_.seed);
  for (size_t row = 0; row < static_cast<size_t>(item.shape[0]); ++row)
    for (size_t k = 0; k < columns; ++k)
      StoreDouble(
          item.made->dtype,
          item.made->std * Deviate(philox, row / repeat * columns + k, ordinal),
          out.data() + (row * columns + k) * size);
}

absl::Status Rewriter::Fill(size_t ordinal, std::span<std::byte> out) {
  const Item& item = items_[ordinal];
  switch (item.made->kind) {
    case RewriteKind::kRandom:
      Random(ordinal, item, out);
      return absl::OkStatus();
    case RewriteKind::kCentres:
      return Centres(item, out);
    case RewriteKind::kCombine:
      RETURN_IF_ERROR(Combine(item, out));
      Disturb(ordinal, item, out);
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

}  // namespace moe
