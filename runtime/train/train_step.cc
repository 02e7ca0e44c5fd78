// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/train/train_step.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/token_ids.h"

namespace moe {
namespace {

constexpr char kGrad[] = "grad.";
constexpr int kHyper = 8;

Dims MostDims(const TrainSizes& sizes) {
  return {sizes.max_tokens, sizes.max_rows, sizes.Longest(), 0, 0, 0,
          sizes.max_tokens};
}

const ParamSpec* FindParam(const Manifest& manifest, std::string_view name) {
  for (const ParamSpec& param : manifest.params)
    if (param.name == name) return &param;
  return nullptr;
}

int64_t Elements(const ParamSpec& param) {
  return param.layers * param.groups * param.n * param.k;
}

// Parameters with a gradient, and the elements of all of them.
absl::StatusOr<std::vector<const ParamSpec*>> TrainedParams(
    const Manifest& manifest, const std::string& gradient) {
  ASSIGN_OR_RETURN(const EntrySpec* grad, manifest.GetEntry(gradient));
  std::vector<const ParamSpec*> params;
  for (const BufferSpec& buffer : grad->buffers) {
    if (buffer.role != BufferRole::kOutput || !buffer.name.starts_with(kGrad))
      continue;
    const ParamSpec* param = FindParam(
        manifest, std::string_view(buffer.name).substr(sizeof kGrad - 1));
    std::vector<int64_t> shape;
    for (const Extent& extent : buffer.shape)
      shape.push_back(extent.dim == Extent::kConstant ? extent.add : -1);
    if (param == nullptr || buffer.dtype != DType::kF32 ||
        ElementCount(shape) != Elements(*param) ||
        param->format != ParamFormat::kRaw)
      return Error(Code::M109, "entry ", Quoted(gradient), " gives ",
                   Quoted(buffer.name),
                   ", which is no gradient of a parameter. Compile the model "
                   "again.");
    params.push_back(param);
  }
  return params;
}

bool HasMaster(const ParamSpec& param) { return param.dtype != DType::kF32; }

// Floats of moments and master copies.
int64_t OptimizerFloats(const std::vector<const ParamSpec*>& params) {
  int64_t floats = 0;
  for (const ParamSpec* param : params)
    floats += Elements(*param) * (HasMaster(*param) ? 3 : 2);
  return floats;
}

}  // namespace

int64_t CountTargets(std::span<const TrainRow> rows) {
  int64_t count = 0;
  for (const TrainRow& row : rows)
    count += std::count_if(row.targets.begin(), row.targets.end(),
                           [](int32_t target) { return target >= 0; });
  return count;
}

TrainStep::TrainStep(Engine& engine, const TrainSizes& sizes, BoundEntry grad,
                     BoundEntry norm, BoundEntry update)
    : engine_(&engine),
      sizes_(sizes),
      grad_(std::move(grad)),
      norm_(std::move(norm)),
      update_(std::move(update)),
      batch_(std::make_unique<Batch>()),
      hyper_(std::make_unique<float[]>(kHyper)) {}

absl::StatusOr<int64_t> TrainStep::PlanBytes(const Module& module,
                                             const TrainSizes& sizes) {
  ASSIGN_OR_RETURN(const auto params,
                   TrainedParams(module.manifest(), sizes.gradient));
  int64_t bytes = OptimizerFloats(params) * 4;
  for (const std::string& name :
       {sizes.gradient, std::string("eval_step"), std::string("grad_norm"),
        std::string("update")}) {
    if (name == "eval_step" && !sizes.evaluates) continue;
    ASSIGN_OR_RETURN(const EntryMemory memory,
                     PlanEntry(module, name, MostDims(sizes)));
    // The results of an update lie where its operands do.
    const int64_t own =
        memory.workspace + (name == "update" ? 0 : memory.outputs);
    if (__builtin_add_overflow(bytes, own, &bytes))
      return Error(Code::R101, "a step would need more than any memory");
  }
  return bytes;
}

absl::StatusOr<TrainStep> TrainStep::Create(Engine& engine,
                                            const TrainSizes& sizes) {
  const Manifest& manifest = engine.manifest();
  if (!manifest.FindEntry(sizes.gradient) || !manifest.FindEntry("update") ||
      !manifest.model)
    return Error(Code::U108, "the module cannot train: compile the model ",
                 "with --entries train");
  const Dims most = MostDims(sizes);
  ASSIGN_OR_RETURN(BoundEntry grad,
                   BoundEntry::Bind(engine, sizes.gradient, most));
  ASSIGN_OR_RETURN(BoundEntry norm,
                   BoundEntry::Bind(engine, "grad_norm", most));
  ASSIGN_OR_RETURN(
      BoundEntry update,
      BoundEntry::Bind(engine, "update", most, BoundEntry::Outputs::kGiven));
  TrainStep step(engine, sizes, std::move(grad), std::move(norm),
                 std::move(update));
  RETURN_IF_ERROR(step.CollectParams());
  ASSIGN_OR_RETURN(step.loads_, ExpertLoads(step.grad_, step.model()));
  ASSIGN_OR_RETURN(step.states_, RouterStates(step.grad_, engine));
  RETURN_IF_ERROR(step.Connect());
  return step;
}

absl::Status TrainStep::CollectParams() {
  ASSIGN_OR_RETURN(const auto specs,
                   TrainedParams(engine_->manifest(), sizes_.gradient));
  ASSIGN_OR_RETURN(
      moments_,
      AnonymousMemory::Allocate(OptimizerFloats(specs) * 4, "optimizer state"));
  float* next = reinterpret_cast<float*>(moments_.data());
  const auto take = [&](int64_t elements) {
    return std::exchange(next, next + elements);
  };
  for (const ParamSpec* spec : specs) {
    TrainedParam param{spec, Elements(*spec)};
    std::byte* stored = engine_->MutableWeights(*spec);
    param.m = take(param.elements);
    param.v = take(param.elements);
    param.weights = HasMaster(*spec) ? take(param.elements)
                                     : reinterpret_cast<float*>(stored);
    if (HasMaster(*spec))
      for (int64_t i = 0; i < param.elements; ++i)
        param.weights[i] =
            LoadFloat(spec->dtype, stored + i * DTypeSize(spec->dtype));
    const std::string name = kGrad + spec->name;
    param.gradient = static_cast<float*>(grad_.OutputData(name));
    const std::string kind = HasMaster(*spec) ? "master." : "param.";
    RETURN_IF_ERROR(norm_.SetInput(name, param.gradient));
    RETURN_IF_ERROR(update_.SetInput(name, param.gradient));
    RETURN_IF_ERROR(update_.SetInPlace(kind + spec->name, param.weights));
    RETURN_IF_ERROR(update_.SetInPlace("m." + spec->name, param.m));
    RETURN_IF_ERROR(update_.SetInPlace("v." + spec->name, param.v));
    if (HasMaster(*spec))
      RETURN_IF_ERROR(update_.SetInPlace("param." + spec->name, stored));
    params_.push_back(param);
  }
  return absl::OkStatus();
}

absl::Status TrainStep::ConnectBatch(BoundEntry& entry) {
  RETURN_IF_ERROR(entry.SetInput("ids", batch_->ids.data()));
  RETURN_IF_ERROR(entry.SetInput("positions", batch_->positions.data()));
  RETURN_IF_ERROR(entry.SetInput("cu_seqlens", batch_->cu_seqlens.data()));
  RETURN_IF_ERROR(entry.SetInput("targets", batch_->targets.data()));
  RETURN_IF_ERROR(entry.SetInput("loss_weight", &batch_->loss_weight));
  RETURN_IF_ERROR(entry.SetInput("aux_weight", &batch_->aux_weight));
  if (entry.spec().FindBuffer("key") >= 0)
    RETURN_IF_ERROR(entry.SetInput("key", batch_->key));
  for (const char* name : {"objective", "loss", "aux_loss"})
    RETURN_IF_ERROR(entry.CheckOutput(name, DType::kF32, {}));
  return entry.CheckInputsSet();
}

absl::Status TrainStep::Connect() {
  batch_->ids.resize(static_cast<size_t>(sizes_.max_tokens));
  batch_->targets.resize(batch_->ids.size());
  batch_->positions.resize(batch_->ids.size());
  batch_->cu_seqlens.resize(static_cast<size_t>(sizes_.max_rows) + 1);
  RETURN_IF_ERROR(ConnectBatch(grad_));
  RETURN_IF_ERROR(update_.SetInput("hyper", hyper_.get()));
  RETURN_IF_ERROR(norm_.CheckOutput("sum_squares", DType::kF32, {}));
  RETURN_IF_ERROR(norm_.CheckInputsSet());
  return update_.CheckInputsSet();
}

absl::StatusOr<Dims> TrainStep::Fill(std::span<const TrainRow> rows,
                                     int64_t targets, double aux_weight) {
  Batch& batch = *batch_;
  const ModelSpec& model = this->model();
  if (rows.empty() || rows.size() >= batch.cu_seqlens.size())
    return Error(Code::R203, "a batch of ", rows.size(), " rows; 1 to ",
                 batch.cu_seqlens.size() - 1, " were asked for");
  size_t at = 0, longest = 0;
  for (size_t b = 0; b < rows.size(); ++b) {
    const TrainRow& row = rows[b];
    RETURN_IF_ERROR(CheckIds(row.ids, model.vocab_size, "a row"));
    RETURN_IF_ERROR(CheckLength(static_cast<int64_t>(row.ids.size()),
                                model.max_positions, "a row"));
    if (static_cast<int64_t>(row.ids.size()) > sizes_.Longest())
      return Error(Code::R203, "a row of ", row.ids.size(), " tokens; ",
                   sizes_.Longest(), " were asked for");
    if (row.ids.size() > batch.ids.size() - at)
      return Error(Code::R203, "a batch of more than ", batch.ids.size(),
                   " tokens, which is what was asked for");
    if (row.targets.size() != row.ids.size())
      return Error(Code::R203, "a row of ", row.ids.size(), " tokens and ",
                   row.targets.size(), " targets");
    batch.cu_seqlens[b] = static_cast<int32_t>(at);
    for (size_t i = 0; i < row.ids.size(); ++i, ++at) {
      if (row.targets[i] >= model.vocab_size)
        return Error(Code::R202, "a row has the target ", row.targets[i],
                     ", but the vocabulary has ", model.vocab_size);
      batch.ids[at] = row.ids[i];
      batch.targets[at] = std::max(row.targets[i], -1);
      batch.positions[at] = static_cast<int32_t>(i);
    }
    longest = std::max(longest, row.ids.size());
  }
  batch.cu_seqlens[rows.size()] = static_cast<int32_t>(at);
  batch.loss_weight = 1.0f / static_cast<float>(std::max<int64_t>(targets, 1));
  batch.aux_weight = static_cast<float>(aux_weight);
  const auto tokens = static_cast<int64_t>(at);
  return Dims{tokens,
              static_cast<int64_t>(rows.size()),
              static_cast<int64_t>(longest),
              0,
              0,
              0,
              tokens};
}

absl::StatusOr<StepLoss> TrainStep::Run(BoundEntry& entry, const Dims& dims) {
  RETURN_IF_ERROR(entry.Run(dims));
  return StepLoss{*entry.Output<float>("loss"),
                  *entry.Output<float>("aux_loss")};
}

absl::Status TrainStep::CheckAdds() const {
  if (states_.empty()) return absl::OkStatus();
  return Error(Code::U104, "routers of the module update a state from the ",
               "tokens of a whole step: passes of a step cannot be added up");
}

absl::StatusOr<StepLoss> TrainStep::Backward(std::span<const TrainRow> rows,
                                             int64_t targets, double aux_weight,
                                             bool add) {
  ASSIGN_OR_RETURN(const Dims dims, Fill(rows, targets, aux_weight));
  if (add) RETURN_IF_ERROR(CheckAdds());
  int64_t& before = batch_->tokens;
  if (!add) before = 0;
  batch_->key[4] = static_cast<int32_t>(before);
  batch_->key[5] = static_cast<int32_t>(before >> 32);
  before += batch_->cu_seqlens[rows.size()];
  if (add) RETURN_IF_ERROR(Accumulate(false));
  ASSIGN_OR_RETURN(const StepLoss loss, Run(grad_, dims));
  if (add) RETURN_IF_ERROR(Accumulate(true));
  return loss;
}

absl::StatusOr<StepLoss> TrainStep::Evaluate(std::span<const TrainRow> rows,
                                             int64_t targets) {
  if (!eval_) {
    ASSIGN_OR_RETURN(BoundEntry eval,
                     BoundEntry::Bind(*engine_, "eval_step", MostDims(sizes_)));
    RETURN_IF_ERROR(ConnectBatch(eval));
    eval_ = std::move(eval);
  }
  ASSIGN_OR_RETURN(const Dims dims, Fill(rows, targets, 0));
  return Run(*eval_, dims);
}

// Sets the gradients aside, or adds to them what was set aside.
absl::Status TrainStep::Accumulate(bool add) {
  int64_t all = 0;
  for (const TrainedParam& param : params_) all += param.elements;
  if (sums_.size() == 0) {
    ASSIGN_OR_RETURN(sums_,
                     AnonymousMemory::Allocate(all * 4, "sums of gradients"));
  }
  float* sums = reinterpret_cast<float*>(sums_.data());
  for (const TrainedParam& param : params_) {
    engine_->pool().ParallelFor(
        param.elements, 65536, [&](int64_t begin, int64_t end) {
          if (!add)
            std::memcpy(sums + begin, param.gradient + begin,
                        static_cast<size_t>(end - begin) * 4);
          else
            for (int64_t i = begin; i < end; ++i)
              param.gradient[i] = sums[i] + param.gradient[i];
        });
    sums += param.elements;
  }
  return absl::OkStatus();
}

absl::StatusOr<double> TrainStep::GradientNorm() {
  RETURN_IF_ERROR(norm_.Run({}));
  return std::sqrt(static_cast<double>(*norm_.Output<float>("sum_squares")));
}

void TrainStep::SetRandom(uint64_t seed, int64_t step) {
  batch_->key[0] = static_cast<int32_t>(seed);
  batch_->key[1] = static_cast<int32_t>(seed >> 32);
  batch_->key[2] = static_cast<int32_t>(step);
}

absl::Status TrainStep::Update(const AdamwOptions& options, int64_t number,
                               float scale) {
  const double beta1 = options.beta1, beta2 = options.beta2;
  const auto steps = static_cast<double>(number);
  const float hyper[kHyper] = {options.lr,
                               options.beta1,
                               options.beta2,
                               options.eps,
                               options.weight_decay,
                               static_cast<float>(1 - std::pow(beta1, steps)),
                               static_cast<float>(1 - std::pow(beta2, steps)),
                               scale};
  std::copy_n(hyper, kHyper, hyper_.get());
  RETURN_IF_ERROR(update_.Run({}));
  for (const RouterState& state : states_)
    std::memcpy(state.weights, state.next, state.bytes);
  return absl::OkStatus();
}

}  // namespace moe
