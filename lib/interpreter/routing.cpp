// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Selection, plans, and the moves along them.
#include "lib/reference/routing.h"
#include "dialect/moe/MoeDialect.h"
#include "lib/interpreter/machine.h"
#include "lib/reference/movement.h"
#include "lib/reference/vjp.h"

using namespace mlir;
using namespace mlir::moe;
namespace ref = ::moe::reference;

template <typename T>
static Tensor<T> int32Tensor(llvm::ArrayRef<int64_t> shape,
                             const std::vector<int32_t> &values) {
  return Tensor<T>::ints(Element::I32, shape, {values.begin(), values.end()});
}

template <typename T>
static Tensor<T> groupMask(const Tensor<T> &s, GroupMaskOp op) {
  ref::GroupScore score{
      op.getScore() == GroupScore::Max ? 0 : int64_t(op.getTop())};
  std::vector<T> y(s.size());
  ref::GroupMask(s.data(), s.dim(0), s.dim(1), op.getGroups(), op.getKeep(),
                 score, static_cast<T>(op.getFill().convertToDouble()),
                 y.data());
  return Tensor<T>::floats(s.element(), s.shape(), std::move(y));
}

template <typename T>
static Tensor<T> select(Call<T> &c, const Tensor<T> &s, Maybe<T> bias,
                        int64_t k, std::optional<double> above) {
  if (!c.expect(k <= s.dim(1), "at least k experts") ||
      (bias && !c.same("elements of the bias", bias->size(), s.dim(1))))
    return {};
  std::vector<int32_t> idx(s.dim(0) * k);
  ref::Select(s.data(), bias ? bias->data() : nullptr, s.dim(0), s.dim(1), k,
              idx.data());
  if (above)
    ref::DropNotAbove(s.data(), bias ? bias->data() : nullptr,
                      static_cast<T>(*above), s.dim(0), s.dim(1), k,
                      idx.data());
  return int32Tensor<T>({s.dim(0), k}, idx);
}

template <typename T>
static Tensor<T> maskChoices(Call<T> &c, const Tensor<T> &s,
                             const Tensor<T> &idx, double fill) {
  if (!c.same("rows of idx", idx.dim(0), s.dim(0)))
    return {};
  std::vector<T> y(s.size());
  ref::MaskChoices(s.data(), idx.int32s().data(), s.dim(0), s.dim(1),
                   idx.dim(1), static_cast<T>(fill), y.data());
  return Tensor<T>::floats(s.element(), s.shape(), std::move(y));
}

template <typename T>
static Tensor<T> pick(Call<T> &c, const Tensor<T> &s, const Tensor<T> &idx) {
  if (!c.same("rows of idx", idx.dim(0), s.dim(0)))
    return {};
  std::vector<T> y(idx.size());
  ref::Pick(s.data(), idx.int32s().data(), s.dim(0), s.dim(1), idx.dim(1),
            y.data());
  return Tensor<T>::floats(s.element(), idx.shape(), std::move(y));
}

template <typename T>
static Tensor<T> scatterPick(Call<T> &c, const Tensor<T> &g,
                             const Tensor<T> &idx, int64_t experts) {
  if (!c.expect(g.shape() == idx.shape(), "g and idx of one shape, got " +
                                              g.describe() + " and " +
                                              idx.describe()))
    return {};
  std::vector<T> y(g.dim(0) * experts);
  ref::PickVjp(idx.int32s().data(), g.data(), g.dim(0), experts, g.dim(1),
               y.data());
  return Tensor<T>::floats(g.element(), {g.dim(0), experts}, std::move(y));
}

template <typename T>
Tensor<T> mlir::moe::dispatch(Check &c, const Tensor<T> &x, const Plan &plan) {
  if (!c.expect(x.rank() == (x.isFloat() ? 2 : 1), "x [T, D]") ||
      !c.same("rows of x", x.dim(0), plan.tokens))
    return {};
  if (!x.isFloat()) {
    std::vector<int32_t> rows(plan.rows());
    ref::Dispatch(x.int32s().data(), plan, 1, rows.data());
    return int32Tensor<T>({plan.rows()}, rows);
  }
  std::vector<T> rows(plan.rows() * x.dim(1));
  ref::Dispatch(x.data(), plan, x.dim(1), rows.data());
  return Tensor<T>::floats(x.element(), {plan.rows(), x.dim(1)},
                           std::move(rows));
}

