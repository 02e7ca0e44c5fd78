// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tables written by hand over small donors: every value is known.
#include "runtime/rewrite/rewriter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <numeric>

#include "lib/core/atomic_file.h"
#include "lib/core/errors.h"
#include "lib/core/safetensors.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

class RewriterTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / "rewriter_test";
    fs::remove_all(root_);
    // "a" counts from 0, "b" from 100; the other folder has 1000 more.
    folders_ = {Donor("one", 0), Donor("two", 1000)};
  }
  void TearDown() override { fs::remove_all(root_); }

  std::string Donor(const char* name, float first) {
    const fs::path folder = root_ / name;
    fs::create_directories(folder);
    std::vector<float> a(12), b(12);
    std::iota(a.begin(), a.end(), first);
    std::iota(b.begin(), b.end(), first + 100);
    SafetensorsWriter writer;
    writer.Add("a", DType::kF32, {4, 3}, AsBytes(a));
    writer.Add("b", DType::kF32, {4, 3}, AsBytes(b));
    EXPECT_TRUE(writer.Write((folder / "model.safetensors").string()).ok());
    EXPECT_TRUE(
        WriteFileAtomically((folder / "config.json").string(), "{}").ok());
    return folder.string();
  }

  static RewritePlan PlanOf(RewriteTensor tensor, int64_t folders = 1) {
    RewritePlan plan;
    plan.recipe = "test";
    plan.folders = folders;
    plan.config = plan.donor = Json::object();
    tensor.name = tensor.name.empty() ? "made" : tensor.name;
    plan.tensors = {std::move(tensor)};
    return plan;
  }

  // The values of every tensor, one after the other.
  std::vector<float> Run(RewriteTensor tensor, int64_t folders = 1) {
    auto rewriter = Rewriter::Open(
        PlanOf(std::move(tensor), folders),
        {folders_.begin(), folders_.begin() + (folders == 1 ? 1 : 2)});
    EXPECT_TRUE(rewriter.ok()) << rewriter.status();
    std::vector<float> values;
    if (!rewriter.ok()) return values;
    for (const ModelTensor& made : (*rewriter)->Tensors()) {
      std::vector<float> out(static_cast<size_t>(*ElementCount(made.shape)));
      EXPECT_TRUE(made.fill(std::as_writable_bytes(std::span(out))).ok());
      values.insert(values.end(), out.begin(), out.end());
    }
    return values;
  }

  void ExpectRefused(RewriteTensor tensor, Code code) {
    const auto rewriter =
        Rewriter::Open(PlanOf(std::move(tensor)), {folders_[0]});
    ASSERT_FALSE(rewriter.ok());
    EXPECT_TRUE(HasCode(rewriter.status(), code)) << rewriter.status();
  }

  fs::path root_;
  std::vector<std::string> folders_;
};

RewriteTensor Made(std::vector<int64_t> shape,
                   std::vector<std::vector<RewriteTerm>> parts,
                   size_t axis = 0) {
  RewriteTensor tensor;
  tensor.shape = std::move(shape);
  tensor.parts = std::move(parts);
  tensor.axis = axis;
  return tensor;
}

using Floats = std::vector<float>;

TEST_F(RewriterTest, JoinsRowsAndColumns) {
  EXPECT_EQ(Run(Made({3, 3}, {{{.tensor = "a", .ranges = {{3, 1}, {0, 1}}}},
                              {{.tensor = "b", .ranges = {{1, 1}}}}})),
            (Floats{9, 10, 11, 0, 1, 2, 103, 104, 105}));
  EXPECT_EQ(Run(Made({4, 2},
                     {{{.tensor = "a", .ranges = {{2, 1}}}},
                      {{.tensor = "b", .ranges = {{0, 1}}}}},
                     1)),
            (Floats{2, 100, 5, 103, 8, 106, 11, 109}));
}

TEST_F(RewriterTest, AddsWeightedTermsAndScales) {
  RewriteTensor tensor =
      Made({1, 3}, {{{.tensor = "a", .weight = 0.25, .ranges = {{1, 1}}},
                     {.tensor = "b", .weight = 0.75, .ranges = {{0, 1}}}}});
  EXPECT_EQ(Run(tensor), (Floats{75.75f, 76.75f, 77.75f}));
  tensor.scale = 4;
  EXPECT_EQ(Run(tensor), (Floats{303, 307, 311}));
}

