// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Seeded miscompiles. A model is interpreted as given, then as passes leave it:
// the same bits. Then what they left is changed as a faulty pass would have
// left it, and the interpreter tells the two apart.
#include <cstdio>
#include <set>

#include "lib/driver/pipelines.h"
#include "lib/reference/tolerances.h"
#include "mlir/Pass/PassManager.h"
#include "passes/fuse/Passes.h"
#include "test/interpreter/program.h"
#include "test/mutants/models.h"
#include "test/mutants/mutations.h"

namespace mlir::moe {
namespace {

// A fault must show at least this many tolerances.
constexpr double kFarAbove = 100;

// Two sequences of five tokens.
constexpr int64_t kTokens = 5, kSequences = 2;
const std::vector<int64_t> kIds = {3, 1, 4, 1, 5, 9, 2, 6, 31, 7};

// Values of every parameter, the same for the same seed.
TensorParams<float> Params(ModuleOp module) {
  Random random(21);
  TensorParams<float> params;
  for (auto param : module.getOps<nn::ParamOp>()) {
    std::vector<int64_t> shape(param.getTensorType().getShape());
    if (auto layers = param.getLayers())
      shape.insert(shape.begin(), (*layers)[1] - (*layers)[0]);
    params.set(param.getSymName(),
               random.Floats<float>(shape, *elementOf(param.getTensorType())));
  }
  return params;
}

using Logits = std::vector<float>;

Logits Call(ModuleOp module, const std::string& entry,
            const std::vector<Datum<float>>& inputs) {
  auto params = Params(module);
  auto results = Interpreter<float>(module, &params).run(entry, inputs);
  EXPECT_TRUE(succeeded(results)) << entry;
  return succeeded(results) ? (*results)[0].tensor().values().vec() : Logits();
}

// Tokens [first, last) of each sequence, as one pack.
std::vector<Datum<float>> Pack(int64_t first, int64_t last) {
  std::vector<int64_t> ids, positions, starts = {0};
  for (int64_t b = 0; b < kSequences; ++b) {
    for (int64_t t = first; t < last; ++t) {
      ids.push_back(kIds[b * kTokens + t]);
      positions.push_back(t);
    }
    starts.push_back(static_cast<int64_t>(ids.size()));
  }
  const int64_t tokens = ids.size();
  return {I({tokens}, ids), I({tokens}, positions),
          I({kSequences + 1}, starts)};
}

// The rows of |all| that are the token |t| of each sequence.
void Append(const Logits& all, int64_t t, Logits& to) {
  const int64_t vocab = all.size() / (kTokens * kSequences);
  for (int64_t b = 0; b < kSequences; ++b) {
    const auto row = all.begin() + (b * kTokens + t) * vocab;
    to.insert(to.end(), row, row + vocab);
  }
}

Logits Expected(ModuleOp model, Run run) {
  const Logits all = Call(model, "model", Pack(0, kTokens));
  if (run == Run::kScore) return all;
  Logits last;
  Append(all, kTokens - 2, last);
  Append(all, kTokens - 1, last);
  return last;
}

Logits Actual(ModuleOp module, const Mutation& mutation) {
  if (mutation.run == Run::kScore)
    return Call(module, mutation.stage == Stage::kCompute ? "model" : "score",
                Pack(0, kTokens));
  // All but the last token, then that, over pages of three tokens.
  auto type = cast<nn::CacheType>(
      module.lookupSymbol<func::FuncOp>("prefill").getArgumentTypes()[5]);
  auto cache = std::make_shared<Cache<float>>(*elementOf(type.getElementType()),
                                              3, 4, 3, type.getWidth());
  Logits logits;
  for (int64_t first : {int64_t(0), kTokens - 1}) {
    std::vector<Datum<float>> inputs =
        Pack(first, first ? kTokens : kTokens - 1);
    inputs.push_back(I({2}, {1, 0}));
    inputs.push_back(I({2, 2}, {3, 0, 1, 2}));
    inputs.push_back(cache);
    const Logits rows = Call(module, first ? "decode" : "prefill", inputs);
    logits.insert(logits.end(), rows.begin(), rows.end());
  }
  return logits;
}

class Mutants : public testing::TestWithParam<Mutation> {
 protected:
  OwningOpRef<ModuleOp> Parse(const std::string& text) {
    auto module = parseSourceString<ModuleOp>(text, &context_);
    EXPECT_TRUE(module);
    return module;
  }

  LogicalResult Compile(ModuleOp module, const Mutation& mutation) {
    PassManager passes(&context_);
    PipelineOptions options;
    options.compute = mutation.compute;
    if (mutation.run == Run::kScore)
      options.entries = {"score"};
    else
      options.entries = {"prefill", "decode"};
    if (mutation.stage == Stage::kCompute)
      addToModel(passes, options);
    else if (mutation.stage == Stage::kStep)
      addToStep(passes, options);
    else
      addToFused(passes, options);
    if (mutation.stage == Stage::kRouted)
      passes.addPass(fuse::createFuseRouting());
    return passes.run(module);
  }

  MLIRContext context_;
};

TEST_P(Mutants, AreToldApart) {
  LoadDialects(context_);
  const Mutation& mutation = GetParam();
  auto text = [&](const std::string& element) {
    return mutation.latent ? LatentModel(element) : GroupedModel();
  };
  auto model = Parse(text(mutation.compute));
  const Logits want = Expected(*model, mutation.run);

  auto compiled = Parse(text(mutation.before));
  ASSERT_TRUE(succeeded(Compile(*compiled, mutation)));
  const Logits got = Actual(*compiled, mutation);
  ASSERT_EQ(got.size(), want.size());
  const auto without = ::moe::reference::CompareRelative(
      got.data(), want.data(), want.size(), ::moe::reference::kLogitsF32);
  EXPECT_EQ(without.max_err, 0) << without.Text();

  mutation.apply(*compiled);
  ASSERT_TRUE(succeeded(verify(*compiled)));
  const Logits changed = Actual(*compiled, mutation);
  ASSERT_EQ(changed.size(), want.size());
  const auto with = ::moe::reference::CompareRelative(
      changed.data(), want.data(), want.size(), ::moe::reference::kLogitsF32);
  EXPECT_GE(with.max_err, kFarAbove * with.tol) << with.Text();
  std::printf("%-24s %-22s tolerance %.1e, error without %.1e, with %.1e\n",
              mutation.pass.c_str(), mutation.name.c_str(), with.tol,
              without.max_err, with.max_err);
}

INSTANTIATE_TEST_SUITE_P(Passes, Mutants, testing::ValuesIn(Mutations()),
                         [](const auto& info) { return info.param.name; });

TEST(Mutations, AreManyOfManyPasses) {
  std::set<std::string> names, passes;
  for (const Mutation& mutation : Mutations()) {
    names.insert(mutation.name);
    passes.insert(mutation.pass);
  }
  EXPECT_EQ(names.size(), Mutations().size());
  EXPECT_GE(names.size(), 10u);
  EXPECT_GE(passes.size(), 7u);
}

}  // namespace
}  // namespace mlir::moe
