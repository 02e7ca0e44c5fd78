// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A tape over lib/reference: runs one op after the other on named tensors and,
// backwards, their vector-Jacobian products. With it a model's forward pass is
// written once, in ops, and its gradient follows.
//
//   Tape<float> tape(Rounding::kNone);
//   auto y = tape.Linear(tape.Leaf(x, tokens, k), tape.Leaf(w, n, k));
//   tape.Backward(y, dy);
//
// With Rounding::kBf16, results are rounded to bf16 but for those that stay f32
// (router scores and weights, logits), and products of bf16 operands use the
// bf16 order of accumulation. Such a tape is for forward passes only.

#ifndef MOE_TEST_REFERENCE_TAPE_H_
#define MOE_TEST_REFERENCE_TAPE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "lib/reference/attention.h"
#include "lib/reference/matmul.h"
#include "lib/reference/rope.h"
#include "lib/reference/rounding.h"
#include "lib/reference/routing.h"

namespace moe::reference {

// A matrix on the tape: grad is empty until a gradient reaches it.
template <typename T>
struct Node {
  int64_t rows = 0, width = 0;
  std::vector<T> value, grad;
};

// The sequences of a pass. With a cache, keys come from it.
struct Pack {
  std::vector<int32_t> ids, positions, cu, slot;
  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }
  int64_t sequences() const { return static_cast<int64_t>(cu.size()) - 1; }
};

template <typename T>
struct PagedCache {
  PagedLayout layout;
  std::vector<int32_t> block_table;
  std::vector<std::vector<T>> layers;
};

template <typename T>
class Tape {
 public:
  // Nodes live as long as the tape.
  using Var = Node<T>*;

  explicit Tape(Rounding rounding) : rounding_(rounding) {}

  Var Leaf(std::vector<T> value, int64_t rows, int64_t width);

  Var Embedding(const std::vector<int32_t>& ids, Var table);
  // `exact`: the result stays f32.
  Var Linear(Var x, Var w, bool exact = false);
  // x[tokens, heads * k], w[heads * n, k] -> [tokens, heads * n].
  Var HeadLinear(Var x, Var w, int64_t heads);
  Var RmsNorm(Var x, Var w, T eps);
  // table[tokens, d] is not rounded and carries no gradient.
  Var Rope(Var x, const std::vector<T>& table, int64_t heads, int64_t d,
           int64_t start, RopePairing pairing);
  // v may be null (latent form). With a cache there is no gradient.
  Var Attend(Var q, Var k, Var v, AttendShape shape, const Pack& pack,
             PagedCache<T>* cache, int64_t layer);
  Var Glu(Var x);  // silu
  Var Add(Var x, Var y);
  Var Slice(Var x, int64_t start, int64_t size);  // of the width
  // x and y side by side in each of `heads` parts of a row.
  Var Concat(Var x, Var y, int64_t heads);
  // The rows of all parts below each other.
  Var Stack(const std::vector<Var>& parts);
  // y[i] = x[source[i]].
  Var Rearrange(Var x, std::vector<int64_t> source, int64_t rows,
                int64_t width);
  Var LastRows(Var x, const Pack& pack);

  // Routing: results stay f32.
  Var Softmax(Var x);
  Var GroupMask(Var s, int64_t groups, int64_t keep, T fill);
  Var Pick(Var s, const Plan& plan);
  Var Normalise(Var w);  // each row divided by its sum
  Var Scale(Var x, T factor);
  Var Dispatch(Var x, const Plan& plan);
  Var GroupedMatmul(Var rows, Var w, const Plan& plan);
  Var Combine(Var rows, Var w, const Plan& plan);

  // Sets y's gradient and runs the tape backwards.
  void Backward(Var y, std::vector<T> dy);

 private:
  Var Make(int64_t rows, int64_t width);
  Var Rounded(Var y);
  // Records how y's gradient goes on. `vjp` fills gradients for the operands,
  // one per operand; they are added to what is there.
  void Record(Var y, std::vector<Var> operands,
              std::function<void(std::vector<std::vector<T>>&)> vjp);
  Accumulation order() const {
    return rounding_ == Rounding::kBf16 ? Accumulation::kEvenOdd32
                                        : Accumulation::kChain;
  }

  Rounding rounding_;
  std::deque<Node<T>> nodes_;
  std::vector<std::function<void()>> backward_;
};

}  // namespace moe::reference

#endif  // MOE_TEST_REFERENCE_TAPE_H_
