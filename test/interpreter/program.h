// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Programs from text, run by the interpreter.
//
//   Program p(R"(func.func @f(%x: tensor<?x2xf32>) -> …)");
//   EXPECT_THAT(p.Run<float>("f", {F({1, 2}, {3, 4})})[0].tensor().values(),
//               ElementsAre(…));
//   EXPECT_THAT(p.Errors<float>("f", {…}), HasSubstr("expects …"));

#ifndef MOE_TEST_INTERPRETER_PROGRAM_H_
#define MOE_TEST_INTERPRETER_PROGRAM_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "dialect/moe/MoeDialect.h"
#include "lib/interpreter/interpreter.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"

namespace mlir::moe {

inline Tensor<float> F(std::vector<int64_t> shape, std::vector<float> values,
                       Element element = Element::F32) {
  return Tensor<float>::floats(element, shape, std::move(values));
}
inline Tensor<double> D(std::vector<int64_t> shape, std::vector<double> values,
                        Element element = Element::F32) {
  return Tensor<double>::floats(element, shape, std::move(values));
}
template <typename T = float>
Tensor<T> I(std::vector<int64_t> shape, std::vector<int64_t> values,
            Element element = Element::I32) {
  return Tensor<T>::ints(element, shape, std::move(values));
}

// Loads what programs of the tests use.
inline void LoadDialects(MLIRContext& context) {
  context.loadDialect<moe::MoeDialect, nn::NnDialect, arith::ArithDialect,
                      func::FuncDialect, math::MathDialect>();
}

class Program {
 public:
  explicit Program(const std::string& text) {
    LoadDialects(context_);
    module_ = parseSourceString<ModuleOp>(text, &context_);
    EXPECT_TRUE(module_);
  }

  ModuleOp module() { return *module_; }

  // Results of a run that must succeed.
  template <typename T>
  std::vector<Datum<T>> Run(const std::string& name,
                            std::vector<Datum<T>> inputs,
                            ParamProvider<T>* params = nullptr) {
    auto results = Interpreter<T>(*module_, params).run(name, inputs);
    EXPECT_TRUE(succeeded(results)) << name;
    if (failed(results)) return std::vector<Datum<T>>(16);
    return {results->begin(), results->end()};
  }
  // The first result, a tensor of float or of integers.
  template <typename T = float>
  std::vector<T> Values(const std::string& name, std::vector<Datum<T>> inputs,
                        ParamProvider<T>* params = nullptr) {
    return Run<T>(name, std::move(inputs), params)[0].tensor().values();
  }
  std::vector<int64_t> Integers(const std::string& name,
                                std::vector<Datum<float>> inputs) {
    return Run<float>(name, std::move(inputs))[0].tensor().integers();
  }

  // The diagnostics of a run that must fail.
  template <typename T = float>
  std::string Errors(const std::string& name, std::vector<Datum<T>> inputs,
                     ParamProvider<T>* params = nullptr) {
    std::string text;
    ScopedDiagnosticHandler collect(&context_, [&](Diagnostic& diagnostic) {
      text += diagnostic.str() + "\n";
      return success();
    });
    EXPECT_TRUE(failed(Interpreter<T>(*module_, params).run(name, inputs)));
    return text;
  }

 private:
  MLIRContext context_;
  OwningOpRef<ModuleOp> module_;
};

// Deterministic values in [-1, 1).
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  template <typename T>
  Tensor<T> Floats(std::vector<int64_t> shape, Element element = Element::F32) {
    int64_t size = 1;
    for (int64_t dim : shape) size *= dim;
    std::vector<T> values(size);
    for (T& v : values) {
      float drawn = static_cast<double>(engine_() >> 11) * 0x1p-52 - 1;
      // Rounded here, so that both precisions have the same values: a tensor
      // of double keeps what it is given.
      v = roundTo(element, drawn);
    }
    return Tensor<T>::floats(element, shape, std::move(values));
  }
  std::vector<int64_t> Below(int64_t bound, int64_t count) {
    std::vector<int64_t> values(count);
    for (int64_t& v : values) v = engine_() % bound;
    return values;
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace mlir::moe

#endif  // MOE_TEST_INTERPRETER_PROGRAM_H_
