// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sugar of the model phase, by what its descriptions say and independent of the
// pass that expands it.
#include "dialect/moe/MoeDialect.h"
#include "lib/interpreter/machine.h"

#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace mlir::moe;

/// Parameters of one sugar operation by symbol.
template <typename T> class Params {
public:
  Params(Call<T> &c, Value layer) : c(c), layer(layer) {}
  Tensor<T> operator()(FlatSymbolRefAttr name) { return c.param(name, layer); }
  llvm::SmallVector<Tensor<T>> operator()(ArrayAttr names) {
    llvm::SmallVector<Tensor<T>> values;
    for (auto name : names.getAsRange<FlatSymbolRefAttr>())
      values.push_back(c.param(name, layer));
    return values;
  }
  /// x·wᵀ, with a bias if |bias| is given.
  Tensor<T> project(const Tensor<T> &x, FlatSymbolRefAttr w,
                    FlatSymbolRefAttr bias = {}) {
    if (!bias)
      return linear(c, x, (*this)(w));
    Tensor<T> terms = (*this)(bias);
    return linear(c, x, (*this)(w), &terms);
  }

private:
  Call<T> &c;
  Value layer;
};

template <typename T>
static Tensor<T> attention(Call<T> &c, nn::AttentionOp op) {
  Params<T> params(c, op.getLayer());
  const Tensor<T> &x = c[op.getX()], &table = c[op.getRope()];
  int64_t heads = op.getHeads(), kvHeads = op.getKvHeads(),
          dim = op.getHeadDim();
  Tensor<T> n =
      rmsNorm(c, x, params(op.getNormAttr()), op.getEps().convertToDouble());
  Tensor<T> v = regroup(c, params.project(n, op.getVAttr()), {kvHeads, dim});
  AttendOperands<T> operands;
  operands.q =
      rope(c, regroup(c, params.project(n, op.getQAttr()), {heads, dim}), table,
           op.getPairing(), 0);
  operands.k =
      rope(c, regroup(c, params.project(n, op.getKAttr()), {kvHeads, dim}),
           table, op.getPairing(), 0);
  operands.v = &v;
  operands.positions = c[op.getPositions()];
  operands.cuSeqlens = c[op.getCuSeqlens()];
  operands.scale = op.getScale().convertToDouble();
  operands.window = op.getWindow();
  Tensor<T> mixed = regroup(c, attend(c, operands), {heads * dim});
  return add(c, x, params.project(mixed, op.getOAttr()));
}

template <typename T>
static Tensor<T> latentAttention(Call<T> &c, nn::LatentAttentionOp op) {
  Params<T> params(c, op.getLayer());
  const Tensor<T> &x = c[op.getX()], &table = c[op.getRope()];
  double latentEps = op.getLatentEps().convertToDouble();
  int64_t heads = op.getHeads(), rank = op.getRank(), nope = op.getNopeDim(),
          turned = op.getRopeDim();
  Tensor<T> n =
      rmsNorm(c, x, params(op.getNormAttr()), op.getEps().convertToDouble());

  Tensor<T> q = n;
  if (op.getQAAttr())
    q = rmsNorm(c, params.project(n, op.getQAAttr(), op.getQABiasAttr()),
                params(op.getQNormAttr()), latentEps);
  q = regroup(c, params.project(q, op.getQAttr()), {heads, nope + turned});
  Tensor<T> qNope =
      headLinear(c, slice(c, q, 0, nope), params(op.getKUpAttr()));
  Tensor<T> qRope =
      rope(c, slice(c, q, nope, turned), table, op.getPairing(), 0);

  Tensor<T> kv = params.project(n, op.getKvAAttr(), op.getKvABiasAttr());
  Tensor<T> latent =
      rmsNorm(c, slice(c, kv, 0, rank), params(op.getKvNormAttr()), latentEps);
  Tensor<T> kRope = rope(c, regroup(c, slice(c, kv, rank, turned), {1, turned}),
                         table, op.getPairing(), 0);

  AttendOperands<T> operands;
  operands.q = concatenate<T>(c, {qNope, qRope});
  operands.k = concatenate<T>(c, {regroup(c, latent, {1, rank}), kRope});
  operands.valueDims = rank;
  operands.positions = c[op.getPositions()];
  operands.cuSeqlens = c[op.getCuSeqlens()];
  operands.scale = op.getScale().convertToDouble();
  Tensor<T> values =
      headLinear(c, attend(c, operands), params(op.getVUpAttr()));
  Tensor<T> mixed = regroup(c, values, {heads * int64_t(op.getValueDim())});
  return add(c, x, params.project(mixed, op.getOAttr(), op.getOBiasAttr()));
}

