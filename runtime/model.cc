// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/include/moe/model.h"

#include <cstring>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/entry_call.h"
#include "runtime/generator.h"
#include "runtime/model_state.h"
#include "runtime/stepper.h"
#include "runtime/utf8.h"

namespace moe {
namespace {

constexpr int64_t kByteVocab = 256;

static_assert(static_cast<int>(ElementType::kBool) + 1 == kDTypeCount &&
              static_cast<int>(ElementType::kBF16) ==
                  static_cast<int>(DType::kBF16) &&
              static_cast<int>(ElementType::kI32) ==
                  static_cast<int>(DType::kI32));

bool IsDense(const ArrayView& array) {
  int64_t step = 1;
  for (size_t i = array.shape.size(); i-- > 0; step *= array.shape[i])
    if (array.shape[i] != 1 && array.strides[i] != step) return false;
  return true;
}

// The elements of a strided array in row-major order.
std::vector<std::byte> Gather(const ArrayView& array) {
  const auto size = static_cast<int64_t>(SizeOf(array.type));
  const int64_t count = ElementCount(array.shape).value_or(0);
  std::vector<std::byte> dense(static_cast<size_t>(count * size));
  std::vector<int64_t> index(array.shape.size());
  for (int64_t i = 0; i < count; ++i) {
    int64_t at = 0;
    for (size_t d = 0; d < index.size(); ++d) at += index[d] * array.strides[d];
    std::memcpy(dense.data() + i * size,
                static_cast<const std::byte*>(array.data) + at * size,
                static_cast<size_t>(size));
    for (size_t d = index.size(); d-- > 0 && ++index[d] == array.shape[d];)
      index[d] = 0;
  }
  return dense;
}

absl::StatusOr<std::vector<TensorView>> ToTensors(
    std::span<const NamedArray> arrays,
    std::vector<std::vector<std::byte>>& keep) {
  std::vector<TensorView> tensors;
  for (const auto& [name, array] : arrays) {
    if (!array.strides.empty() && array.strides.size() != array.shape.size())
      return Error(Code::R205, "input ", Quoted(name), " has ",
                   array.shape.size(), " extents and ", array.strides.size(),
                   " strides");
    if (!ElementCount(array.shape))
      return Error(Code::R205, "input ", Quoted(name),
                   " has extents out of range");
    const void* data = array.data;
    if (!array.strides.empty() && !IsDense(array)) {
      keep.push_back(Gather(array));
      data = keep.back().data();
    }
    tensors.push_back(
        {name, static_cast<DType>(array.type), array.shape, data});
  }
  return tensors;
}

}  // namespace

size_t SizeOf(ElementType type) {
  return static_cast<size_t>(DTypeSize(static_cast<DType>(type)));
}

const ArrayView* Outputs::find(std::string_view name) const {
  for (const NamedArray& named : arrays)
    if (named.name == name) return &named.array;
  return nullptr;
}

struct Session::State {
  std::shared_ptr<const Model::State> model;
  SessionOptions options;
  std::unique_ptr<Stepper> stepper;  // made when first needed
  std::optional<EntryCall> call;     // the last, whose outputs are still read

  const Engine& engine() const { return *model->engine; }

