// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// moe-run generate: continues a prompt.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/generator.h"
#include "runtime/memory_plan.h"
#include "runtime/memory_stats.h"
#include "runtime/token_ids.h"
#include "runtime/utf8.h"
#include "tools/run/command.h"

namespace moe::run {
namespace {

constexpr int64_t kByteVocab = 256;
constexpr int64_t kMaxStepTokens = 512;

struct GenerateFlags {
  CommonFlags common;
  std::string prompt, ids;
  bool has_prompt = false, has_ids = false;
  GenerateRequest request = {.max_new_tokens = 64};
  int64_t kv_tokens = 0, page_length = 0;
};

absl::StatusOr<std::vector<int32_t>> PromptIds(const GenerateFlags& flags,
                                               const ModelSpec& model) {
  if (flags.has_ids) return ParseIds(flags.ids);
  if (!flags.has_prompt)
    return Error(Code::U102, "give --prompt TEXT or --ids 1,2,3");
  if (model.vocab_size != kByteVocab)
    return Error(Code::T102, "--prompt needs a model of bytes; this one has ",
                 model.vocab_size, " tokens. Give --ids 1,2,3.");
  if (flags.prompt.empty())
    return Error(Code::U103, "--prompt: the text is empty");
  std::vector<int32_t> ids;
  for (char c : flags.prompt) ids.push_back(static_cast<uint8_t>(c));
  return ids;
}

std::string TextOf(const std::vector<int32_t>& ids, const ModelSpec& model) {
  std::string bytes;
  if (model.vocab_size == kByteVocab)
    for (int32_t id : ids) bytes.push_back(static_cast<char>(id));
  return ToValidUtf8(bytes);
}

// Shows tokens as they come: text where the model speaks bytes, else ids.
class Stream {
 public:
  explicit Stream(const ModelSpec& model)
      : bytes_(model.vocab_size == kByteVocab),
        terminal_(isatty(STDOUT_FILENO) == 1) {}

  absl::Status Push(int32_t id) {
    if (!bytes_) {
      const std::string text = Joined(first_ ? "" : " ", id);
      first_ = false;
      return Print(text);
    }
    const char byte = static_cast<char>(id);
    std::string text;
    utf8_.Push({&byte, 1}, &text);
    return Show(text);
  }

  absl::Status Finish() {
    std::string text;
    utf8_.Finish(&text);
    RETURN_IF_ERROR(Show(text));
    return Print("\n");
  }

 private:
  absl::Status Show(const std::string& text) {
    if (text.empty()) return absl::OkStatus();
    return Print(terminal_ ? WithoutControls(text) : text);
  }

