// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/e2e/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "runtime/stepper.h"

namespace moe::compiled {

Schedule Schedule::Alone(size_t sequence) const {
  Schedule alone;
  alone.sequences = sequences;
  alone.slots = 1;
  alone.longest = longest;
  for (const Step& step : steps)
    for (const Part& part : step.parts)
      if (part.sequence == sequence) alone.steps.push_back({{part}, {}});
  return alone;
}

Schedule RandomSchedule(uint32_t seed, int64_t vocab, int64_t longest,
                        int decodes, int mixed) {
  std::mt19937 random(seed);
  const auto below = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
  };
  Schedule out;
  out.slots = 8;
  out.longest = longest;
  std::map<size_t, int64_t> lengths;  // of the running sequences
  const auto add = [&](Step& step, size_t sequence, int64_t count) {
    Part& part = step.parts.emplace_back();
    part.sequence = sequence;
    for (int64_t i = 0; i < count; ++i)
      part.ids.push_back(static_cast<int32_t>(below(vocab)));
    lengths[sequence] += count;
  };
  Step& prompts = out.steps.emplace_back();
  const int64_t most = longest - decodes;
  for (int64_t length : {int64_t{1}, int64_t{2}, int64_t{5}, most / 8, most / 4,
                         most / 2, most - 1, most})
    add(prompts, out.sequences++, std::clamp<int64_t>(length, 1, most));
  for (int i = 0; i < decodes; ++i) {
    Step& step = out.steps.emplace_back();
    for (size_t sequence = 0; sequence < 8; ++sequence) add(step, sequence, 1);
  }
  for (int i = 0; i < mixed; ++i) {
    // Those that cannot grow have left; others may.
    for (auto it = lengths.begin(); it != lengths.end();) {
      const bool leaves = it->second + 6 > longest || below(10) == 0;
      if (leaves) out.steps.back().leaves.push_back(it->first);
      it = leaves ? lengths.erase(it) : std::next(it);
    }
    Step& step = out.steps.emplace_back();
    const bool decode_only = below(2) == 0;
    for (const auto& [sequence, length] : std::map(lengths))
      if (below(4) != 0)
        add(step, sequence, decode_only || below(3) != 0 ? 1 : 1 + below(6));
    while (!decode_only && lengths.size() < 8 && below(3) != 0)
      add(step, out.sequences++, 1 + below(longest / 4));
    if (step.parts.empty()) out.steps.pop_back();
  }
  return out;
}

Logits RunSchedule(const Engine& engine, const Schedule& schedule,
                   const Paging& paging) {
  Logits logits(schedule.sequences);
  auto stepper = Stepper::Create(
      engine, {.kv = {.slots = schedule.slots,
                      .tokens_per_slot = schedule.longest,
                      .page_length = paging.length,
                      .page_order_seed = paging.order_seed},
               .max_tokens = schedule.slots * schedule.longest});
  EXPECT_TRUE(stepper.ok()) << stepper.status();
  if (!stepper.ok()) return logits;
  std::map<size_t, int32_t> slots;
  for (const Step& step : schedule.steps) {
    std::vector<Chunk> chunks;
    for (const Part& part : step.parts) {
      if (!slots.contains(part.sequence))
        slots[part.sequence] = (*stepper)->Join().value();
      chunks.push_back({slots[part.sequence], part.ids});
    }
    const absl::Status status = (*stepper)->Step(chunks);
    EXPECT_TRUE(status.ok()) << status;
    if (!status.ok()) return logits;
    for (size_t i = 0; i < step.parts.size(); ++i) {
      const std::span<const float> seen = (*stepper)->Logits(i);
      std::vector<float>& all = logits[step.parts[i].sequence];
      all.insert(all.end(), seen.begin(), seen.end());
    }
    for (size_t sequence : step.leaves) {
      (*stepper)->Leave(slots[sequence]);
      slots.erase(sequence);
    }
  }
  return logits;
}

}  // namespace moe::compiled
