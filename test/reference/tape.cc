// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/reference/tape.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "lib/reference/elementwise.h"
#include "lib/reference/movement.h"
#include "lib/reference/norm.h"
#include "lib/reference/reduce.h"
#include "lib/reference/vjp.h"

namespace moe::reference {

template <typename T>
using Grads = std::vector<std::vector<T>>;

template <typename T>
Node<T>* Tape<T>::Make(int64_t rows, int64_t width) {
  nodes_.push_back({rows, width, std::vector<T>(rows * width), {}});
  return &nodes_.back();
}

template <typename T>
Node<T>* Tape<T>::Leaf(std::vector<T> value, int64_t rows, int64_t width) {
  nodes_.push_back({rows, width, std::move(value), {}});
  return &nodes_.back();
}

template <typename T>
Node<T>* Tape<T>::Rounded(Var y) {
  RoundAll(y->value.data(), y->rows * y->width, rounding_);
  return y;
}

template <typename T>
void Tape<T>::Record(Var y, std::vector<Var> operands,
                     std::function<void(Grads<T>&)> vjp) {
  backward_.push_back([y, operands = std::move(operands), vjp] {
    if (y->grad.empty()) return;
    Grads<T> grads;
    for (Var x : operands) grads.emplace_back(x->value.size());
    vjp(grads);
    for (size_t i = 0; i < operands.size(); ++i) {
      operands[i]->grad.resize(grads[i].size());
      for (size_t j = 0; j < grads[i].size(); ++j)
        operands[i]->grad[j] += grads[i][j];
    }
  });
}

template <typename T>
void Tape<T>::Backward(Var y, std::vector<T> dy) {
  y->grad = std::move(dy);
  for (auto step = backward_.rbegin(); step != backward_.rend(); ++step)
    (*step)();
}

template <typename T>
Node<T>* Tape<T>::Embedding(const std::vector<int32_t>& ids, Var table) {
  const int64_t tokens = static_cast<int64_t>(ids.size());
  Var y = Make(tokens, table->width);
  if (!reference::Embedding(ids.data(), table->value.data(), tokens,
                            table->rows, table->width, y->value.data()))
    return nullptr;
  Record(y, {table}, [=](Grads<T>& g) {
    EmbeddingVjp(ids.data(), y->grad.data(), tokens, table->rows, table->width,
                 g[0].data());
  });
  return y;
}

template <typename T>
Node<T>* Tape<T>::Linear(Var x, Var w, bool exact) {
  const int64_t tokens = x->rows, n = w->rows, k = w->width;
  Var y = Make(tokens, n);
  reference::Linear<T>(x->value.data(), w->value.data(), nullptr, tokens, n, k,
                       order(), y->value.data());
  Record(y, {x, w}, [=](Grads<T>& g) {
    LinearVjpX(y->grad.data(), w->value.data(), tokens, n, k, g[0].data());
    LinearVjpW(y->grad.data(), x->value.data(), tokens, n, k, g[1].data());
  });
  return exact ? y : Rounded(y);
}

template <typename T>
Node<T>* Tape<T>::HeadLinear(Var x, Var w, int64_t heads) {
  const int64_t tokens = x->rows, n = w->rows / heads, k = w->width;
  Var y = Make(tokens, heads * n);
  reference::HeadLinear(x->value.data(), w->value.data(), tokens, heads, n, k,
                        order(), y->value.data());
  Record(y, {x, w}, [=](Grads<T>& g) {
    HeadLinearVjpX(y->grad.data(), w->value.data(), tokens, heads, n, k,
                   g[0].data());
    HeadLinearVjpW(y->grad.data(), x->value.data(), tokens, heads, n, k,
                   g[1].data());
  });
  return Rounded(y);
}

template <typename T>
Node<T>* Tape<T>::RmsNorm(Var x, Var w, T eps) {
  Var y = Make(x->rows, x->width);
  reference::RmsNorm(x->value.data(), w->value.data(), x->rows, x->width, eps,
                     rounding_, y->value.data());
  Record(y, {x, w}, [=](Grads<T>& g) {
    RmsNormVjp(x->value.data(), w->value.data(), y->grad.data(), x->rows,
               x->width, eps, g[0].data(), g[1].data());
  });
  return y;
}

template <typename T>
Node<T>* Tape<T>::Rope(Var x, const std::vector<T>& table, int64_t heads,
                       int64_t d, int64_t start, RopePairing pairing) {
  Var y = Make(x->rows, x->width);
  const int64_t head_dim = x->width / heads;
  reference::Rope(x->value.data(), table.data(), x->rows, heads, head_dim, d,
                  start, pairing, y->value.data());
  Record(y, {x}, [=](Grads<T>& g) {
    RopeVjp(y->grad.data(), table.data(), x->rows, heads, head_dim, d, start,
            pairing, g[0].data());
  });
  return Rounded(y);
}

template <typename T>
Node<T>* Tape<T>::Attend(Var q, Var k, Var v, AttendShape shape,
                         const Pack& pack, PagedCache<T>* cache,
                         int64_t layer) {
  shape.tokens = q->rows;
  shape.sequences = pack.sequences();
  Var y = Make(q->rows, shape.heads * shape.value_dims);
  const T* values = v == nullptr ? nullptr : v->value.data();
  if (cache != nullptr) {
    AttendPaged(shape, cache->layout, q->value.data(), k->value.data(), values,
                pack.positions.data(), pack.cu.data(), pack.slot.data(),
                cache->block_table.data(), cache->layers[layer].data(),
                y->value.data());
    return Rounded(y);
  }
  reference::Attend(shape, q->value.data(), k->value.data(), values,
                    pack.cu.data(), y->value.data());
  std::vector<Var> operands = {q, k};
  if (v != nullptr) operands.push_back(v);
  Record(y, operands, [=, cu = pack.cu](Grads<T>& g) {
    AttendVjp(shape, q->value.data(), k->value.data(),
              v == nullptr ? nullptr : v->value.data(), cu.data(),
              y->grad.data(), g[0].data(), g[1].data(),
              v == nullptr ? nullptr : g[2].data());
  });
  return Rounded(y);
}

template <typename T>
Node<T>* Tape<T>::Glu(Var x) {
  const int64_t width = x->width / 2;
  Var y = Make(x->rows, width);
  reference::Glu(x->value.data(), Activation::kSilu, x->rows, width,
                 y->value.data());
  Record(y, {x}, [=](Grads<T>& g) {
    GluVjp(x->value.data(), y->grad.data(), Activation::kSilu, x->rows, width,
           g[0].data());
  });
  return Rounded(y);
}

template <typename T>
Node<T>* Tape<T>::Add(Var x, Var y) {
  Var z = Make(x->rows, x->width);
  for (size_t i = 0; i < z->value.size(); ++i)
    z->value[i] = x->value[i] + y->value[i];
  Record(z, {x, y}, [=](Grads<T>& g) { g[0] = g[1] = z->grad; });
  return Rounded(z);
}

template <typename T>
Node<T>* Tape<T>::Slice(Var x, int64_t start, int64_t size) {
  Var y = Make(x->rows, size);
  reference::Slice(x->value.data(), x->rows, x->width, start, size,
                   y->value.data());
  Record(y, {x}, [=](Grads<T>& g) {
    ConcatPart(y->grad.data(), x->rows, size, start, x->width, g[0].data());
  });
  return y;
}

template <typename T>
Node<T>* Tape<T>::Concat(Var x, Var y, int64_t heads) {
  const int64_t rows = x->rows * heads;
  const int64_t a = x->width / heads, b = y->width / heads;
  Var z = Make(x->rows, x->width + y->width);
  ConcatPart(x->value.data(), rows, a, 0, a + b, z->value.data());
  ConcatPart(y->value.data(), rows, b, a, a + b, z->value.data());
  Record(z, {x, y}, [=](Grads<T>& g) {
    reference::Slice(z->grad.data(), rows, a + b, 0, a, g[0].data());
    reference::Slice(z->grad.data(), rows, a + b, a, b, g[1].data());
  });
  return z;
}

template <typename T>
Node<T>* Tape<T>::Stack(const std::vector<Var>& parts) {
  Var y = Make(0, parts[0]->width);
  for (Var x : parts) {
    y->rows += x->rows;
    y->value.insert(y->value.end(), x->value.begin(), x->value.end());
  }
  Record(y, parts, [=](Grads<T>& g) {
    auto from = y->grad.begin();
    for (auto& part : g) {
      std::copy_n(from, part.size(), part.begin());
      from += static_cast<int64_t>(part.size());
    }
  });
  return y;
}

template <typename T>
Node<T>* Tape<T>::Rearrange(Var x, std::vector<int64_t> source, int64_t rows,
                            int64_t width) {
  Var y = Make(rows, width);
  for (size_t i = 0; i < source.size(); ++i) y->value[i] = x->value[source[i]];
  Record(y, {x}, [=, source = std::move(source)](Grads<T>& g) {
    for (size_t i = 0; i < source.size(); ++i) g[0][source[i]] += y->grad[i];
  });
  return y;
}

template <typename T>
Node<T>* Tape<T>::LastRows(Var x, const Pack& pack) {
  Var y = Make(pack.sequences(), x->width);
  reference::LastRows(x->value.data(), pack.cu.data(), pack.sequences(),
                      x->width, y->value.data());
  return y;
}

template <typename T>
Node<T>* Tape<T>::Softmax(Var x) {
  Var y = Make(x->rows, x->width);
  reference::Softmax(x->value.data(), x->rows, x->width, 1, y->value.data());
  Record(y, {x}, [=](Grads<T>& g) {
    SoftmaxVjp(y->value.data(), y->grad.data(), x->rows, x->width, 1,
               g[0].data());
  });
  return y;
}

template <typename T>
Node<T>* Tape<T>::GroupMask(Var s, int64_t groups, int64_t keep, T fill) {
  Var y = Make(s->rows, s->width);
  reference::GroupMask(s->value.data(), s->rows, s->width, groups, keep, {},
                       fill, y->value.data());
  Record(y, {s}, [=](Grads<T>& g) {
    GroupMaskVjp(s->value.data(), y->grad.data(), s->rows, s->width, groups,
                 keep, {}, g[0].data());
  });
  return y;
}

template <typename T>
Node<T>* Tape<T>::Pick(Var s, const Plan& plan) {
  Var w = Make(s->rows, plan.top_k);
  reference::Pick(s->value.data(), plan.idx.data(), s->rows, s->width,
                  plan.top_k, w->value.data());
  Record(w, {s}, [=](Grads<T>& g) {
    PickVjp(plan.idx.data(), w->grad.data(), s->rows, s->width, plan.top_k,
            g[0].data());
  });
  return w;
}

template <typename T>
Node<T>* Tape<T>::Normalise(Var w) {
  Var y = Make(w->rows, w->width);
  auto sums = std::make_shared<std::vector<T>>(w->rows);
  Reduce(ReduceKind::kSum, w->value.data(), w->rows, w->width, 1, sums->data());
  for (int64_t i = 0; i < w->rows * w->width; ++i)
    y->value[i] = w->value[i] / (*sums)[i / w->width];
  // ds_i = (dw_i - sum_j dw_j w_j) / S
  Record(y, {w}, [=](Grads<T>& g) {
    for (int64_t r = 0; r < w->rows; ++r) {
      T along = 0;
      for (int64_t j = r * w->width; j < (r + 1) * w->width; ++j)
        along += y->grad[j] * y->value[j];
      for (int64_t j = r * w->width; j < (r + 1) * w->width; ++j)
        g[0][j] = (y->grad[j] - along) / (*sums)[r];
    }
  });
  return y;
}

template <typename T>
Node<T>* Tape<T>::Scale(Var x, T factor) {
  Var y = Make(x->rows, x->width);
  for (size_t i = 0; i < y->value.size(); ++i)
    y->value[i] = x->value[i] * factor;
  Record(y, {x}, [=](Grads<T>& g) {
    for (size_t i = 0; i < g[0].size(); ++i) g[0][i] = y->grad[i] * factor;
  });
  return y;
}

template <typename T>
Node<T>* Tape<T>::Dispatch(Var x, const Plan& plan) {
  Var rows = Make(plan.rows(), x->width);
  reference::Dispatch(x->value.data(), plan, x->width, rows->value.data());
  Record(rows, {x}, [=](Grads<T>& g) {
    DispatchVjp(rows->grad.data(), plan, x->width, g[0].data());
  });
  return rows;
}

template <typename T>
Node<T>* Tape<T>::GroupedMatmul(Var rows, Var w, const Plan& plan) {
  const int64_t n = w->rows / plan.experts, k = w->width;
  Var y = Make(rows->rows, n);
  reference::GroupedMatmul<T>(rows->value.data(), nullptr, plan.offsets.data(),
                              w->value.data(), nullptr, plan.experts, n, k,
                              order(), y->value.data());
  Record(y, {rows, w}, [=](Grads<T>& g) {
    GroupedMatmulVjpX(y->grad.data(), plan.offsets.data(), w->value.data(),
                      plan.experts, n, k, g[0].data());
    GroupedMatmulVjpW(y->grad.data(), rows->value.data(), nullptr,
                      plan.offsets.data(), plan.experts, n, k, g[1].data());
  });
  return Rounded(y);
}

template <typename T>
Node<T>* Tape<T>::Combine(Var rows, Var w, const Plan& plan) {
  Var y = Make(plan.tokens, rows->width);
  reference::Combine(rows->value.data(), plan, w->value.data(), rows->width,
                     y->value.data());
  Record(y, {rows, w}, [=](Grads<T>& g) {
    CombineVjp(rows->value.data(), plan, w->value.data(), y->grad.data(),
               rows->width, g[0].data(), g[1].data());
  });
  return Rounded(y);
}

template class Tape<float>;
template class Tape<double>;

}  // namespace moe::reference