TEST_F(RewriterTest, TakesMeansOfFoldersAndOneOfEach) {
  RewriteTensor tensor = Made({1, 3}, {{{.tensor = "a", .ranges = {{0, 1}}}}});
  tensor.folders = FolderUse::kMean;
  EXPECT_EQ(Run(tensor, 2), (Floats{500, 501, 502}));
  tensor.folders = FolderUse::kEach;
  tensor.name = "made.{e}";
  EXPECT_EQ(Run(tensor, 0), (Floats{0, 1, 2, 1000, 1001, 1002}));
}

TEST_F(RewriterTest, RandomRowsRepeat) {
  RewriteTensor tensor;
  tensor.kind = RewriteKind::kRandom;
  tensor.shape = {4, 5};
  tensor.std = 0.5;
  tensor.repeat = 2;
  const Floats values = Run(tensor);
  EXPECT_TRUE(
      std::equal(values.begin(), values.begin() + 5, values.begin() + 5));
  EXPECT_FALSE(
      std::equal(values.begin(), values.begin() + 5, values.begin() + 10));
  EXPECT_EQ(Run(tensor), values);
  tensor.shape = {200, 100};
  tensor.repeat = 1;
  double sum = 0, square = 0;
  for (const float value : Run(tensor)) {
    sum += value;
    square += value * value;
  }
  EXPECT_NEAR(sum / 20000, 0, 0.01);
  EXPECT_NEAR(std::sqrt(square / 20000), 0.5, 0.01);
}

TEST_F(RewriterTest, RefusesTablesThatDoNotFit) {
  ExpectRefused(Made({4, 3}, {{{.tensor = "c"}}}), Code::W101);
  ExpectRefused(Made({5, 3}, {{{.tensor = "a"}}}), Code::W102);
  ExpectRefused(Made({4, 4}, {{{.tensor = "a"}}}), Code::W102);
  ExpectRefused(Made({4}, {{{.tensor = "a"}}}), Code::W102);
  ExpectRefused(Made({2, 3}, {{{.tensor = "a", .ranges = {{3, 2}}}}}),
                Code::W102);
  ExpectRefused(Made({2, 3}, {{{.tensor = "a", .ranges = {{0, 2}}},
                               {.tensor = "b", .ranges = {{0, 1}}}}}),
                Code::W102);
  ExpectRefused(
      Made({1, 3}, {{{.tensor = "a", .cluster = {"c", 4}, .pick = 0}}}),
      Code::W101);
  ExpectRefused(
      Made({1, 3}, {{{.tensor = "a", .cluster = {"b", 3}, .pick = 0}}}),
      Code::M109);
  RewriteTensor half = Made({4, 3}, {{{.tensor = "a"}}});
  half.dtype = DType::kBF16;
  ExpectRefused(half, Code::W109);
  RewriteTensor large;
  large.kind = RewriteKind::kRandom;
  large.shape = {int64_t{1} << 40, int64_t{1} << 40};
  ExpectRefused(large, Code::M109);
}

TEST_F(RewriterTest, FolderAppearsWholeOrNotAtAll) {
  const std::string out = (root_ / "out").string();
  std::vector<ModelTensor> tensors = {
      {"a", DType::kF32, {2}, [](std::span<std::byte> bytes) {
         std::memset(bytes.data(), 0, bytes.size());
         return absl::OkStatus();
       }}};
  ASSERT_TRUE(WriteModelFolder(out, Json::object(), tensors, {}).ok());
  EXPECT_TRUE(fs::exists(fs::path(out) / "config.json"));
  EXPECT_TRUE(
      HasCode(WriteModelFolder(out, Json::object(), tensors, {}), Code::U103));
  tensors[0].fill = [](std::span<std::byte>) {
    return Error(Code::R001, "no");
  };
  const std::string other = (root_ / "other").string();
  EXPECT_FALSE(WriteModelFolder(other, Json::object(), tensors, {}).ok());
  EXPECT_FALSE(fs::exists(other));
  size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(root_))
    ++entries;
  EXPECT_EQ(entries, 3u);  // two donors and "out"
}

}  // namespace
}  // namespace moe
