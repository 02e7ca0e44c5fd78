// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/backend/object.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/core/errors.h"
#include "test/backend/program.h"

namespace mlir::moe {
namespace {

using ::moe::Code;
using ::moe::HasCode;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Emitted(std::string_view text, CpuLevel level, NativeForm form) {
  Program program(text);
  auto code = translate(program.module(), level);
  EXPECT_TRUE(code.ok()) << code.status().ToString();
  if (!code.ok()) return {};
  auto bytes = emit(*std::move(code), form);
  EXPECT_TRUE(bytes.ok()) << bytes.status().ToString();
  return bytes.ok() ? std::string(bytes->begin(), bytes->end()) : "";
}

constexpr char kArithmetic[] = R"(
llvm.func @moe_module_v1(%a: vector<16xf32>, %b: vector<16xf32>,
                         %c: vector<16xf32>) -> vector<16xf32> {
  %p = llvm.fmul %a, %b : vector<16xf32>
  %s = llvm.fadd %p, %c : vector<16xf32>
  %f = llvm.call @fused(%s, %b, %c) : (vector<16xf32>, vector<16xf32>, vector<16xf32>) -> vector<16xf32>
  llvm.return %f : vector<16xf32>
}
llvm.func @fused(%a: vector<16xf32>, %b: vector<16xf32>,
                 %c: vector<16xf32>) -> vector<16xf32> {
  %f = llvm.intr.fma(%a, %b, %c) : (vector<16xf32>, vector<16xf32>, vector<16xf32>) -> vector<16xf32>
  llvm.return %f : vector<16xf32>
}
)";

TEST(Emit, ProductAndSumStayApartAndFmaStaysOne) {
  const std::string v4 =
      Emitted(kArithmetic, CpuLevel::V4, NativeForm::Assembly);
  EXPECT_THAT(v4, HasSubstr("vmulps"));
  EXPECT_THAT(v4, HasSubstr("vaddps"));
  EXPECT_EQ(v4.find("vfmadd"), v4.rfind("vfmadd")) << v4;
  EXPECT_THAT(v4, HasSubstr("zmm"));
  const std::string v3 =
      Emitted(kArithmetic, CpuLevel::V3, NativeForm::Assembly);
  EXPECT_THAT(v3, HasSubstr("vfmadd"));
  EXPECT_THAT(v3, HasSubstr("ymm"));
  EXPECT_THAT(v3, Not(HasSubstr("zmm")));
}

TEST(Emit, FunctionsCarryTheContractOfNativeCode) {
  const std::string text =
      Emitted(kArithmetic, CpuLevel::V4, NativeForm::LLVMText);
  EXPECT_THAT(text, HasSubstr("target triple = \"x86_64-unknown-linux-gnu\""));
  EXPECT_THAT(text, HasSubstr("\"target-cpu\"=\"x86-64-v4\""));
  EXPECT_THAT(text, HasSubstr("\"prefer-vector-width\"=\"512\""));
  EXPECT_THAT(text, HasSubstr("\"denormal-fp-math\"=\"preserve-sign,"));
  EXPECT_THAT(text, HasSubstr("\"frame-pointer\"=\"none\""));
  EXPECT_THAT(text, HasSubstr("\"no-builtins\""));
  EXPECT_THAT(text, HasSubstr("nounwind"));
  EXPECT_THAT(text, HasSubstr("define hidden <16 x float> @fused"));
  EXPECT_THAT(text, HasSubstr("define dso_local <16 x float> @moe_module_v1"));
}

TEST(Emit, SameProgramGivesTheSameBytes) {
  for (CpuLevel level : allCpuLevels())
    EXPECT_EQ(Emitted(kArithmetic, level, NativeForm::Object),
              Emitted(kArithmetic, level, NativeForm::Object));
}

absl::Status EmitStatus(std::string_view text) {
  Program program(text);
  return emitObject(program.module(), CpuLevel::V3).status();
}

TEST(Emit, RefusesLargeFramesAndGrowingStacks) {
  const absl::Status large = EmitStatus(R"(
llvm.func @use(%p: !llvm.ptr) attributes {passthrough = ["noinline"]} {
  %z = llvm.mlir.constant(0 : i8) : i8
  llvm.store volatile %z, %p : i8, !llvm.ptr
  llvm.return
}
llvm.func @moe_module_v1() {
  %n = llvm.mlir.constant(2000000 : i64) : i64
  %p = llvm.alloca %n x i8 : (i64) -> !llvm.ptr
  llvm.call @use(%p) : (!llvm.ptr) -> ()
  llvm.return
})");
  EXPECT_TRUE(HasCode(large, Code::I002));
  EXPECT_THAT(std::string(large.message()),
              HasSubstr("function 'moe_module_v1' has a stack frame of 2000"));
  const absl::Status growing = EmitStatus(R"(
llvm.func @use(!llvm.ptr)
llvm.func @moe_module_v1(%n: i64) {
  %p = llvm.alloca %n x i8 : (i64) -> !llvm.ptr
  llvm.call @use(%p) : (!llvm.ptr) -> ()
  llvm.return
})");
  EXPECT_TRUE(HasCode(growing, Code::I002));
  EXPECT_THAT(std::string(growing.message()), HasSubstr("allocates stack"));
}

TEST(Translate, NamesWhatHasNoLlvmIr) {
  Program program(R"(
func.func @f(%a: i32) -> i32 { return %a : i32 }
)");
  const absl::Status status =
      translate(program.module(), CpuLevel::V3).status();
  EXPECT_TRUE(HasCode(status, Code::I002));
  EXPECT_THAT(std::string(status.message()), HasSubstr("func.func"));
}

TEST(CpuLevel, NamesGoBothWays) {
  for (CpuLevel level : allCpuLevels()) {
    EXPECT_EQ(parseCpuLevel(cpuLevelName(level)), level);
    EXPECT_EQ(cpuLevelSection(level), "cpu." + cpuLevelName(level).str());
  }
  EXPECT_EQ(parseCpuLevel("v4"), CpuLevel::V4);
  EXPECT_FALSE(parseCpuLevel("x86-64-v5"));
  EXPECT_FALSE(parseCpuLevel(""));
}

}  // namespace
}  // namespace mlir::moe