template <typename T> static Tensor<T> mlp(Call<T> &c, nn::MlpOp op) {
  Params<T> params(c, op.getLayer());
  const Tensor<T> &x = c[op.getX()];
  Tensor<T> n =
      rmsNorm(c, x, params(op.getNormAttr()), op.getEps().convertToDouble());
  Tensor<T> up = params.project(n, op.getGateUpAttr(), op.getGateUpBiasAttr());
  return add(c, x,
             params.project(glu(c, up, op.getAct()), op.getDownAttr(),
                            op.getDownBiasAttr()));
}

template <typename T> static Tensor<T> head(Call<T> &c, nn::HeadOp op) {
  Params<T> params(c, Value());
  Tensor<T> n = rmsNorm(c, c[op.getX()], params(op.getNormAttr()),
                        op.getEps().convertToDouble());
  return params.project(n, op.getWeightAttr()).converted(c.resultElement());
}

/// What the router of |op| takes behind x: inputs of the model, and |params|
/// for its other arguments.
template <typename T>
static void routerOperands(Call<T> &c, LayerOp op,
                           llvm::ArrayRef<Tensor<T>> params,
                           Results<T> &operands) {
  auto router =
      SymbolTable::lookupNearestSymbolFrom<RouterOp>(op, op.getRouterAttr());
  auto model = op->template getParentOfType<nn::ModelOp>();
  size_t next = 0;
  for (unsigned i = 1; router && i < router.getNumArguments(); ++i) {
    StringAttr input = router.getInput(i);
    if (!input) {
      if (!c.expect(next < params.size(),
                    "a parameter for each argument of the router"))
        return;
      operands.push_back(params[next++]);
      continue;
    }
    int place = llvm::StringSwitch<int>(input.getValue())
                    .Case("ids", 0)
                    .Case("positions", 1)
                    .Case("seqs", 2)
                    .Default(-1);
    if (!c.expect(model && place >= 0, "a model that gives the router its " +
                                           llvm::Twine(input.getValue())))
      return;
    operands.push_back(c.scope[model.getBody().getArgument(place)]);
  }
  if (router)
    c.same("router parameters", params.size(), next);
}

template <typename T> static Tensor<T> layer(Call<T> &c, LayerOp op) {
  Params<T> params(c, op.getLayer());
  const Tensor<T> &x = c[op.getX()];
  Results<T> routed{
      x.converted(x.element() == Element::BF16 ? Element::F32 : x.element())};
  routerOperands<T>(c, op, params(op.getRouterParams()), routed);
  if (c.failed())
    return {};
  auto route = c.machine.call(op, op.getRouterAttr().getAttr(), routed);
  if (failed(route)) {
    c.fail();
    return {};
  }
  if (!c.expect(route->size() >= 2 && (*route)[0].isPlan(),
                "a router that gives a plan"))
    return {};
  const Plan &plan = (*route)[0].plan();
  if (!c.same("experts of the router", plan.experts, op.getExperts()))
    return {};
  Tensor<T> rows = dispatch(c, x, plan);
  llvm::SmallVector<Tensor<T>> weights = params(op.getExpertParams());
  if (c.failed())
    return {};
  Tensor<T> out = experts<T>(c, rows, plan, weights, op.getBody(),
                             op.getY().getType(), /*isolated=*/false);
  Tensor<T> y = combine(c, out, plan, (*route)[1].tensor());
  if (op.getShared().empty())
    return y;
  Results<T> args{x};
  llvm::append_range(args, params(op.getSharedParams()));
  if (c.failed())
    return {};
  Results<T> shared = c.region(op.getShared(), args, /*isolated=*/false);
  if (c.failed() || !c.expect(shared.size() == 1 && shared[0].isTensor(),
                              "one tensor from the shared body"))
    return {};
  return add(c, y, shared[0].tensor());
}

template <typename T> void mlir::moe::addSugarHandlers(HandlerTable<T> &table) {
  table.template add<nn::AttentionOp>(attention<T>);
  table.template add<nn::LatentAttentionOp>(latentAttention<T>);
  table.template add<nn::MlpOp>(mlp<T>);
  table.template add<nn::HeadOp>(head<T>);
  table.template add<LayerOp>(layer<T>);
}

template void mlir::moe::addSugarHandlers(HandlerTable<float> &);
template void mlir::moe::addSugarHandlers(HandlerTable<double> &);
