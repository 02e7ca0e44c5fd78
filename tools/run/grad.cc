// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// moe-run grad: one backward pass, gradients by the names of the checkpoint.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "lib/core/errors.h"
#include "lib/core/safetensors.h"
#include "lib/core/status_macros.h"
#include "runtime/train/bad_numbers.h"
#include "runtime/train/stored_tensors.h"
#include "runtime/train/train_data.h"
#include "runtime/train/train_step.h"
#include "tools/run/command.h"

namespace moe::run {
namespace {

struct GradFlags {
  CommonFlags common;
  std::string ids, gradients;
  bool no_aux = false;
};

absl::Status WriteGradients(const Manifest& manifest, const TrainStep& step,
                            const std::string& path) {
  ASSIGN_OR_RETURN(const std::vector<StoredTensor> tensors,
                   StoredTensors(manifest));
  const ParamValues gradient = [&](const ParamSpec& spec) -> const void* {
    for (const TrainedParam& param : step.params())
      if (param.spec == &spec) return param.gradient;
    return nullptr;
  };
  SafetensorsWriter writer;
  for (const StoredTensor& tensor : tensors)
    if (std::any_of(
            tensor.parts.begin(), tensor.parts.end(),
            [&](const StoredPart& part) { return gradient(*part.param); }))
      writer.AddLazy(tensor.name, DType::kF32, tensor.shape,
                     [&](std::span<std::byte> out) {
                       std::fill(out.begin(), out.end(), std::byte{0});
                       FillStored(tensor, gradient, DType::kF32, out);
                       return absl::OkStatus();
                     });
  return writer.Write(path);
}

absl::Status Grad(const GradFlags& flags) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                   OpenEngine(flags.common));
  ASSIGN_OR_RETURN(const ModelSpec* model, GetModel(*engine));
  ASSIGN_OR_RETURN(const TrainData data,
                   TrainData::OpenRows(
                       flags.ids, {model->vocab_size, model->max_positions}));
  const std::vector<TrainRow> rows = data.Windows();
  const int64_t targets = CountTargets(rows);
  TrainSizes sizes{data.tokens(), data.windows()};
  sizes.longest = data.max_row();
  ASSIGN_OR_RETURN(const int64_t limit, MaxMemory(flags.common));
  RETURN_IF_ERROR(FitTrain(engine->module(), limit, sizes).status());
  RETURN_IF_ERROR(CheckOutput(flags.gradients));
  RETURN_IF_ERROR(LoadWeights(*engine, flags.common));
  ASSIGN_OR_RETURN(TrainStep step, TrainStep::Create(*engine, sizes));
  ASSIGN_OR_RETURN(const StepLoss loss,
                   step.Backward(rows, targets, flags.no_aux ? 0 : 1));
  if (const std::string bad = FirstBadGradient(step); !bad.empty())
    return Error(Code::R301, bad, " is not finite");
  if (!flags.gradients.empty())
    RETURN_IF_ERROR(WriteGradients(engine->manifest(), step, flags.gradients));
  ASSIGN_OR_RETURN(const double norm, step.GradientNorm());
  if (flags.common.output == "json")
    return PrintJson(Json{{"loss", loss.loss},
                          {"aux_loss", loss.aux_loss},
                          {"grad_norm", norm},
                          {"targets", targets}});
  return Print(Joined("loss ", Fixed(loss.loss, 6), ", aux loss ",
                      Fixed(loss.aux_loss, 6), ", gradient norm ",
                      Fixed(norm, 6), ", ", targets, " targets\n"));
}

}  // namespace

Action AddGrad(CLI::App& app) {
  auto flags = std::make_shared<GradFlags>();
  AddModuleFlags(app, flags->common);
  AddWeightFlags(app, flags->common);
  app.add_option("--ids", flags->ids, "token ids: [[id, ...], ...]")
      ->required()
      ->type_name("FILE.json");
  app.add_option("--gradients", flags->gradients,
                 "write gradients by the names of the checkpoint, f32")
      ->type_name("FILE.safetensors");
  app.add_flag("--no-aux", flags->no_aux, "leave out the losses of routers");
  AddOutputFlag(app, flags->common, {"text", "json"});
  app.footer(
      "Prints the mean cross-entropy of every token after the first of its\n"
      "row, in nats, the losses of routers, and the norm of all gradients.\n"
      "The module must be compiled with --entries train.\n\n"
      "Example:\n"
      "  moe-run grad out.moe --weights DIR --ids rows.json "
      "--gradients g.safetensors");
  return [flags] { return Grad(*flags); };
}

}  // namespace moe::run
