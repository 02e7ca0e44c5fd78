// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The flags of moe-run train.

#ifndef MOE_TOOLS_RUN_TRAIN_H_
#define MOE_TOOLS_RUN_TRAIN_H_

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/train/train_loop.h"
#include "tools/run/command.h"

namespace moe::run {

struct TrainFlags {
  CommonFlags common;
  std::string data, out, init, eval_data;
  std::string resume = "auto", schedule = "cosine", ids_dtype = "u16";
  TrainOptions options;
  std::optional<double> min_lr;  // a tenth of lr
  int64_t seq = 256;
  int64_t save_every = 0, keep = 2, eval_every = 0;
  bool no_aux = false;
};

void AddTrainFlags(CLI::App& app, TrainFlags& flags);

}  // namespace moe::run

#endif  // MOE_TOOLS_RUN_TRAIN_H_
