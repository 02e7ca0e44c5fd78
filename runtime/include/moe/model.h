// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Runs modules made by moe-compile from C++.
//
//   auto model = moe::Model::load("out.moe", {.weights = "DIR", .threads = 2});
//   if (!model) return fail(model.error().message());
//   auto session = model->session({.max_batch = 4, .max_tokens = 2048});
//   auto out = session->call("score", {{"ids", ids}});
//   session->generate("ROMEO:", {.max_new_tokens = 64},
//                     [](const moe::Token& token) {
//                       std::cout << token.text;
//                       return true;
//                     });
//
// A module compiled with --entries train learns:
//
//   auto trainer = model->trainer({.learning_rate = 3e-4});
//   auto step = trainer->step(batch);  // rows of token ids
//   trainer->save("RUN");              // a checkpoint, RUN/step-1
//
// Standard types only; errors are values; nothing throws and nothing is global.
// A module holds native code: loading one means trusting whoever made it.

#ifndef MOE_MODEL_H_
#define MOE_MODEL_H_

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace moe {

// Why something did not work.
class Failure {
 public:
  Failure(std::string code, std::string message, int exit_code)
      : code_(std::move(code)),
        message_(std::move(message)),
        exit_code_(exit_code) {}

  // "MOE-W101"; `moe-run explain MOE-W101` prints its page.
  const std::string& code() const { return code_; }
  // One line without control characters.
  const std::string& message() const { return message_; }
  // What a program should exit with: 2 usage, 3 bad input file, 4 not enough
  // memory, 5 unsupported, 7 numerics, 70 a bug of ours, else 1.
  int exit_code() const { return exit_code_; }

 private:
  std::string code_, message_;
  int exit_code_;
};

// A T, or why there is none.
template <typename T>
class Result {
 public:
  Result(T value) : state_(std::move(value)) {}
  Result(Failure failure) : state_(std::move(failure)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  // Only if ok().
  T& operator*() & { return *std::get_if<0>(&state_); }
  const T& operator*() const& { return *std::get_if<0>(&state_); }
  T&& operator*() && { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }
  // Only if not ok().
  const Failure& error() const { return *std::get_if<1>(&state_); }

 private:
  std::variant<T, Failure> state_;
};

enum class ElementType : uint8_t {
  kF64,
  kF32,
  kF16,
  kBF16,
  kF8E4M3,
  kF8E5M2,
  kI64,
  kI32,
  kI16,
  kI8,
  kU64,
  kU32,
  kU16,
  kU8,
  kBool,
};

// Bytes of one element.
size_t SizeOf(ElementType type);

// Elements that belong to somebody else.
struct ArrayView {
  const void* data = nullptr;
  ElementType type = ElementType::kF32;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  // in elements; empty stands for row-major

  ArrayView() = default;
  ArrayView(const void* elements, ElementType element_type,
            std::vector<int64_t> extents, std::vector<int64_t> steps = {})
      : data(elements),
        type(element_type),
        shape(std::move(extents)),
        strides(std::move(steps)) {}
  ArrayView(const std::vector<int32_t>& values)
      : ArrayView(values.data(), ElementType::kI32,
                  {static_cast<int64_t>(values.size())}) {}
  ArrayView(const std::vector<float>& values)
      : ArrayView(values.data(), ElementType::kF32,
                  {static_cast<int64_t>(values.size())}) {}

  // The elements as T, which must be what they are. Dense arrays only.
  template <typename T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
};

struct NamedArray {
  std::string name;
  ArrayView array;
};

// What a call gave: dense arrays that stay valid until the next call of the
// session.
struct Outputs {
  std::vector<NamedArray> arrays;

  // Null if there is no output of that name.
  const ArrayView* find(std::string_view name) const;
};

struct LoadOptions {
  std::string weights = {};    // Hugging Face folder
  std::string device = "cpu";  // the only one there is here
  int threads = 0;             // 0: every processor the process may use
  std::optional<uint64_t> random_weights = {};  // a seed, instead of a folder
  std::string isa = {};  // "x86-64-v3", "x86-64-v4", "amx"; empty: the best
};

struct SessionOptions {
  int64_t max_batch = 1;          // sequences at one time
  int64_t max_tokens = 2048;      // of each sequence, new ones included
  int64_t max_step_tokens = 512;  // new tokens in one step
  int64_t page_length = 0;        // tokens in a cache page; 0: one page each
};

struct GenerateOptions {
  int64_t max_new_tokens = 64;
  double temperature = 0;  // 0: the likeliest token
  double top_p = 1;
  int64_t top_k = 0;  // 0: all
  uint64_t seed = 0;
  bool stop_at_eos = true;
};

// One new token, as it comes.
struct Token {
  int32_t id = 0;
  // What it completes, in valid UTF-8; empty while a character is incomplete,
  // and always for models whose tokens are not bytes. Valid during the call.
  std::string_view text;
};

enum class StopReason { kLength, kEos, kCallback };

struct Generation {
  std::vector<int32_t> ids;  // new ones only
  std::string text;          // the same as valid UTF-8; as Token::text
  StopReason stop = StopReason::kLength;
  double first_seconds = 0;  // until the first new token
  double rest_seconds = 0;   // from there to the end
};

// New tokens of one sequence in a step.
struct Chunk {
  int32_t sequence = 0;
  std::span<const int32_t> ids = {};
};

// Memory in which a model runs. Not thread-safe; several sessions of one model
// may run on several threads. Movable; keeps its model alive.
class Session {
 public:
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  // Runs an entry that needs no cache, by name. "positions" and "cu_seqlens"
  // may be left out: then the tokens are one sequence.
  Result<Outputs> call(std::string_view entry,
                       std::span<const NamedArray> inputs);
  Result<Outputs> call(std::string_view entry,
                       std::initializer_list<NamedArray> inputs) {
    return call(entry, std::span(inputs.begin(), inputs.size()));
  }

  // Continues a prompt in a sequence of its own, which has ended when this
  // returns. |on_token| (may be empty) sees each token at once and ends the
  // text by returning false. Text prompts are for models of bytes.
  using OnToken = std::function<bool(const Token&)>;
  Result<Generation> generate(std::span<const int32_t> prompt,
                              const GenerateOptions& options = {},
                              const OnToken& on_token = {});
  Result<Generation> generate(std::string_view prompt,
                              const GenerateOptions& options = {},
                              const OnToken& on_token = {});

  // For servers: sequences that join and leave, each with the logits it would
  // have alone. A step appends to several at a time and allocates nothing.
  Result<int32_t> join();
  void leave(int32_t sequence);
  Result<std::monostate> step(std::span<const Chunk> chunks);
  // After the last token of the |i|-th chunk of the last step.
  std::span<const float> logits(size_t i) const;

 private:
  friend class Model;
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct TrainerOptions {
  double learning_rate = 1e-3;  // the largest
  double min_learning_rate = 0;
  int64_t warmup_steps = 0;  // of linear rise
  // A half wave from the largest to the smallest ends here; 0: no fall.
  int64_t schedule_steps = 0;
  double weight_decay = 0.1;  // of matrices
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double clip_norm = 1;          // of all gradients together; 0: any
  double router_losses = 1;      // what the losses of routers count
  int64_t max_tokens = 4096;     // of a backward pass
  int64_t max_rows = 64;         // of a step
  int64_t passes = 1;            // backward passes that a step is split into
  uint64_t seed = 1;             // of weights, where none were loaded
  std::string resume_from = {};  // a folder RUN or RUN/step-N, whose weights
                                 // are loaded if none were
};

// A sequence to learn. targets[i] is the token behind ids[i], or -1 where none
// is asked for; empty: each id is the target of the one before it.
struct TrainingRow {
  std::span<const int32_t> ids = {};
  std::span<const int32_t> targets = {};
};

// Tokens that each expert of a layer got.
struct ExpertTokens {
  int64_t layer = 0;
  std::vector<int64_t> tokens;
};

struct TrainingStep {
  int64_t step = 0;     // how many are done
  double loss = 0;      // mean cross-entropy of all targets, in nats
  double aux_loss = 0;  // of routers
  double gradient_norm = 0;
  double learning_rate = 0;
  bool skipped = false;   // a number was not finite: nothing was updated
  std::string first_bad;  // the first tensor that had one
  std::vector<ExpertTokens> experts;
};

// Steps of AdamW over the weights of a model, which they change: no session of
// the model may run during a step. Not thread-safe. Movable; keeps its model
// alive. What steps do is a function of weights, rows and options alone.
class Trainer {
 public:
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;
  ~Trainer();

  // One step. A failure with exit code 7 once five in a row gave numbers that
  // are not finite.
  Result<TrainingStep> step(std::span<const TrainingRow> rows);
  Result<TrainingStep> step(const std::vector<std::vector<int32_t>>& rows);
  // Mean cross-entropy, in nats.
  Result<double> evaluate(std::span<const TrainingRow> rows);
  Result<double> evaluate(const std::vector<std::vector<int32_t>>& rows);
  // Steps done, those before a resume included.
  int64_t steps() const;
  // Writes RUN/step-N, which is complete or does not exist, and gives its path.
  // `moe-run export` makes a Hugging Face folder of it.
  Result<std::string> save(const std::string& run);

 private:
  friend class Model;
  struct State;
  explicit Trainer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// A module with its weights. Cheap to copy; copies share everything. Safe to
// use from several threads.
class Model {
 public:
  static Result<Model> load(const std::string& path,
                            const LoadOptions& options = {});

  Result<Session> session(const SessionOptions& options = {}) const;

  // For a module compiled with --entries train; one at a time, and on one
  // thread. Weights that were not loaded are made.
  Result<Trainer> trainer(const TrainerOptions& options = {}) const;

  const std::string& name() const;
  // 0 for modules of functions without a model.
  int64_t vocab_size() const;
  std::vector<std::string> entries() const;

 private:
  friend class Session;
  friend class Trainer;
  struct State;
  explicit Model(std::shared_ptr<const State> state);
  std::shared_ptr<const State> state_;
};

}  // namespace moe

#endif  // MOE_MODEL_H_
