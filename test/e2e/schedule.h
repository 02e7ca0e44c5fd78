// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sequences that join, grow and leave, written down so that the same life can
// be run among others or alone, in pages of any length.

#ifndef MOE_TEST_E2E_SCHEDULE_H_
#define MOE_TEST_E2E_SCHEDULE_H_

#include <cstdint>
#include <vector>

#include "runtime/engine.h"

namespace moe::compiled {

struct Part {
  size_t sequence;
  std::vector<int32_t> ids;
};

struct Step {
  std::vector<Part> parts;     // a sequence joins with its first part
  std::vector<size_t> leaves;  // after the step
};

struct Schedule {
  size_t sequences = 0;
  int64_t slots = 0;    // at one time
  int64_t longest = 0;  // tokens of a sequence
  std::vector<Step> steps;

  // What |sequence| does, without the others.
  Schedule Alone(size_t sequence) const;
};

// Eight prompts of different lengths in one step, |decodes| steps of one token
// of each, then |mixed| steps in which sequences leave and join and take one
// token or several.
Schedule RandomSchedule(uint32_t seed, int64_t vocab, int64_t longest,
                        int decodes, int mixed);

struct Paging {
  int64_t length = 0;
  uint64_t order_seed = 0;
};

// The logits after each part, in the order of the steps, by sequence.
using Logits = std::vector<std::vector<float>>;
Logits RunSchedule(const Engine& engine, const Schedule& schedule,
                   const Paging& paging = {});

}  // namespace moe::compiled

#endif  // MOE_TEST_E2E_SCHEDULE_H_
