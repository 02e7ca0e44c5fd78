// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/train/gradient_check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

#include "llvm/Support/raw_ostream.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "passes/entry/Passes.h"
#include "passes/train/Passes.h"

namespace mlir::moe {

GradientCheck::GradientCheck(const std::string& text,
                             std::vector<std::string> of, uint64_t seed)
    : program_(text), of_(std::move(of)), random_(seed) {
  train::DifferentiateOptions options;
  options.entry = "f";
  options.of.assign(of_.begin(), of_.end());
  PassManager passes(program_.module()->getContext());
  passes.addPass(entry::createInlineRouters());
  passes.addPass(entry::createExpandLosses());
  passes.addPass(train::createDifferentiate(options));
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  EXPECT_TRUE(succeeded(passes.run(program_.module())));
}

Tensor<double> GradientCheck::Positive(std::vector<int64_t> shape) {
  Tensor<double> x = Floats(shape);
  std::vector<double> values(x.values());
  for (double& v : values) v = v + 1.5;
  return D(std::move(shape), std::move(values));
}

void GradientCheck::SetParam(const std::string& name,
                             std::vector<int64_t> shape) {
  params_[name] = Floats(std::move(shape));
  given_.set(name, params_[name]);
}

std::string GradientCheck::Text() {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module().lookupSymbol("f_grad")->print(stream);
  return text;
}

double GradientCheck::Scalar(const std::vector<Datum<double>>& inputs) {
  Tensor<double> y = program_.Run<double>("f", inputs, &given_)[0].tensor();
  double sum = 0;
  for (int64_t i = 0; i < y.size(); ++i) sum += y.values()[i] * dy_.values()[i];
  return sum;
}

void GradientCheck::Compare(const std::string& what, Tensor<double> at,
                            const Tensor<double>& got,
                            const std::vector<Datum<double>>& inputs,
                            const std::function<void(Tensor<double>)>& put) {
  ASSERT_EQ(got.size(), at.size()) << what;
  const double step = 1e-5;
  double error = 0, scale = 1;
  for (int64_t i = 0; i < at.size(); ++i) {
    auto moved = [&](double by) {
      std::vector<double> values(at.values());
      values[i] += by;
      put(Tensor<double>::floats(at.element(), at.shape(), std::move(values)));
      return Scalar(inputs);
    };
    const double want = (moved(step) - moved(-step)) / (2 * step);
    error = std::max(error, std::abs(got.values()[i] - want));
    if (std::isnan(got.values()[i])) error = INFINITY;
    scale = std::max(scale, std::abs(want));
  }
  put(at);
  EXPECT_LE(error, kGradientTolerance * scale) << what;
  largest_ = std::max(largest_, error / scale);
}

std::vector<Datum<double>> GradientCheck::Run(
    const std::string& what, std::vector<Datum<double>> inputs) {
  auto primal = program_.Run<double>("f", inputs, &given_);
  const Tensor<double> y = primal[0].tensor();
  dy_ = Floats(y.shape().vec()).converted(y.element());
  std::vector<Datum<double>> with(inputs);
  with.push_back(dy_);
  auto results = program_.Run<double>("f_grad", with, &given_);
  for (size_t i = 0; i < primal.size(); ++i) {
    if (!primal[i].isTensor() || !primal[i].tensor().isFloat()) continue;
    EXPECT_EQ(results[i].tensor().values(), primal[i].tensor().values())
        << what << ", result " << i;
  }
  // Gradients are named after what they belong to.
  largest_ = 0;
  auto gradient = cast<func::FuncOp>(module().lookupSymbol("f_grad"));
  std::map<std::string, Tensor<double>> got;
  for (unsigned i = primal.size(); i < gradient.getNumResults(); ++i)
    got[gradient.getResultAttrOfType<StringAttr>(i, "nn.name").str()] =
        results[i].tensor();
  EXPECT_EQ(got.size(), of_.size() + params_.size()) << what;
  for (const std::string& name : of_) {
    Datum<double>& input = inputs[std::stoi(name)];
    Compare(what + ", argument " + name, input.tensor(), got["grad.arg" + name],
            inputs, [&](Tensor<double> value) { input = value; });
  }
  for (const auto& [name, value] : params_)
    Compare(what + ", " + name, value, got["grad." + name], inputs,
            [&](Tensor<double> changed) { given_.set(name, changed); });
  std::printf("%-40s largest error %.1e\n", what.c_str(), largest_);
  return results;
}

}  // namespace mlir::moe
