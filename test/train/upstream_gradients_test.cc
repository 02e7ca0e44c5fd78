// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The rules of arith and math, on tensors and scalars.

#include "test/train/gradient_check.h"

namespace mlir::moe {
namespace {

// |body| computes %y from %a and %b, all of type T.
void CheckBody(const std::string& what, const std::string& body,
               bool positive = false) {
  for (std::string type : {"tensor<?x3xf32>", "tensor<4x3xf32>", "f32"}) {
    std::string text =
        "func.func @f(%a: T, %b: T) -> T {\n" + body + "\nreturn %y : T\n}";
    for (size_t at = text.find('T'); at != std::string::npos;
         at = text.find('T', at + type.size()))
      text.replace(at, 1, type);
    const std::string chosen =
        type == "f32" ? "f32" : "tensor<" + type.substr(7, 3) + "xi1>, " + type;
    if (size_t at = text.find("WHICH"); at != std::string::npos)
      text.replace(at, 5, chosen);
    GradientCheck check(text, {"0", "1"}, std::hash<std::string>()(what));
    std::vector<int64_t> shape;
    if (type != "f32") shape = {4, 3};
    auto make = [&] {
      return positive ? check.Positive(shape) : check.Floats(shape);
    };
    check.Run(what + " " + type, {make(), make()});
  }
}

TEST(UpstreamGradients, Arith) {
  CheckBody("addf", "%y = arith.addf %a, %b : T");
  CheckBody("subf", "%y = arith.subf %a, %b : T");
  CheckBody("mulf", "%y = arith.mulf %a, %b : T");
  CheckBody("one operand twice",
            "%c = arith.mulf %a, %a : T\n%y = arith.mulf %c, %b : T");
  CheckBody("divf", "%y = arith.divf %a, %b : T", true);
  CheckBody("negf", "%c = arith.negf %a : T\n%y = arith.mulf %c, %b : T");
  CheckBody("maximumf", "%y = arith.maximumf %a, %b : T");
  CheckBody("minimumf", "%y = arith.minimumf %a, %b : T");
}

TEST(UpstreamGradients, Select) {
  CheckBody("select",
            "%s = arith.mulf %a, %b : T\n"
            "%c = arith.cmpf olt, %a, %b : T\n"
            "%y = arith.select %c, %s, %b : WHICH");
}

TEST(UpstreamGradients, Math) {
  auto unary = [](const std::string& name) {
    return "%c = math." + name + " %a : T\n%y = arith.mulf %c, %b : T";
  };
  CheckBody("absf", unary("absf"));
  CheckBody("exp", unary("exp"));
  CheckBody("log", unary("log"), true);
  CheckBody("sqrt", unary("sqrt"), true);
  CheckBody("rsqrt", unary("rsqrt"), true);
  CheckBody("tanh", unary("tanh"));
  CheckBody("erf", unary("erf"));
}

TEST(UpstreamGradients, Conversions) {
  GradientCheck check(R"(
    func.func @f(%a: tensor<?x3xbf16>) -> tensor<?x3xbf16> {
      %x = arith.extf %a : tensor<?x3xbf16> to tensor<?x3xf32>
      %e = math.exp %x : tensor<?x3xf32>
      %y = arith.truncf %e : tensor<?x3xf32> to tensor<?x3xbf16>
      return %y : tensor<?x3xbf16>
    })",
                      {"0"});
  check.Run("extf, truncf", {check.Floats({2, 3}).converted(Element::BF16)});
}

}  // namespace
}  // namespace mlir::moe
