// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/driver/compile.h"

#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/core/errors.h"
#include "lib/core/module_file.h"
#include "lib/driver/register.h"

namespace mlir::moe {
namespace {

using ::moe::Code;
using ::moe::HasCode;
using ::testing::HasSubstr;

constexpr char kProgram[] = R"(
func.func @relu(%x: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %y = nn.activate relu %x : tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}
)";

class CompileTest : public ::testing::Test {
 protected:
  // Pipelines can be registered once per process.
  static DialectRegistry& Registry() {
    static DialectRegistry* registry = [] {
      auto* made = new DialectRegistry;
      registerEverything(*made);
      return made;
    }();
    return *registry;
  }
  CompileTest() : context_(Registry()) {
    path_ = ::testing::TempDir() + "compile_test.mlir";
    Write(kProgram);
  }
  void Write(const std::string& text) { std::ofstream(path_) << text; }

  std::string path_;
  MLIRContext context_;
};

TEST_F(CompileTest, ModuleHoldsManifestAndEveryLevel) {
  auto bytes = compileModule(context_, {.input = path_});
  ASSERT_TRUE(bytes.ok()) << bytes.status().ToString();
  auto module = ::moe::ModuleFile::Parse(
      {reinterpret_cast<const std::byte*>(bytes->data()), bytes->size()}, "m");
  ASSERT_TRUE(module.ok()) << module.status().ToString();
  EXPECT_NE(module->Find("cpu.x86-64-v3"), nullptr);
  EXPECT_NE(module->Find("cpu.x86-64-v4"), nullptr);
  EXPECT_EQ(module->manifest()["entries"][0]["name"], "relu");
  EXPECT_EQ(module->manifest()["source_hash"].get<std::string>().size(), 32u);
}

TEST_F(CompileTest, OneContextServesSeveralRuns) {
  for (int i = 0; i < 2; ++i) {
    auto fused = compileTo(context_, Phase::Fused, {.input = path_});
    ASSERT_TRUE(fused.ok()) << fused.status().ToString();
    auto text = compileNative(context_, NativeForm::LLVMText,
                              {.input = path_, .levels = {CpuLevel::V4}});
    ASSERT_TRUE(text.ok()) << text.status().ToString();
    EXPECT_THAT(std::string(text->begin(), text->end()),
                HasSubstr("@moe_entry_relu"));
  }
}

TEST_F(CompileTest, ErrorsHaveFileAndLine) {
  Write("func.func @f() {\n  nn.banana\n}\n");
  absl::Status status = compileModule(context_, {.input = path_}).status();
  EXPECT_TRUE(HasCode(status, Code::K101));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("compile_test.mlir:2: "));
  // What no phase takes away is not supported, and says which operation.
  Write(R"(
func.func @f(%x: tensor<?x4xf32>) -> index {
  %c = arith.constant 0 : index
  %d = tensor.dim %x, %c : tensor<?x4xf32>
  return %d : index
})");
  status = compileModule(context_, {.input = path_}).status();
  EXPECT_TRUE(HasCode(status, Code::K103)) << status.ToString();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("compile_test.mlir:4: 'tensor.dim' op"));
}

TEST_F(CompileTest, PhasesHaveNames) {
  EXPECT_EQ(parsePhase("model"), Phase::Model);
  EXPECT_EQ(parsePhase("target"), Phase::Target);
  EXPECT_FALSE(parsePhase("Model"));
}

}  // namespace
}  // namespace mlir::moe
