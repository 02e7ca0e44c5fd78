// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Parameters from model folders, and entries run on files.
#include <gtest/gtest.h>
#include <unistd.h>

#include <deque>
#include <filesystem>

#include "lib/core/safetensors.h"
#include "lib/interpreter/interpret.h"
#include "lib/interpreter/params.h"
#include "test/interpreter/program.h"

namespace mlir::moe {
namespace {

using ::moe::Checkpoint;
using ::moe::DType;
using ::moe::SafetensorsFile;
using ::moe::SafetensorsWriter;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;

// A folder that goes with the test.
class Files : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = testing::TempDir() + "/interpreter_" + std::to_string(::getpid()) +
           "_" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string Path(const std::string& name) const { return dir_ + "/" + name; }

  template <typename T>
  void Add(const std::string& name, DType dtype, std::vector<int64_t> shape,
           std::vector<T> values) {
    std::vector<std::byte>& bytes =
        storage_.emplace_back(values.size() * ::moe::DTypeSize(dtype));
    for (size_t i = 0; i < values.size(); ++i)
      ::moe::StoreDouble(dtype, values[i],
                         bytes.data() + i * ::moe::DTypeSize(dtype));
    writer_.Add(name, dtype, std::move(shape), ::moe::AsBytes(bytes));
  }
  void Write(const std::string& name) {
    ASSERT_TRUE(writer_.Write(Path(name)).ok());
    writer_ = SafetensorsWriter();
  }
  static std::vector<double> Read(const SafetensorsFile& file,
                                  const std::string& name) {
    const ::moe::Tensor* tensor = file.Find(name);
    if (!tensor) {
      ADD_FAILURE() << "no tensor " << name;
      return {};
    }
    std::vector<double> values;
    for (uint64_t at = 0; at < tensor->bytes;
         at += ::moe::DTypeSize(tensor->dtype))
      values.push_back(::moe::LoadDouble(tensor->dtype, tensor->data + at));
    return values;
  }

