// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operations that gradients need and forward programs do not have.
#include "dialect/moe/MoeDialect.h"
#include "lib/interpreter/machine.h"
#include "lib/reference/vjp.h"

using namespace mlir;
using namespace mlir::moe;
namespace ref = ::moe::reference;

/// The result of |c|, or its result |i|.
template <typename T>
static Tensor<T> result(Call<T> &c, llvm::ArrayRef<int64_t> shape,
                        std::vector<T> values, unsigned i = 0) {
  return Tensor<T>::floats(c.resultElement(i), shape, std::move(values));
}

template <typename T> static Tensor<T> linearDx(Call<T> &c, nn::LinearDxOp op) {
  const Tensor<T> &dy = c[op.getDy()], &w = c[op.getW()];
  int64_t tokens = dy.dim(0), n = w.dim(0), k = w.dim(1);
  if (!c.same("columns of dy", dy.dim(1), n))
    return {};
  std::vector<T> dx(tokens * k);
  ref::LinearVjpX(dy.data(), w.data(), tokens, n, k, dx.data());
  return result(c, {tokens, k}, std::move(dx));
}

template <typename T> static Tensor<T> linearDw(Call<T> &c, nn::LinearDwOp op) {
  const Tensor<T> &dy = c[op.getDy()], &x = c[op.getX()];
  int64_t n = dy.dim(1), k = x.dim(1);
  if (!c.same("rows of x", x.dim(0), dy.dim(0)))
    return {};
  std::vector<T> dw(n * k);
  ref::LinearVjpW(dy.data(), x.data(), dy.dim(0), n, k, dw.data());
  return result(c, {n, k}, std::move(dw));
}

template <typename T>
static Tensor<T> headLinearDx(Call<T> &c, nn::HeadLinearDxOp op) {
  const Tensor<T> &dy = c[op.getDy()], &w = c[op.getW()];
  int64_t tokens = dy.dim(0), heads = w.dim(0), n = w.dim(1), k = w.dim(2);
  std::vector<T> dx(tokens * heads * k);
  ref::HeadLinearVjpX(dy.data(), w.data(), tokens, heads, n, k, dx.data());
  return result(c, {tokens, heads, k}, std::move(dx));
}

template <typename T>
static Tensor<T> headLinearDw(Call<T> &c, nn::HeadLinearDwOp op) {
  const Tensor<T> &dy = c[op.getDy()], &x = c[op.getX()];
  int64_t heads = dy.dim(1), n = dy.dim(2), k = x.dim(2);
  if (!c.same("rows of x", x.dim(0), dy.dim(0)))
    return {};
  std::vector<T> dw(heads * n * k);
  ref::HeadLinearVjpW(dy.data(), x.data(), dy.dim(0), heads, n, k, dw.data());
  return result(c, {heads, n, k}, std::move(dw));
}

/// |dy| is the gradient of something of the shape of |x|.
template <typename T>
static bool likes(Call<T> &c, const Tensor<T> &dy, const Tensor<T> &x) {
  return c.expect(dy.shape() == x.shape(),
                  "a gradient like " + x.describe() + ", got " + dy.describe());
}

template <typename T>
static Results<T> rmsNormGrad(Call<T> &c, nn::RmsNormGradOp op) {
  const Tensor<T> &x = c[op.getX()], &w = c[op.getW()], &dy = c[op.getDy()];
  int64_t d = w.size();
  if (!likes(c, dy, x) || !c.same("columns of x", x.shape().back(), d))
    return {};
  std::vector<T> dx(x.size()), dw(d);
  ref::RmsNormVjp(x.data(), w.data(), dy.data(), d ? x.size() / d : 0, d,
                  static_cast<T>(op.getEps().convertToDouble()), dx.data(),
                  dw.data());
  return {result(c, x.shape(), std::move(dx)),
          result(c, {d}, std::move(dw), 1)};
}

template <typename T>
static Results<T> layerNormGrad(Call<T> &c, nn::LayerNormGradOp op) {
  const Tensor<T> &x = c[op.getX()], &w = c[op.getW()], &dy = c[op.getDy()];
  int64_t d = w.size();
  if (!likes(c, dy, x) || !c.same("columns of x", x.shape().back(), d))
    return {};
  std::vector<T> dx(x.size()), dw(d), dbias(d);
  ref::LayerNormVjp(x.data(), w.data(), dy.data(), d ? x.size() / d : 0, d,
                    static_cast<T>(op.getEps().convertToDouble()), dx.data(),
                    dw.data(), dbias.data());
  return {result(c, x.shape(), std::move(dx)), result(c, {d}, std::move(dw), 1),
          result(c, {d}, std::move(dbias), 2)};
}