  bool bytes_, terminal_;
  bool first_ = true;
  Utf8Stream utf8_;
};

StepperOptions SessionSize(const GenerateFlags& flags, size_t prompt) {
  const auto tokens = static_cast<int64_t>(prompt);
  const int64_t wanted =
      flags.kv_tokens > 0
          ? flags.kv_tokens
          : tokens + std::max<int64_t>(flags.request.max_new_tokens, 1);
  return {.kv = {.tokens_per_slot = wanted, .page_length = flags.page_length},
          .max_tokens = std::min(tokens, kMaxStepTokens)};
}

double TokensPerSecond(const Generated& out) {
  const auto count = static_cast<double>(out.ids.size());
  // The first token belongs to the prompt's step.
  if (count > 1 && out.rest_seconds > 0) return (count - 1) / out.rest_seconds;
  return out.first_seconds > 0 ? count / out.first_seconds : 0;
}

absl::Status TellJson(const Generated& out, const ModelSpec& model,
                      size_t prompt) {
  return PrintJson({{"ids", out.ids},
                    {"text", TextOf(out.ids, model)},
                    {"stop", out.stop == StopReason::kEos ? "eos" : "length"},
                    {"prompt_tokens", prompt},
                    {"ttft_ms", out.first_seconds * 1e3},
                    {"tokens_per_s", TokensPerSecond(out)},
                    {"peak_bytes", PeakBytes()}});
}

absl::Status RunGenerate(const GenerateFlags& flags) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                   OpenEngine(flags.common));
  ASSIGN_OR_RETURN(const ModelSpec* model, GetModel(*engine));
  ASSIGN_OR_RETURN(const std::vector<int32_t> prompt, PromptIds(flags, *model));
  const StepperOptions options = SessionSize(flags, prompt.size());
  RETURN_IF_ERROR(
      CheckRequest(*model, options.kv.tokens_per_slot, prompt, flags.request));
  ASSIGN_OR_RETURN(const int64_t limit, MaxMemory(flags.common));
  ASSIGN_OR_RETURN(const MemoryPlan plan,
                   PlanGenerate(engine->module(), options));
  RETURN_IF_ERROR(CheckFits(plan, limit));
  RETURN_IF_ERROR(LoadWeights(*engine, flags.common));
  ASSIGN_OR_RETURN(const std::unique_ptr<Stepper> stepper,
                   Stepper::Create(*engine, options));
  if (flags.common.output == "json") {
    ASSIGN_OR_RETURN(const Generated out,
                     Generate(*stepper, prompt, flags.request));
    return TellJson(out, *model, prompt.size());
  }
  Stream stream(*model);
  absl::Status printed;
  ASSIGN_OR_RETURN(const Generated out,
                   Generate(*stepper, prompt, flags.request, [&](int32_t id) {
                     printed = stream.Push(id);
                     return printed.ok();
                   }));
  RETURN_IF_ERROR(printed);
  RETURN_IF_ERROR(stream.Finish());
  Note(Joined(prompt.size(), " prompt tokens, first token after ",
              Fixed(out.first_seconds * 1e3, 1), " ms, ", out.ids.size(),
              " new tokens, ", Fixed(TokensPerSecond(out), 1), " tokens/s"));
  return absl::OkStatus();
}

}  // namespace

Action AddGenerate(CLI::App& app) {
  auto flags = std::make_shared<GenerateFlags>();
  AddModuleFlags(app, flags->common);
  AddWeightFlags(app, flags->common);
  auto* prompt = app.add_option("--prompt", flags->prompt, "text to continue")
                     ->type_name("TEXT");
  auto* ids = app.add_option("--ids", flags->ids, "token ids to continue")
                  ->type_name("1,2,3")
                  ->excludes(prompt);
  GenerateRequest& request = flags->request;
  app.add_option("-n,--new-tokens", request.max_new_tokens,
                 "new tokens at most")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--temperature", request.sampling.temperature,
                 "0 takes the likeliest token")
      ->type_name("T")
      ->capture_default_str();
  app.add_option("--top-p", request.sampling.top_p,
                 "sample from the likeliest tokens that reach P")
      ->type_name("P")
      ->capture_default_str();
  app.add_option("--top-k", request.sampling.top_k,
                 "sample from the K likeliest tokens; 0 is all")
      ->type_name("K")
      ->capture_default_str();
  app.add_option("--seed", request.sampling.seed, "of sampling")
      ->type_name("S")
      ->capture_default_str();
  app.add_option("--kv-tokens", flags->kv_tokens,
                 "length of the cache [prompt and new tokens]")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31))
      ->type_name("N");
  app.add_option("--page-length", flags->page_length,
                 "tokens in a page of the cache [one page]")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31))
      ->type_name("N");
  AddOutputFlag(app, flags->common, {"text", "json"});
  app.footer(
      "Examples:\n"
      "  moe-run generate out.moe --weights DIR --prompt 'ROMEO:' -n 100\n"
      "  moe-run generate out.moe --weights DIR --ids 1,2,3 -n 8 -o json");
  return [flags, prompt, ids] {
    flags->has_prompt = prompt->count() > 0;
    flags->has_ids = ids->count() > 0;
    return RunGenerate(*flags);
  };
}

}  // namespace moe::run
