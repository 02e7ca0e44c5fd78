// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <CLI/CLI.hpp>

#include "tools/run/train.h"

namespace moe::run {

void AddTrainFlags(CLI::App& app, TrainFlags& flags) {
  TrainOptions& o = flags.options;
  const auto number = [&](const char* name, auto& value, const char* text) {
    app.add_option(name, value, text)->capture_default_str();
  };
  app.add_option("--data", flags.data,
                 "UTF-8 text (bytes), .bin of ids, or .json of rows of ids")
      ->required()
      ->type_name("FILE");
  app.add_option("--out", flags.out, "metrics and checkpoints")
      ->required()
      ->type_name("RUN");
  app.add_option("--steps", o.steps, "in all, those before a resume included")
      ->required()
      ->type_name("N");
  app.add_option("--init", flags.init,
                 "a folder of weights, or seed:S [--seed]")
      ->type_name("START");
  number("--batch", o.batch, "rows of a backward pass");
  number("--seq", flags.seq, "tokens of a row");
  number("--accumulate", o.accumulate, "backward passes of a step");
  number("--lr", o.adamw.lr, "largest learning rate");
  number("--warmup", o.warmup, "steps of linear rise");
  app.add_option("--schedule", flags.schedule, "behind the rise")
      ->check(CLI::IsMember({"cosine", "constant"}))
      ->capture_default_str();
  app.add_option("--min-lr", flags.min_lr, "end of the cosine (default: lr/10)")
      ->type_name("X");
  number("--weight-decay", o.adamw.weight_decay, "of matrices");
  number("--clip", o.clip, "largest norm of all gradients; 0: any");
  number("--beta1", o.adamw.beta1, "of AdamW");
  number("--beta2", o.adamw.beta2, "of AdamW");
  number("--eps", o.adamw.eps, "of AdamW");
  app.add_flag("--no-aux", flags.no_aux, "leave out the losses of routers");
  app.add_option("--seed", o.seed, "of the order of rows and of new weights")
      ->check([](const std::string& text) {
        return text.starts_with("-") ? "expects a number from 0" : "";
      })
      ->type_name("SEED")
      ->capture_default_str();
  number("--save-every", flags.save_every, "steps; 0: at the end alone");
  number("--keep", flags.keep, "checkpoints to keep; 0: all");
  app.add_option("--resume", flags.resume,
                 "which checkpoint of RUN to go on from")
      ->type_name("auto|STEP|never")
      ->capture_default_str();
  app.add_option("--eval-data", flags.eval_data, "held-out data, as --data")
      ->type_name("FILE");
  number("--eval-every", flags.eval_every, "steps; 0: at the end alone");
  app.add_option("--ids-dtype", flags.ids_dtype, "of .bin files")
      ->check(CLI::IsMember({"u16", "u32"}))
      ->capture_default_str();
}

}  // namespace moe::run