static ref::Activation referenceOf(nn::Activation act) {
  return *ref::ParseActivation(std::string_view(nn::stringifyActivation(act)));
}

template <typename T>
static Tensor<T> activateGrad(Call<T> &c, nn::ActivateGradOp op) {
  const Tensor<T> &x = c[op.getX()], &dy = c[op.getDy()];
  if (!likes(c, dy, x))
    return {};
  std::vector<T> dx(x.size());
  ref::ActivateVjp(referenceOf(op.getAct()), x.data(), dy.data(), x.size(),
                   dx.data());
  return result(c, x.shape(), std::move(dx));
}

template <typename T> static Tensor<T> gluGrad(Call<T> &c, nn::GluGradOp op) {
  const Tensor<T> &x = c[op.getX()], &dy = c[op.getDy()];
  if (!c.same("rows of dy", dy.dim(0), x.dim(0)))
    return {};
  std::vector<T> dx(x.size());
  ref::GluVjp(
      x.data(), dy.data(), referenceOf(op.getAct()),
      {op.getLimit().convertToDouble(), op.getShift().convertToDouble()},
      x.dim(0), dy.dim(1), dx.data());
  return result(c, x.shape(), std::move(dx));
}

template <typename T>
static Tensor<T> reduceGrad(Call<T> &c, nn::ReduceGradOp op) {
  const Tensor<T> &x = c[op.getX()], &y = c[op.getY()], &dy = c[op.getDy()];
  int64_t axis = op.getAxis(), outer = 1, inner = 1;
  llvm::SmallVector<int64_t> shape(x.shape());
  shape.erase(shape.begin() + axis);
  if (!likes(c, dy, y) || !c.expect(y.shape() == llvm::ArrayRef(shape),
                                    "y of x without an axis, got " +
                                        y.describe() + " of " + x.describe()))
    return {};
  for (int64_t i = 0; i < x.rank(); ++i)
    (i < axis ? outer : inner) *= i == axis ? 1 : x.dim(i);
  auto kind = *ref::ParseReduceKind(
      std::string_view(nn::stringifyReduceKind(op.getKind())));
  std::vector<T> dx(x.size());
  ref::ReduceVjp(kind, x.data(), y.data(), dy.data(), outer, x.dim(axis), inner,
                 dx.data());
  return result(c, x.shape(), std::move(dx));
}

template <typename T>
static Results<T> attendGrad(Call<T> &c, nn::AttendGradOp op) {
  const Tensor<T> &q = c[op.getQ()], &k = c[op.getK()], &dy = c[op.getDy()];
  const Tensor<T> &seqs = c[op.getCuSeqlens()];
  Maybe<T> v = c.maybe(op.getV());
  if (!c.same("rows of k", k.dim(0), q.dim(0)) ||
      !c.same("rows of dy", dy.dim(0), q.dim(0)) ||
      (v && !c.same("rows of v", v->dim(0), q.dim(0))) ||
      !c.sequences(seqs, q.dim(0)))
    return {};
  ref::AttendShape shape;
  shape.tokens = q.dim(0);
  shape.sequences = seqs.dim(0) - 1;
  shape.heads = q.dim(1);
  shape.kv_heads = k.dim(1);
  shape.key_dims = q.dim(2);
  shape.value_dims = dy.dim(2);
  shape.scale = op.getScale().convertToDouble();
  shape.window = op.getWindow();
  shape.tiled = op.getTiled();
  shape.cap = op.getCap().convertToDouble();
  Maybe<T> sinks = c.maybe(op.getSinks());
  std::vector<T> dq(q.size()), dk(k.size()), dv(v ? v->size() : 0);
  std::vector<T> dsinks(sinks ? sinks->size() : 0);
  ref::AttendVjp(shape, q.data(), k.data(), v ? v->data() : nullptr,
                 seqs.int32s().data(), dy.data(), dq.data(), dk.data(),
                 v ? dv.data() : nullptr, sinks ? sinks->data() : nullptr,
                 dsinks.data());
  Results<T> results{result(c, q.shape(), std::move(dq)),
                     result(c, k.shape(), std::move(dk), 1)};
  if (v)
    results.push_back(result(c, v->shape(), std::move(dv), 2));
  if (sinks)
    results.push_back(
        result(c, sinks->shape(), std::move(dsinks), results.size()));
  return results;
}