  absl::StatusOr<Stepper*> GetStepper() {
    if (!stepper) {
      const StepperOptions wanted = {
          .kv = {.slots = options.max_batch,
                 .tokens_per_slot = options.max_tokens,
                 .page_length = options.page_length},
          .max_tokens = options.max_step_tokens};
      ASSIGN_OR_RETURN(stepper, Stepper::Create(engine(), wanted));
    }
    return stepper.get();
  }
};

Model::Model(std::shared_ptr<const State> state) : state_(std::move(state)) {}

Result<Model> Model::load(const std::string& path, const LoadOptions& options) {
  return Guarded<Model>([&]() -> absl::StatusOr<Model> {
    if (options.device != "cpu")
      return Error(Code::D102, "no device ", Quoted(options.device), " here");
    EngineOptions wanted = {.threads = options.threads};
    if (!options.isa.empty()) {
      wanted.isa = IsaFromName(options.isa);
      if (!wanted.isa)
        return Error(Code::U103, "unknown ISA level ", Quoted(options.isa));
    }
    auto state = std::make_shared<State>();
    ASSIGN_OR_RETURN(state->engine, Engine::Open(path, wanted));
    if (options.random_weights) {
      RETURN_IF_ERROR(
          state->engine->MakeRandomWeights(*options.random_weights));
    } else if (!options.weights.empty()) {
      RETURN_IF_ERROR(state->engine->LoadWeights(options.weights));
    }
    return Model(std::move(state));
  });
}

Result<Session> Model::session(const SessionOptions& options) const {
  return Guarded<Session>([&]() -> absl::StatusOr<Session> {
    if (options.max_batch < 1 || options.max_tokens < 1 ||
        options.max_step_tokens < 1 || options.page_length < 0)
      return Error(Code::U103, "a session needs room for at least one ",
                   "sequence and one token");
    auto state = std::make_unique<Session::State>();
    state->model = state_;
    state->options = options;
    return Session(std::move(state));
  });
}

const std::string& Model::name() const {
  return state_->engine->manifest().name;
}

int64_t Model::vocab_size() const {
  const std::optional<ModelSpec>& model = state_->engine->manifest().model;
  return model ? model->vocab_size : 0;
}

std::vector<std::string> Model::entries() const {
  std::vector<std::string> names;
  for (const EntrySpec& entry : state_->engine->manifest().entries)
    names.push_back(entry.name);
  return names;
}

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

Result<Outputs> Session::call(std::string_view entry,
                              std::span<const NamedArray> inputs) {
  return Guarded<Outputs>([&]() -> absl::StatusOr<Outputs> {
    std::vector<std::vector<std::byte>> keep;
    ASSIGN_OR_RETURN(const std::vector<TensorView> tensors,
                     ToTensors(inputs, keep));
    ASSIGN_OR_RETURN(EntryCall call,
                     EntryCall::Prepare(state_->engine(), entry, tensors));
    if (!call.unused().empty())
      return Error(Code::R205, "entry ", Quoted(entry), " has no input ",
                   Quoted(call.unused().front()));
    RETURN_IF_ERROR(call.Run());
    state_->call.emplace(std::move(call));
    Outputs outputs;
    for (const TensorView& out : state_->call->outputs())
      outputs.arrays.push_back(
          {out.name,
           {out.data, static_cast<ElementType>(out.dtype), out.shape}});
    return outputs;
  });
}

Result<Generation> Session::generate(std::span<const int32_t> prompt,
                                     const GenerateOptions& options,
                                     const OnToken& on_token) {
  return Guarded<Generation>([&]() -> absl::StatusOr<Generation> {
    ASSIGN_OR_RETURN(Stepper* const stepper, state_->GetStepper());
    const GenerateRequest request = {
        .max_new_tokens = options.max_new_tokens,
        .sampling = {.temperature = options.temperature,
                     .top_p = options.top_p,
                     .top_k = options.top_k,
                     .seed = options.seed},
        .stop_at_eos = options.stop_at_eos};
    const bool bytes = stepper->vocab_size() == kByteVocab;
    Utf8Stream utf8;
    Generation generation;
    const auto hear = [&](int32_t id) {
      const char byte = static_cast<char>(id);
      const size_t before = generation.text.size();
      if (bytes) utf8.Push({&byte, 1}, &generation.text);
      return !on_token ||
             on_token({id, std::string_view(generation.text).substr(before)});
    };
    ASSIGN_OR_RETURN(Generated out, Generate(*stepper, prompt, request, hear));
    utf8.Finish(&generation.text);
    generation.ids = std::move(out.ids);
    generation.stop = out.stop;
    generation.first_seconds = out.first_seconds;
    generation.rest_seconds = out.rest_seconds;
    return generation;
  });
}

Result<Generation> Session::generate(std::string_view prompt,
                                     const GenerateOptions& options,
                                     const OnToken& on_token) {
  const std::optional<ModelSpec>& model = state_->engine().manifest().model;
  if (!model || model->vocab_size != kByteVocab)
    return ToFailure(Error(Code::T102, "a text prompt needs a model of bytes; ",
                           "give token ids"));
  std::vector<int32_t> ids;
  for (char c : prompt) ids.push_back(static_cast<uint8_t>(c));
  return generate(std::span<const int32_t>(ids), options, on_token);
}

Result<int32_t> Session::join() {
  return Guarded<int32_t>([&]() -> absl::StatusOr<int32_t> {
    ASSIGN_OR_RETURN(Stepper* const stepper, state_->GetStepper());
    return stepper->Join();
  });
}

void Session::leave(int32_t sequence) {
  if (state_->stepper && state_->stepper->Holds(sequence))
    state_->stepper->Leave(sequence);
}

Result<std::monostate> Session::step(std::span<const Chunk> chunks) {
  return Guarded<std::monostate>([&]() -> absl::StatusOr<std::monostate> {
    ASSIGN_OR_RETURN(Stepper* const stepper, state_->GetStepper());
    RETURN_IF_ERROR(stepper->Step(chunks));
    return std::monostate();
  });
}

std::span<const float> Session::logits(size_t i) const {
  if (!state_->stepper) return {};
  return state_->stepper->Logits(i);
}

}  // namespace moe