template <typename T>
static Tensor<T> ungroup(Call<T> &c, const Tensor<T> &rows, const Plan &plan) {
  if (!c.same("rows", rows.dim(0), plan.rows()))
    return {};
  int64_t d = rows.dim(1);
  std::vector<T> y(plan.tokens * plan.top_k * d);
  ref::Ungroup(rows.data(), plan, d, y.data());
  return Tensor<T>::floats(rows.element(), {plan.tokens, plan.top_k, d},
                           std::move(y));
}

template <typename T>
static Tensor<T> group(Call<T> &c, const Tensor<T> &y, const Plan &plan) {
  if (!c.same("rows of y", y.dim(0), plan.tokens) ||
      !c.same("choices of each token", y.dim(1), plan.top_k))
    return {};
  std::vector<T> rows(plan.rows() * y.dim(2));
  ref::Group(y.data(), plan, y.dim(2), rows.data());
  return Tensor<T>::floats(y.element(), {plan.rows(), y.dim(2)},
                           std::move(rows));
}

template <typename T>
static Tensor<T> planSeqs(Call<T> &c, const Plan &plan, const Tensor<T> &seqs) {
  if (!c.sequences(seqs, plan.tokens))
    return {};
  std::vector<int32_t> y(seqs.dim(0));
  ref::PlanSeqs(plan, seqs.int32s().data(), seqs.dim(0) - 1, y.data());
  return int32Tensor<T>(seqs.shape(), y);
}

template <typename T>
Tensor<T> mlir::moe::combine(Check &c, const Tensor<T> &rows, const Plan &plan,
                             const Tensor<T> &weights) {
  if (!c.expect(rows.rank() == 2 && weights.rank() == 2,
                "rows [R, D] and weights [T, K]") ||
      !c.same("rows", rows.dim(0), plan.rows()) ||
      !c.same("rows of the weights", weights.dim(0), plan.tokens) ||
      !c.same("weights of each token", weights.dim(1), plan.top_k))
    return {};
  std::vector<T> y(plan.tokens * rows.dim(1));
  ref::Combine(rows.data(), plan, weights.data(), rows.dim(1), y.data());
  return Tensor<T>::floats(rows.element(), {plan.tokens, rows.dim(1)},
                           std::move(y));
}

template <typename T>
static Tensor<T> groupedBroadcast(const Tensor<T> &v, const Plan &plan) {
  std::vector<T> y(plan.rows() * v.dim(1));
  ref::GroupedBroadcast(v.data(), plan.offsets.data(), plan.experts, v.dim(1),
                        y.data());
  return Tensor<T>::floats(v.element(), {plan.rows(), v.dim(1)}, std::move(y));
}

template <typename T>
Tensor<T> mlir::moe::experts(Call<T> &c, const Tensor<T> &rows,
                             const Plan &plan, llvm::ArrayRef<Tensor<T>> params,
                             Region &body, RankedTensorType type,
                             bool isolated) {
  if (!c.same("rows", rows.dim(0), plan.rows()))
    return {};
  llvm::SmallVector<Tensor<T>> parts;
  for (int64_t e = 0; e < plan.experts; ++e) {
    int64_t begin = plan.offsets[e], end = plan.offsets[e + 1];
    if (begin == end)
      continue;
    Results<T> args{rows.rows(begin, end)};
    for (const Tensor<T> &param : params)
      args.push_back(param.rows(e, e + 1, /*drop=*/true));
    Results<T> yielded = c.region(body, args, isolated);
    if (c.failed() || !c.same("yielded values", yielded.size(), 1))
      return {};
    const Tensor<T> &part = yielded[0].tensor();
    if (!c.same("yielded rows", part.rank() ? part.dim(0) : 1, end - begin) ||
        !c.expect(part.rank() == type.getRank() &&
                      part.element() == elementOf(type),
                  "rows like those of the result, got " + part.describe()))
      return {};
    parts.push_back(part);
  }
  if (!parts.empty())
    return Tensor<T>::joined(parts);
  int64_t width =
      ShapedType::isDynamic(type.getDimSize(1)) ? 0 : type.getDimSize(1);
  return Tensor<T>::floats(*elementOf(type), {0, width}, {});
}