  std::string dir_;
  std::deque<std::vector<std::byte>> storage_;
  SafetensorsWriter writer_;
};

std::vector<double> Count(int64_t from, int64_t n) {
  std::vector<double> values(n);
  for (int64_t i = 0; i < n; ++i) values[i] = static_cast<double>(from + i);
  return values;
}

constexpr char kParams[] = R"(
nn.param @plain : tensor<2x3xf32> from [#nn.source<"plain", [2, 3]>]
nn.param @half : tensor<2xf16> from [#nn.source<"half", [2]>]
nn.param @joined : tensor<3x2xbf16> layers [1, 3] from [
  #nn.source<"l.{i}.a", [1, 2] rows 1>, #nn.source<"l.{i}.b", [2, 2] at 1 rows 2>]
nn.param @experts : tensor<2x2x2xf32> from [
  #nn.source<"e.{e}.gate", [1, 2] rows 1>, #nn.source<"e.{e}.up", [1, 2] at 1 rows 1>]
nn.param @fused : tensor<2x2x3xf32> from [#nn.source<"fused", [2, 2, 3]>]
nn.param @turned : tensor<2x3x2xf32> from [#nn.source<"fused", [2, 2, 3] strides [6, 1, 3]>]
nn.param @tail : tensor<2xf32> from [#nn.source<"plain", [2, 3] offset 4 strides [0, 1, 0]>]
nn.param @missing : tensor<2xf32> from [#nn.source<"not.there", [2]>]
nn.param @experts_of : tensor<2x2xi32> from [#nn.source<"table", [2, 2] strides [0, 1, 2]>]
nn.param @no_table : tensor<2x3xi32> from [#nn.source<"plain", [2, 3]>]
nn.param @no_numbers : tensor<2x2xf32> from [#nn.source<"table", [2, 2]>]
nn.param @shape : tensor<6xf32> from [#nn.source<"plain", [6]>]
nn.param @outside : tensor<3xf32> from [#nn.source<"plain", [2, 3] offset 4 strides [0, 1, 0]>]
)";

// Numbers of FP8 in blocks of 1 x 2, of MXFP4 in a row of four, and vectors of
// experts whose halves take turns.
TEST_F(Files, ScaledSourcesOfACheckpoint) {
  Program p(R"(
nn.param @fp8 : tensor<2x3xf32> layers [0, 2] from [
  #nn.source<"w.{2i+1}", [2, 3] scaled <f8E4M3FN, "s.{2i+1}", [2, 2], block [1, 2]>>]
nn.param @fp4 : tensor<1x4xbf16> from [
  #nn.source<"b", [1, 2] scaled <f4E2M1FN, "bs", [1, 2], block [1, 2]>>]
nn.param @halves : tensor<2x4xf32> from [
  #nn.source<"bias", [2, 4] rows 2 strides [4, 2, 0]>,
  #nn.source<"bias", [2, 4] at 2 rows 2 offset 1 strides [4, 2, 0]>]
func.func @read() -> (tensor<2x3xf32>, tensor<1x4xbf16>, tensor<2x4xf32>) {
  %i = arith.constant 1 : index
  %a = nn.param_get @fp8[%i] : tensor<2x3xf32>
  %b = nn.param_get @fp4 : tensor<1x4xbf16>
  %c = nn.param_get @halves : tensor<2x4xf32>
  return %a, %b, %c : tensor<2x3xf32>, tensor<1x4xbf16>, tensor<2x4xf32>
}
)");
  for (int i : {1, 3}) {
    Add("w." + std::to_string(i), DType::kF8E4M3, {2, 3}, Count(i, 6));
    Add("s." + std::to_string(i), DType::kF32, {2, 2},
        std::vector<double>{1, 10, 100, 0.5});
  }
  // 1, -6, 0.5 and 3, two to a byte, times 2 and 1/4.
  Add("b", DType::kU8, {1, 2}, std::vector<double>{0xf2, 0x51});
  Add("bs", DType::kU8, {1, 2}, std::vector<double>{128, 125});
  Add("bias", DType::kF32, {2, 4}, Count(0, 8));
  Write("model.safetensors");
  auto folder = Checkpoint::Open(dir_);
  ASSERT_TRUE(folder.ok()) << folder.status().message();
  CheckpointParams<float> params(*folder);
  const auto read = p.Run<float>("read", {}, &params);
  using Values = std::vector<float>;
  EXPECT_EQ(read[0].tensor().values().vec(), (Values{3, 4, 50, 600, 700, 4}));
  EXPECT_EQ(read[1].tensor().values().vec(), (Values{2, -12, 0.125f, 0.75f}));
  EXPECT_EQ(read[2].tensor().values().vec(), (Values{0, 2, 1, 3, 4, 6, 5, 7}));
}

TEST_F(Files, SourcesOfACheckpoint) {
  Add("plain", DType::kF32, {2, 3}, Count(1, 6));
  Add("half", DType::kF16, {2}, Count(1, 2));
  for (int i : {1, 2}) {
    Add("l." + std::to_string(i) + ".a", DType::kBF16, {1, 2},
        Count(10 * i, 2));
    Add("l." + std::to_string(i) + ".b", DType::kBF16, {2, 2},
        Count(10 * i + 2, 4));
  }
  for (int e : {0, 1}) {
    Add("e." + std::to_string(e) + ".gate", DType::kF32, {1, 2},
        Count(10 * e, 2));
    Add("e." + std::to_string(e) + ".up", DType::kF32, {1, 2},
        Count(10 * e + 5, 2));
  }
  Add("fused", DType::kF32, {2, 2, 3}, Count(0, 12));
  const std::vector<int32_t> table = {7, -1, 0, 2000000001};
  writer_.Add("table", DType::kI32, {2, 2}, ::moe::AsBytes(table));
  Write("model.safetensors");
  auto folder = Checkpoint::Open(dir_);
  ASSERT_TRUE(folder.ok()) << folder.status().message();

  Program p(kParams);
  CheckpointParams<double> params(*folder);
  auto get = [&](const std::string& name,
                 std::optional<int64_t> layer =
                     std::nullopt) -> std::vector<double> {
    auto param =
        cast<nn::ParamOp>(SymbolTable::lookupSymbolIn(p.module(), name));
    auto value = params.get(param, layer, param);
    EXPECT_TRUE(succeeded(value)) << name;
    return value->values();
  };
  EXPECT_THAT(get("plain"), ElementsAreArray(Count(1, 6)));
  EXPECT_THAT(get("half"), ElementsAre(1, 2));
  EXPECT_THAT(get("joined", 1), ElementsAreArray(Count(10, 6)));
  EXPECT_THAT(get("joined", 2), ElementsAreArray(Count(20, 6)));
  EXPECT_THAT(get("experts"), ElementsAre(0, 1, 5, 6, 10, 11, 15, 16));
  EXPECT_THAT(get("fused"), ElementsAreArray(Count(0, 12)));
  EXPECT_THAT(get("turned"), ElementsAre(0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11));
  EXPECT_THAT(get("tail"), ElementsAre(5, 6));
  auto integers =
      cast<nn::ParamOp>(SymbolTable::lookupSymbolIn(p.module(), "experts_of"));
  auto experts = params.get(integers, std::nullopt, integers);
  ASSERT_TRUE(succeeded(experts));
  EXPECT_THAT(experts->integers(), ElementsAre(7, 0, -1, 2000000001));

  std::string text;
  ScopedDiagnosticHandler collect(p.module().getContext(),
                                  [&](Diagnostic& diagnostic) {
                                    text = diagnostic.str();
                                    return success();
                                  });
  for (auto [name, message] :
       {std::pair<const char*, const char*>{"missing",
                                            "cannot read @missing: "},
        {"shape",
         "expects plain to hold numbers in the shape that the source of @shape "
         "names"},
        {"no_table", "expects plain to hold numbers"},
        {"no_numbers", "expects table to hold numbers"},
        {"outside",
         "expects the sources of @outside to lie within their tensors"}}) {
    auto param =
        cast<nn::ParamOp>(SymbolTable::lookupSymbolIn(p.module(), name));
    EXPECT_TRUE(failed(params.get(param, std::nullopt, param)));
    EXPECT_THAT(text, HasSubstr(message));
  }
}

constexpr char kEntry[] = R"(
nn.param @w : tensor<2x2xbf16> layers [0, 2] from [#nn.source<"w.{i}", [2, 2]>]
nn.param @given : tensor<2xf32> layers [0, 2] from [#nn.source<"given.{i}", [2]>]
func.func @f(%x: tensor<?x2xf32> {nn.name = "x"}, %plan: !moe.plan<3, 1>)
    -> (tensor<?x2xf32> {nn.name = "y"}, tensor<3xi32>, !moe.plan<3, 1>) {
  %y = nn.layers 0 to 2 (%x) : (tensor<?x2xf32>) -> tensor<?x2xf32> {
  ^bb0(%i: index, %h: tensor<?x2xf32>):
    %w = nn.param_get @w[%i] : tensor<2x2xbf16>
    %b = nn.param_get @given[%i] : tensor<2xf32>
    %n = nn.linear %h, %w bias(%b : tensor<2xf32>) : tensor<?x2xf32>, tensor<2x2xbf16>
    nn.yield %n : tensor<?x2xf32>
  }
  %n = moe.counts %plan : !moe.plan<3, 1>
  return %y, %n, %plan : tensor<?x2xf32>, tensor<3xi32>, !moe.plan<3, 1>
}
func.func @decode(%q: tensor<?x1x1xf32>, %p: tensor<?xi32>, %cu: tensor<?xi32>, %slot: tensor<?xi32>, %table: tensor<?x?xi32>,
                  %cache: !nn.cache<2 x bf16> {nn.name = "cache"}) -> tensor<?x1x1xf32> {
  %zero = arith.constant 0 : index
  %y = nn.attend %q, %q, %q positions(%p) seqs(%cu) cache(%cache[%zero], %slot, %table) {scale = 1.0 : f64}
    : tensor<?x1x1xf32>, tensor<?x1x1xf32>, tensor<?x1x1xf32> seqs tensor<?xi32>, tensor<?xi32> cache !nn.cache<2 x bf16>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x1x1xf32>
  return %y : tensor<?x1x1xf32>
}
)";

TEST_F(Files, EntryOnFiles) {
  Add("w.0", DType::kBF16, {2, 2}, std::vector<double>{0, 1, 1, 0});
  Add("w.1", DType::kBF16, {2, 2}, std::vector<double>{2, 0, 0, 2});
  Write("model.safetensors");
  Add("x", DType::kF32, {1, 2}, std::vector<double>{1, 2});
  Add("arg1", DType::kI32, {2, 1}, std::vector<double>{2, 0});
  Add("given", DType::kF32, {2, 2}, std::vector<double>{0.1, 0, 0, 0});
  Write("in.safetensors");

  Program p(kEntry);
  InterpretOptions options{"f", Path("in.safetensors"), Path("out.safetensors"),
                           dir_, InterpretPrecision::F32};
  ASSERT_TRUE(succeeded(interpretFile(p.module(), options)));
  auto out = SafetensorsFile::Open(options.outputs);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->Find("y")->dtype, DType::kF32);
  EXPECT_THAT(Read(*out, "y"), ElementsAre(2 * (2 + 0.1f), 2));
  EXPECT_THAT(Read(*out, "result1"), ElementsAre(1, 0, 1));
  EXPECT_THAT(Read(*out, "result2.idx"), ElementsAre(2, 0));
  EXPECT_THAT(Read(*out, "result2.row2slot"), ElementsAre(1, 0));
  EXPECT_THAT(Read(*out, "result2.slot2row"), ElementsAre(1, 0));
  EXPECT_THAT(Read(*out, "result2.offsets"), ElementsAre(0, 1, 1, 2));

  options.precision = InterpretPrecision::F64;
  options.outputs = Path("wide.safetensors");
  ASSERT_TRUE(succeeded(interpretFile(p.module(), options)));
  auto wide = SafetensorsFile::Open(options.outputs);
  ASSERT_TRUE(wide.ok());
  EXPECT_EQ(wide->Find("y")->dtype, DType::kF64);
  EXPECT_THAT(Read(*wide, "y"), ElementsAre(2 * (2 + double(0.1f)), 2));
}

TEST_F(Files, CachesAreWrittenBack) {
  Add("arg0", DType::kF32, {1, 1, 1}, std::vector<double>{1.001});
  Add("arg1", DType::kI32, {1}, std::vector<double>{1});
  Add("arg2", DType::kI32, {2}, std::vector<double>{0, 1});
  Add("arg3", DType::kI32, {1}, std::vector<double>{0});
  Add("arg4", DType::kI32, {1, 2}, std::vector<double>{1, 0});
  Add("cache", DType::kBF16, {1, 2, 1, 2}, std::vector<double>{7, 8, 1, 5});
  Write("in.safetensors");
  Program p(kEntry);
  InterpretOptions options{"decode", Path("in.safetensors"),
                           Path("out.safetensors"), "",
                           InterpretPrecision::F32};
  ASSERT_TRUE(succeeded(interpretFile(p.module(), options)));
  auto out = SafetensorsFile::Open(options.outputs);
  ASSERT_TRUE(out.ok());
  // Equal keys, so the mean of 5 and 1.001 as bf16, which is 1.
  EXPECT_THAT(Read(*out, "result0"), ElementsAre(testing::DoubleNear(3, 1e-6)));
  EXPECT_EQ(out->Find("cache")->dtype, DType::kBF16);
  EXPECT_THAT(Read(*out, "cache"), ElementsAre(1, 1, 1, 5));
}

TEST_F(Files, WhatIsMissingIsNamed) {
  Add("x", DType::kI32, {1, 2}, std::vector<double>{1, 2});
  Write("in.safetensors");
  Program p(kEntry);
  auto errors = [&](const char* entry, std::string inputs,
                    std::string weights) {
    std::string text;
    ScopedDiagnosticHandler collect(p.module().getContext(),
                                    [&](Diagnostic& diagnostic) {
                                      text += diagnostic.str();
                                      return success();
                                    });
    InterpretOptions options;
    options.entry = entry;
    options.inputs = inputs.empty() ? "" : Path(inputs);
    options.weights = weights.empty() ? "" : Path(weights);
    options.outputs = Path("out.safetensors");
    EXPECT_TRUE(failed(interpretFile(p.module(), options)));
    EXPECT_FALSE(std::filesystem::exists(options.outputs));
    return text;
  };
  EXPECT_THAT(errors("g", "", ""), HasSubstr("holds no entry g"));
  EXPECT_THAT(errors("f", "", ""),
              HasSubstr("the inputs file holds no tensor x"));
  EXPECT_THAT(errors("f", "none", ""), HasSubstr("none"));
  EXPECT_THAT(errors("f", "in.safetensors", ""),
              HasSubstr("x is stored as i32, expected f32"));
  EXPECT_THAT(errors("f", "in.safetensors", "none"), HasSubstr("none"));
}

}  // namespace
}  // namespace mlir::moe