template <typename T>
static Tensor<T> embeddingGrad(Call<T> &c, nn::EmbeddingGradOp op) {
  const Tensor<T> &ids = c[op.getIds()], &dy = c[op.getDy()];
  llvm::SmallVector<int64_t> shape(
      cast<RankedTensorType>(op.getDtable().getType()).getShape());
  if (op.getLike())
    shape[0] = c[op.getLike()].dim(0);
  if (!c.same("rows of dy", dy.dim(0), ids.dim(0)))
    return {};
  for (int64_t id : ids.integers())
    if (!c.expect(0 <= id && id < shape[0], "ids below " +
                                                llvm::Twine(shape[0]) +
                                                ", got " + llvm::Twine(id)))
      return {};
  std::vector<T> table(shape[0] * shape[1]);
  ref::EmbeddingVjp(ids.int32s().data(), dy.data(), ids.dim(0), shape[0],
                    shape[1], table.data());
  return result(c, shape, std::move(table));
}

template <typename T>
static Tensor<T> lastRowsGrad(Call<T> &c, nn::LastRowsGradOp op) {
  const Tensor<T> &dy = c[op.getDy()], &seqs = c[op.getCuSeqlens()];
  int64_t tokens = c[op.getLike()].dim(0), d = dy.dim(1);
  if (!c.sequences(seqs, tokens) ||
      !c.same("rows of dy", dy.dim(0), seqs.dim(0) - 1))
    return {};
  for (int64_t end : seqs.integers().drop_front())
    if (!c.expect(end > 0, "a row before the end of each sequence"))
      return {};
  std::vector<T> dx(tokens * d);
  ref::LastRowsVjp(dy.data(), seqs.int32s().data(), tokens, dy.dim(0), d,
                   dx.data());
  return result(c, {tokens, d}, std::move(dx));
}

template <typename T>
static Tensor<T> dispatchGrad(Call<T> &c, DispatchGradOp op) {
  const Tensor<T> &drows = c[op.getDrows()];
  const Plan &plan = c.plan(op.getPlan());
  int64_t d = drows.dim(1);
  if (!c.same("rows", drows.dim(0), plan.rows()))
    return {};
  std::vector<T> dx(plan.tokens * d);
  ref::DispatchVjp(drows.data(), plan, d, dx.data());
  return result(c, {plan.tokens, d}, std::move(dx));
}

template <typename T>
static Results<T> combineGrad(Call<T> &c, CombineGradOp op) {
  const Tensor<T> &rows = c[op.getRows()], &w = c[op.getW()],
                  &dy = c[op.getDy()];
  const Plan &plan = c.plan(op.getPlan());
  if (!c.same("rows", rows.dim(0), plan.rows()) ||
      !c.same("rows of the weights", w.dim(0), plan.tokens) ||
      !c.same("rows of dy", dy.dim(0), plan.tokens))
    return {};
  std::vector<T> drows(rows.size()), dw(w.size());
  ref::CombineVjp(rows.data(), plan, w.data(), dy.data(), rows.dim(1),
                  drows.data(), dw.data());
  return {result(c, rows.shape(), std::move(drows)),
          result(c, w.shape(), std::move(dw), 1)};
}

template <typename T> static Tensor<T> weigh(Call<T> &c, WeighOp op) {
  const Tensor<T> &rows = c[op.getRows()], &w = c[op.getW()];
  const Plan &plan = c.plan(op.getPlan());
  if (!c.same("rows", rows.dim(0), plan.rows()) ||
      !c.same("rows of the weights", w.dim(0), plan.tokens))
    return {};
  std::vector<T> y(rows.size());
  ref::Weigh(rows.data(), plan, w.data(), rows.dim(1), y.data());
  return result(c, rows.shape(), std::move(y));
}

template <typename T> static Results<T> weighGrad(Call<T> &c, WeighGradOp op) {
  const Tensor<T> &rows = c[op.getRows()], &w = c[op.getW()],
                  &dy = c[op.getDy()];
  const Plan &plan = c.plan(op.getPlan());
  if (!c.same("rows", rows.dim(0), plan.rows()) ||
      !c.same("rows of the weights", w.dim(0), plan.tokens) ||
      !c.same("rows of dy", dy.dim(0), plan.rows()))
    return {};
  std::vector<T> drows(rows.size()), dw(w.size());
  ref::WeighVjp(rows.data(), plan, w.data(), dy.data(), rows.dim(1),
                drows.data(), dw.data());
  return {result(c, rows.shape(), std::move(drows)),
          result(c, w.shape(), std::move(dw), 1)};
}