template <typename T>
void mlir::moe::addRoutingHandlers(HandlerTable<T> &table) {
  table.template add<GroupMaskOp>(
      [](Call<T> &c, GroupMaskOp op) { return groupMask(c[op.getS()], op); });
  table.template add<SelectOp>([](Call<T> &c, SelectOp op) {
    std::optional<double> above;
    if (op.getAbove())
      above = op.getAbove()->convertToDouble();
    return select(c, c[op.getS()], c.maybe(op.getBias()), op.getK(), above);
  });
  table.template add<MaskChoicesOp>([](Call<T> &c, MaskChoicesOp op) {
    return maskChoices(c, c[op.getS()], c[op.getIdx()],
                       op.getFill().convertToDouble());
  });
  table.template add<PickOp>([](Call<T> &c, PickOp op) {
    return pick(c, c[op.getS()], c[op.getIdx()]);
  });
  table.template add<ScatterPickOp>([](Call<T> &c, ScatterPickOp op) {
    return scatterPick(c, c[op.getG()], c[op.getIdx()], op.getExperts());
  });
  table.template add<StopGradientOp>(
      [](Call<T> &c, StopGradientOp op) { return c[op.getX()]; });
  table.template add<MakePlanOp>([](Call<T> &c, MakePlanOp op) {
    const Tensor<T> &idx = c[op.getIdx()];
    return ref::MakePlan(idx.int32s().data(), idx.dim(0), op.getExperts(),
                         idx.dim(1));
  });
  table.template add<PlanIndicesOp>([](Call<T> &c, PlanIndicesOp op) {
    const Plan &plan = c.plan(op.getPlan());
    return int32Tensor<T>({plan.tokens, plan.top_k}, plan.idx);
  });
  table.template add<CountsOp>([](Call<T> &c, CountsOp op) {
    const Plan &plan = c.plan(op.getPlan());
    std::vector<int32_t> counts(plan.experts);
    ref::Counts(plan, counts.data());
    return int32Tensor<T>({plan.experts}, counts);
  });
  table.template add<DispatchOp>([](Call<T> &c, DispatchOp op) {
    return dispatch(c, c[op.getX()], c.plan(op.getPlan()));
  });
  table.template add<UngroupOp>([](Call<T> &c, UngroupOp op) {
    return ungroup(c, c[op.getRows()], c.plan(op.getPlan()));
  });
  table.template add<GroupOp>([](Call<T> &c, GroupOp op) {
    return group(c, c[op.getY()], c.plan(op.getPlan()));
  });
  table.template add<PlanSeqsOp>([](Call<T> &c, PlanSeqsOp op) {
    return planSeqs(c, c.plan(op.getPlan()), c[op.getCuSeqlens()]);
  });
  table.template add<ExpertsOp>([](Call<T> &c, ExpertsOp op) {
    llvm::SmallVector<Tensor<T>> params;
    for (Value param : op.getParams())
      params.push_back(c[param]);
    return experts<T>(c, c[op.getRows()], c.plan(op.getPlan()), params,
                      op.getBody(), op.getY().getType(),
                      /*isolated=*/true);
  });
  table.template add<CombineOp>([](Call<T> &c, CombineOp op) {
    return combine(c, c[op.getRows()], c.plan(op.getPlan()), c[op.getW()]);
  });
  table.template add<GroupedBroadcastOp>([](Call<T> &c, GroupedBroadcastOp op) {
    return groupedBroadcast(c[op.getV()], c.plan(op.getPlan()));
  });
}

#define MOE_INSTANTIATE(T)                                                     \
  template Tensor<T> mlir::moe::dispatch(Check &, const Tensor<T> &,           \
                                         const Plan &);                        \
  template Tensor<T> mlir::moe::combine(Check &, const Tensor<T> &,            \
                                        const Plan &, const Tensor<T> &);      \
  template Tensor<T> mlir::moe::experts(                                       \
      Call<T> &, const Tensor<T> &, const Plan &, llvm::ArrayRef<Tensor<T>>,   \
      Region &, RankedTensorType, bool);                                       \
  template void mlir::moe::addRoutingHandlers(HandlerTable<T> &);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE
