// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Gradients made by moe-differentiate against central differences, both in
// double.
//
//   GradientCheck check(R"(
//     func.func @f(%x: tensor<?x3xf32>) -> tensor<?x3xf32> { … })", {"0"});
//   check.SetParam("w", {2, 3});               // random; [layers, …] if it has
//   check.Run("softmax", {check.Floats({4, 3})});

#ifndef MOE_TEST_TRAIN_GRADIENT_CHECK_H_
#define MOE_TEST_TRAIN_GRADIENT_CHECK_H_

#include <map>
#include <string>
#include <vector>

#include "test/interpreter/program.h"

namespace mlir::moe {

// The largest difference accepted, relative to the largest element of a
// gradient or to 1: what a step of 1e-5 in double leaves, with room to spare.
inline constexpr double kGradientTolerance = 1e-7;

class GradientCheck {
 public:
  // Differentiates @f of |text| with respect to the arguments |of| and all
  // parameters, then canonicalizes.
  GradientCheck(const std::string& text, std::vector<std::string> of,
                uint64_t seed = 1);

  // Values in [-1, 1).
  Tensor<double> Floats(std::vector<int64_t> shape) {
    return random_.Floats<double>(std::move(shape));
  }
  // Values in [0.5, 2.5).
  Tensor<double> Positive(std::vector<int64_t> shape);
  void SetParam(const std::string& name, std::vector<int64_t> shape);

  // Runs @f and @f_grad on |inputs|: results agree to the bit, and gradients
  // with differences of Σ y·dy for a random dy. Prints the largest error. Gives
  // the results of @f_grad, those of @f first.
  std::vector<Datum<double>> Run(const std::string& what,
                                 std::vector<Datum<double>> inputs);

  ModuleOp module() { return program_.module(); }
  // @f_grad as text.
  std::string Text();

 private:
  double Scalar(const std::vector<Datum<double>>& inputs);
  // Differences of Scalar() by the elements of |at|, which |put| changes.
  void Compare(const std::string& what, Tensor<double> at,
               const Tensor<double>& got,
               const std::vector<Datum<double>>& inputs,
               const std::function<void(Tensor<double>)>& put);

  Program program_;
  std::vector<std::string> of_;
  Random random_;
  std::map<std::string, Tensor<double>> params_;
  TensorParams<double> given_;
  Tensor<double> dy_;
  double largest_ = 0;
};

}  // namespace mlir::moe

#endif  // MOE_TEST_TRAIN_GRADIENT_CHECK_H_
