// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Builds a module of the model phase. A family first declares parameters, then
// the router, then the model:
//
//   Param embed = m.matrix("embed", "model.embed_tokens.weight", vocab, hidden);
//   ...
//   Value x = m.begin(embed);
//   x = m.layers({0, count}, x, [&](Value layer, Value h) { ... });
//   m.end(x, norm, eps, head);
//
// Declaring a parameter looks its tensors up. The first error is kept, and
// building goes on as if there were none: ask status() at the end.
#ifndef MOE_LIB_FRONTEND_BUILDER_H
#define MOE_LIB_FRONTEND_BUILDER_H

#include "dialect/moe/MoeDialect.h"
#include "lib/frontend/rope.h"
#include "lib/frontend/weights.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SetVector.h"

#include <optional>
#include <string>

namespace mlir::moe::frontend {

/// A declared `nn.param`.
struct Param {
  FlatSymbolRefAttr symbol;
  RankedTensorType type; ///< of one layer
  bool perLayer = false;
  explicit operator bool() const { return static_cast<bool>(symbol); }
};

/// A gated MLP: experts, shared experts or a dense layer.
struct MlpParams {
  Param gateUp = {}, down = {}, gateUpBias = {},
        downBias = {}; ///< biases may be absent
  nn::Activation act = nn::Activation::Silu;
  double limit = 0, shift = 0; ///< of nn.glu, in experts
};

/// A mixture-of-experts layer.
struct MoeParams {
  FlatSymbolRefAttr router = {};
  Param gate = {}, gateBias = {}; ///< of the router; the second may be absent
  int64_t experts = 0, segments = 1;
  MlpParams expert = {};
  std::optional<MlpParams> shared = {};
  Param sharedGate = {}; ///< [1, D]: scales what the shared experts give
};

/// |value| in all elements of a [T, N] tensor like |like|.
Value constantLike(OpBuilder &builder, Location loc, Value like, double value);

/// Operations of a router's body.
class RouterBuilder {
public:
  RouterBuilder(OpBuilder &builder, Location loc)
      : builder(builder), loc(loc) {}
  Value linear(Value x, Value w);
  Value softmax(Value scores); ///< over experts
  Value sigmoid(Value scores);
  /// |scores| with |bias| [E] added to every row.
  Value addBias(Value scores, Value bias);
  Value select(Value scores, int64_t k);
  Value pick(Value scores, Value idx);
  /// To sum 1 over the chosen: divided by max(sum + |eps|, |least|).
  Value renormalize(Value weights, double eps = 0, double least = 0);
  /// The choices |idx| of |rows| and their |weights| as choices of experts,
  /// of which |map| names one for each row: weights of one expert are added.
  std::pair<Value, Value> merge(Value idx, Value weights, int64_t experts,
                                llvm::ArrayRef<int64_t> map);
  Value scale(Value weights, double factor);
  Value groupMask(Value scores, int64_t groups, int64_t keep, GroupScore score,
                  double fill, int64_t top = 1);
  /// |value| everywhere, of the type of |like|.
  Value constant(Value like, double value);

  OpBuilder &ops() { return builder; }
  Location where() const { return loc; }

private:
  OpBuilder &builder;
  Location loc;
};

class ModelBuilder {
public:
  /// The model's symbol is |name| with other characters than letters, digits
  /// and '_' replaced. |weights| must outlive the builder.
  ModelBuilder(MLIRContext &context, Weights &weights, std::string name);

  // Parameters. The dtype is the stored one.
  Param param(llvm::StringRef name, llvm::ArrayRef<int64_t> shape,
              llvm::ArrayRef<Source> sources,
              std::optional<LayerRange> layers = std::nullopt);
  Param vector(llvm::StringRef name, llvm::StringRef pattern, int64_t size,
               std::optional<LayerRange> layers = std::nullopt);
  Param matrix(llvm::StringRef name, llvm::StringRef pattern, int64_t rows,
               int64_t columns,
               std::optional<LayerRange> layers = std::nullopt);
  /// Rows of |gate|, then of |up|, |width| each; |columns| 0 for biases.
  Param gated(llvm::StringRef name, llvm::StringRef gate, llvm::StringRef up,
              int64_t width, int64_t columns, std::optional<LayerRange> layers);

  /// A matrix whose dtype says nothing about activations. router() marks its
  /// own.
  void ofRouter(Param gate);
  /// The part of |whole|, declared for all layers, that a loop over |layers|
  /// reads: a parameter of its own. Nothing may read |whole| after that.
  Param over(Param whole, LayerRange layers);

  /// `moe.router @name(x, gate, bias) -> (plan, weights)`; |bias| may be
  /// absent. |body| gives the chosen experts [T, K] and their weights [T, K].
  using RouterBody = llvm::function_ref<std::pair<Value, Value>(
      RouterBuilder &, Value x, Value gate, Value bias)>;
  FlatSymbolRefAttr router(llvm::StringRef name, int64_t hidden,
                           int64_t experts, int64_t k, Param gate, Param bias,
                           RouterBody body);

  /// Starts the model with the embedding of the ids. Activations are bf16 if
  /// every matrix declared up to now is, those of routers apart; else f32.
  Value begin(Param embed);
  Value ropeTable(const RopeTable &rope);
  /// Runs |body| for each layer of the range; |x| itself if it is empty. The
  /// index is the layer or, where the range takes steps, the number of steps.
  Value layers(LayerRange range, Value x,
               llvm::function_ref<Value(Value layer, Value x)> body);
  Value rmsNorm(Value x, Param weight, Value layer, double eps);
  Value layerNorm(Value x, Param weight, Param bias, Value layer, double eps);
  Value linear(Value x, Param weight, Param bias, Value layer);
  Value add(Value a, Value b);
  Value scale(Value x, double factor); ///< |x| itself for 1
  Value clamp(Value x, double limit);  ///< to ±|limit|; |x| itself for 0
  /// y = mixture(x), without norm and residual.
  Value moeLayer(Value x, Value layer, const MoeParams &params);
  /// h + mlp(norm(h)).
  Value mlp(Value h, Param norm, double eps, Value layer,
            const MlpParams &params);
  /// Final norm, output projection, return.
  void end(Value x, Param norm, double eps, Param head);
  /// The parts of end(), for models whose end is another: f32 logits of a
  /// product; their quotient by a number; return.
  Value toLogits(Value product);
  Value divide(Value x, double divisor); ///< |x| itself by 1
  void finish(Value logits);

  OpBuilder &ops() { return builder; }
  Location loc() const { return location; }
  Value positions() { return model.getArgument(1); }
  Value seqs() { return model.getArgument(2); }

  /// The first error of a declaration.
  const absl::Status &status() const { return error; }
  /// The finished module, not yet verified.
  OwningOpRef<ModuleOp> take();

  Value get(Param param, Value layer);

private:
  DenseI64ArrayAttr indices(LayerRange layers);
  nn::ScaledAttr scaledAttr(const Source &source,
                            std::optional<LayerRange> layers);
  /// |x| and a number, in f32, rounded once.
  template <typename OpTy> Value withNumber(Value x, double number);

  MLIRContext &context;
  Weights &weights;
  Location location;
  OwningOpRef<ModuleOp> module;
  OpBuilder builder;
  std::string name;
  absl::Status error;
  nn::ModelOp model;
  llvm::SmallVector<Param> matrices;
  llvm::SetVector<Operation *> split; // parameters that over() replaced
  Type activation;
};

} // namespace mlir::moe::frontend

#endif
