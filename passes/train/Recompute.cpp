// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What is kept is a minimum cut: values are nodes whose capacity is their size,
// what cannot be computed again hangs on the source, what the backward pass
// reads on the sink, and operations lead from operands to results. Of cuts of
// one size the one nearest to the readers is taken, which computes least again.
#include "passes/train/Recompute.h"

#include <deque>

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::train;

std::optional<Recompute> train::parseRecompute(StringRef text) {
  return llvm::StringSwitch<std::optional<Recompute>>(text)
      .Case("none", Recompute::None)
      .Case("selective", Recompute::Selective)
      .Case("full", Recompute::Full)
      .Default(std::nullopt);
}

StringRef train::stringifyRecompute(Recompute policy) {
  return policy == Recompute::None   ? "none"
         : policy == Recompute::Full ? "full"
                                     : "selective";
}

bool train::isComputedAgain(Operation *op, Recompute policy) {
  if (!op || op->getNumRegions() || !isPure(op))
    return false;
  if (op->hasTrait<OpTrait::ConstantLike>() ||
      isa<nn::ParamGetOp, nn::BroadcastOp, nn::ReshapeOp, arith::ExtFOp,
          DispatchOp, PlanIndicesOp, StopGradientOp>(op))
    return true;
  // Layers and keys.
  if (isa<LayerKeyOp>(op) ||
      llvm::all_of(op->getResultTypes(), llvm::IsaPred<IndexType>))
    return true;
  if (policy == Recompute::None)
    return false;
  // Integers are choices.
  if (llvm::any_of(op->getResultTypes(), [](Type type) {
        Type element = getElementTypeOrSelf(type);
        return !isa<FloatType>(element) && !element.isInteger(1);
      }))
    return false;
  if (isa<nn::LinearOp, nn::HeadLinearOp, nn::SegmentLinearOp, nn::AttendOp,
          GroupedMatmulOp, MixOp, UnmixOp, MergeParamsOp>(op))
    return policy == Recompute::Full;
  return !isa<AllToAllVOp, AllToAllVBackOp, SinkhornOp>(op);
}

/// How many rows |value| has for a token: those of experts have K.
static int64_t rowsForToken(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op)
    return 1;
  if (isa<DispatchOp, GroupOp, GroupedMatmulOp, GroupedBroadcastOp, WeighOp>(
          op))
    for (Value operand : op->getOperands())
      if (auto plan = dyn_cast<PlanType>(operand.getType()))
        return plan.getK();
  if (isa<CombineOp, UngroupOp>(op))
    return 1;
  int64_t most = 1;
  for (Value operand : op->getOperands()) {
    auto type = dyn_cast<RankedTensorType>(operand.getType());
    if (type && type.getRank() && type.isDynamicDim(0))
      most = std::max(most, rowsForToken(operand));
  }
  return most;
}

ValueBytes train::bytesOf(Value value) {
  // Indices of choices, their rows, and back; where the rows of experts start.
  if (auto plan = dyn_cast<PlanType>(value.getType()))
    return {3 * 4 * plan.getK(), 4 * (plan.getExperts() + 1)};
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type)
    return {0, 8};
  int64_t bytes =
      llvm::divideCeil(type.getElementType().getIntOrFloatBitWidth(), 8);
  for (int64_t size : type.getShape())
    bytes *= ShapedType::isDynamic(size) ? rowsForToken(value) : size;
  if (type.hasStaticShape())
    return {0, bytes};
  return {bytes, 0};
}

namespace {
/// Maximum flow by shortest paths (Edmonds and Karp); graphs have few hundred
/// nodes.
class Network {
public:
  static constexpr int64_t kUnlimited = int64_t(1) << 60;

  unsigned node() {
    edges.emplace_back();
    return edges.size() - 1;
  }
  void edge(unsigned from, unsigned to, int64_t capacity) {
    edges[from].push_back({to, unsigned(edges[to].size()), capacity});
    edges[to].push_back({from, unsigned(edges[from].size() - 1), 0});
  }
  void saturate(unsigned source, unsigned sink) {
    while (augment(source, sink)) {
    }
  }
  /// The nodes from which the sink can still be reached.
  SmallVector<bool> reaching(unsigned sink) const {
    SmallVector<bool> seen(edges.size());
    std::deque<unsigned> queue{sink};
    seen[sink] = true;
    for (; !queue.empty(); queue.pop_front())
      for (const Edge &back : edges[queue.front()])
        if (edges[back.to][back.twin].capacity > 0 && !seen[back.to]) {
          seen[back.to] = true;
          queue.push_back(back.to);
        }
    return seen;
  }

private:
  struct Edge {
    unsigned to, twin;
    int64_t capacity;
  };

  /// Whether there was a path left.
  bool augment(unsigned source, unsigned sink) {
    SmallVector<std::pair<int, unsigned>> from(edges.size(), {-1, 0});
    std::deque<unsigned> queue{source};
    from[source] = {int(source), 0};
    for (; !queue.empty() && from[sink].first < 0; queue.pop_front())
      for (auto [i, edge] : llvm::enumerate(edges[queue.front()]))
        if (edge.capacity > 0 && from[edge.to].first < 0) {
          from[edge.to] = {int(queue.front()), unsigned(i)};
          queue.push_back(edge.to);
        }
    if (from[sink].first < 0)
      return false;
    int64_t flow = kUnlimited;
    auto path = [&](llvm::function_ref<void(Edge &)> visit) {
      for (unsigned at = sink; at != source; at = from[at].first)
        visit(edges[from[at].first][from[at].second]);
    };
    path([&](Edge &edge) { flow = std::min(flow, edge.capacity); });
    path([&](Edge &edge) {
      edge.capacity -= flow;
      edges[edge.to][edge.twin].capacity += flow;
    });
    return true;
  }

  SmallVector<SmallVector<Edge, 4>, 0> edges;
};

class Cut {
  /// Sizes are compared for so many.
  static constexpr int64_t kTokens = 1024;

public:
  Cut(Block &body, Recompute policy)
      : body(body), policy(policy), source(network.node()),
        sink(network.node()) {}

  llvm::SetVector<Value> run(ArrayRef<Value> needed) {
    for (Value value : needed)
      network.edge(enter(value) + 1, sink, Network::kUnlimited);
    network.saturate(source, sink);
    SmallVector<bool> reaching = network.reaching(sink);
    llvm::SetVector<Value> kept;
    for (auto [value, in] : nodes)
      if (!reaching[in] && reaching[in + 1])
        kept.insert(value);
    return kept;
  }

private:
  /// The first of the two nodes of |value|.
  unsigned enter(Value value) {
    if (auto found = nodes.find(value); found != nodes.end())
      return found->second;
    unsigned in = network.node(), out = network.node();
    nodes[value] = in;
    network.edge(in, out, bytesOf(value).of(kTokens));
    Operation *op = value.getDefiningOp();
    if (!isComputedAgain(op, policy)) {
      network.edge(source, in, Network::kUnlimited);
      return in;
    }
    for (Value operand : op->getOperands())
      if (operand.getParentBlock() == &body && operand != body.getArgument(0))
        network.edge(enter(operand) + 1, in, Network::kUnlimited);
    return in;
  }

  Block &body;
  Recompute policy;
  Network network;
  unsigned source, sink;
  llvm::MapVector<Value, unsigned> nodes;
};
} // namespace

llvm::SetVector<Value> train::valuesToKeep(Block &body, ArrayRef<Value> needed,
                                           Recompute policy) {
  return Cut(body, policy).run(needed);
}
