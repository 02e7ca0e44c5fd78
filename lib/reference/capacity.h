// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Choices under a limit of rows for each expert.
//
//   CapacityLimit limit{.factor = 2.5};
//   Capacity(idx, priority, whole, 1, tokens, experts, k, limit,
//            /*choice_major=*/true, kept);
//
// Sequences are cu_seqlens[sequences + 1], ascending from 0 or more to at most
// the tokens; {0, tokens} is the whole call. Choices of tokens of no sequence
// become invalid. An expert outside [0, experts) is an invalid choice, written
// as `experts`. T is float or double; values are ordered as in routing.h. All
// functions are pure.

#ifndef MOE_LIB_REFERENCE_CAPACITY_H_
#define MOE_LIB_REFERENCE_CAPACITY_H_

#include <cstdint>

namespace moe::reference {

// #moe.capacity.
struct CapacityLimit {
  enum class Round { kFloor, kCeil, kNearest };  // nearest: ties to even
  double factor = 1;
  Round round = Round::kCeil;
  double times = 1;
  int64_t min = 1;
  int64_t multiple = 1;
  int64_t extra = 0;
};

// The rows of one of `experts` experts for `tokens` tokens.
int64_t CapacityRows(const CapacityLimit& limit, int64_t tokens,
                     int64_t experts);

// moe.capacity: idx[tokens, k] -> kept[tokens, k]. priority[tokens, k] or null.
template <typename T>
void Capacity(const int32_t* idx, const T* priority, const int32_t* cu_seqlens,
              int64_t sequences, int64_t tokens, int64_t experts, int64_t k,
              const CapacityLimit& limit, bool choice_major, int32_t* kept);

// moe.next_choice: idx[tokens, k] -> placed[tokens].
void NextChoice(const int32_t* idx, int64_t tokens, int64_t experts, int64_t k,
                const CapacityLimit& limit, int32_t* placed);

// moe.select_tokens: s[tokens, experts] -> idx[tokens, experts].
template <typename T>
void SelectTokens(const T* s, const int32_t* cu_seqlens, int64_t sequences,
                  int64_t tokens, int64_t experts, const CapacityLimit& limit,
                  int32_t* idx);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_CAPACITY_H_