template <typename T>
static Tensor<T> groupedMatmulDx(Call<T> &c, GroupedMatmulDxOp op) {
  const Tensor<T> &dy = c[op.getDy()], &w = c[op.getW()];
  const Plan &plan = c.plan(op.getPlan());
  int64_t n = w.dim(1), k = w.dim(2);
  if (!c.same("rows of dy", dy.dim(0), plan.rows()))
    return {};
  std::vector<T> dx(plan.rows() * k);
  ref::GroupedMatmulVjpX(dy.data(), plan.offsets.data(), w.data(), plan.experts,
                         n, k, dx.data());
  return result(c, {plan.rows(), k}, std::move(dx));
}

template <typename T>
static Tensor<T> groupedMatmulDw(Call<T> &c, GroupedMatmulDwOp op) {
  const Tensor<T> &dy = c[op.getDy()], &x = c[op.getX()];
  const Plan &plan = c.plan(op.getPlan());
  int64_t n = dy.dim(1), k = x.dim(1);
  if (!c.same("rows of dy", dy.dim(0), plan.rows()) ||
      !c.same("rows of x", x.dim(0),
              op.getGather() ? plan.tokens : plan.rows()))
    return {};
  std::vector<int32_t> source(plan.rows());
  ref::PlanTokens(plan, source.data());
  std::vector<T> dw(plan.experts * n * k);
  ref::GroupedMatmulVjpW(dy.data(), x.data(),
                         op.getGather() ? source.data() : nullptr,
                         plan.offsets.data(), plan.experts, n, k, dw.data());
  return result(c, {plan.experts, n, k}, std::move(dw));
}

template <typename T> static Tensor<T> groupedSum(Call<T> &c, GroupedSumOp op) {
  const Tensor<T> &rows = c[op.getRows()];
  const Plan &plan = c.plan(op.getPlan());
  if (!c.same("rows", rows.dim(0), plan.rows()))
    return {};
  std::vector<T> sums(plan.experts * rows.dim(1));
  ref::GroupedMatmulVjpBias(rows.data(), plan.offsets.data(), plan.experts,
                            rows.dim(1), sums.data());
  return result(c, {plan.experts, rows.dim(1)}, std::move(sums));
}

template <typename T>
static Tensor<T> groupMaskGrad(Call<T> &c, GroupMaskGradOp op) {
  const Tensor<T> &s = c[op.getS()], &dy = c[op.getDy()];
  if (!likes(c, dy, s))
    return {};
  ref::GroupScore score{
      op.getScore() == GroupScore::Max ? 0 : int64_t(op.getTop())};
  std::vector<T> ds(s.size());
  ref::GroupMaskVjp(s.data(), dy.data(), s.dim(0), s.dim(1), op.getGroups(),
                    op.getKeep(), score, ds.data());
  return result(c, s.shape(), std::move(ds));
}

template <typename T>
void mlir::moe::addGradientHandlers(HandlerTable<T> &table) {
  table.template add<nn::LinearDxOp>(linearDx<T>);
  table.template add<nn::LinearDwOp>(linearDw<T>);
  table.template add<nn::HeadLinearDxOp>(headLinearDx<T>);
  table.template add<nn::HeadLinearDwOp>(headLinearDw<T>);
  table.template add<nn::RmsNormGradOp>(rmsNormGrad<T>);
  table.template add<nn::LayerNormGradOp>(layerNormGrad<T>);
  table.template add<nn::ActivateGradOp>(activateGrad<T>);
  table.template add<nn::GluGradOp>(gluGrad<T>);
  table.template add<nn::ReduceGradOp>(reduceGrad<T>);
  table.template add<nn::AttendGradOp>(attendGrad<T>);
  table.template add<nn::EmbeddingGradOp>(embeddingGrad<T>);
  table.template add<nn::LastRowsGradOp>(lastRowsGrad<T>);
  table.template add<nn::JoinLayersOp>([](Call<T> &c, nn::JoinLayersOp op) {
    llvm::SmallVector<Tensor<T>> parts;
    for (Value x : op.getXs())
      parts.push_back(c[x]);
    return Tensor<T>::joined(parts);
  });
  table.template add<DispatchGradOp>(dispatchGrad<T>);
  table.template add<CombineGradOp>(combineGrad<T>);
  table.template add<WeighOp>(weigh<T>);
  table.template add<WeighGradOp>(weighGrad<T>);
  table.template add<GroupedMatmulDxOp>(groupedMatmulDx<T>);
  table.template add<GroupedMatmulDwOp>(groupedMatmulDw<T>);
  table.template add<GroupedSumOp>(groupedSum<T>);
  table.template add<GroupMaskGradOp>(groupMaskGrad<T>);
}

template void mlir::moe::addGradientHandlers(HandlerTable<float> &);
template void mlir::moe::addGradientHandlers(HandlerTable<double> &);
