// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/backend/manifest.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/core/errors.h"
#include "runtime/manifest.h"
#include "test/backend/program.h"

namespace mlir::moe {
namespace {

using ::moe::Code;
using ::moe::DumpJson;
using ::moe::HasCode;
using ::moe::Json;
using ::testing::HasSubstr;

// Two layers, the second with a mixture of experts, after the fused phase.
constexpr char kProgram[] = R"(
module attributes {moe.name = "tiny", moe.max_positions = 512 : i64,
                   moe.eos_token_ids = [2, 7],
                   moe.config = "{\"hidden_size\": 8}"} {
  nn.param @embed : tensor<16x8xbf16> from [#nn.source<"embed.weight", [16, 8]>] {nn.index = 0 : i64, nn.format = "raw"}
  nn.param @gate : tensor<4x8xbf16> layers [1, 2] from [#nn.source<"l.{i}.gate", [4, 8]>] {nn.index = 1 : i64, nn.format = "bf16.n32"}
  nn.param @gate_up : tensor<4x24x8xbf16> layers [1, 2] from [
    #nn.source<"l.{i}.e.{e}.w1", [12, 8] rows 12>,
    #nn.source<"l.{i}.e.{e}.w3", [12, 8] at 12 rows 12>] {nn.index = 2 : i64, nn.format = "bf16.amx"}
  nn.param @k_up : tensor<2x3x5xf32> layers [0, 2] from [#nn.source<"l.{i}.kv_b", [16, 5] offset 10 strides [40, 5, 1]>] {nn.index = 3 : i64, nn.format = "f32.n32"}
  nn.param @norm : tensor<8xf32> from [#nn.source<"norm.weight", [8]>] {nn.index = 5 : i64, nn.format = "raw"}
  nn.param @unused : tensor<8xf32> from [#nn.source<"x", [8]>]
  func.func @score(%ids: tensor<?xi32> {nn.name = "ids"},
                   %positions: tensor<?xi32> {nn.name = "positions"},
                   %seqs: tensor<?xi32> {nn.name = "cu_seqlens"})
      -> (tensor<?x16xf32> {nn.name = "logits"},
          tensor<1x?x2xi32> {nn.name = "routing.idx", nn.layers = [1, 2]})
      attributes {nn.entry = "score"} {
    %table = nn.param_get @embed : tensor<16x8xbf16>
    %x = nn.embedding %ids, %table : tensor<?xi32>, tensor<16x8xbf16> -> tensor<?x8xf32>
    %y, %idx = nn.layers 1 to 2 (%x) : (tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<1x?x2xi32>) {
    ^bb0(%i: index, %h: tensor<?x8xf32>):
      %w = nn.param_get @gate[%i] : tensor<4x8xbf16>
      %z = nn.linear %h, %w : tensor<?x8xf32>, tensor<4x8xbf16>
      %c = moe.select %z top_k(2) : tensor<?x4xf32>
      %plan = moe.make_plan %c experts(4) : tensor<?x2xi32>
      nn.yield %h, %c : tensor<?x8xf32>, tensor<?x2xi32>
    }
    %l = nn.linear %y, %table : tensor<?x8xf32>, tensor<16x8xbf16>
    func.return %l, %idx : tensor<?x16xf32>, tensor<1x?x2xi32>
  }
  func.func @decode(%ids: tensor<?xi32> {nn.name = "ids"},
                    %slot: tensor<?xi32> {nn.name = "slot"},
                    %blocks: tensor<?x?xi32> {nn.name = "block_table"},
                    %cache: !nn.cache<12 x bf16> {nn.name = "cache"},
                    %x: tensor<?x16xf32>)
      -> (tensor<?x16xf32> {nn.name = "logits"}) attributes {nn.entry = "decode"} {
    func.return %x : tensor<?x16xf32>
  }
}
)";

constexpr char kGolden[] =
    R"({"format":1,"abi":1,"producer":"moe-compile 0.1.0","name":"tiny","compute":"f32","source_hash":"00ff",
"model":{"vocab_size":16,"layers":2,"max_positions":512,"experts":4,"top_k":2,"moe_layers":[1],"eos_token_ids":[2,7],
"kv":{"dtype":"bf16","width":12,"layers":2}},
"dims":["tokens","sequences","longest","page_length","pages_per_sequence","pages","rank_tokens"],
"entries":[
{"name":"score","buffers":[
{"name":"ids","role":"input","dtype":"i32","shape":["tokens"]},
{"name":"positions","role":"input","dtype":"i32","shape":["tokens"]},
{"name":"cu_seqlens","role":"input","dtype":"i32","shape":["sequences+1"]},
{"name":"params","role":"params"},
{"name":"logits","role":"output","dtype":"f32","shape":["tokens",16]},
{"name":"routing.idx","role":"output","dtype":"i32","shape":[1,"tokens",2]}]},
{"name":"decode","buffers":[
{"name":"ids","role":"input","dtype":"i32","shape":["tokens"]},
{"name":"slot","role":"input","dtype":"i32","shape":["sequences"]},
{"name":"block_table","role":"input","dtype":"i32","shape":["slots","pages_per_sequence"]},
{"name":"arg4","role":"input","dtype":"f32","shape":["tokens",16]},
{"name":"params","role":"params"},
{"name":"cache","role":"cache"},
{"name":"logits","role":"output","dtype":"f32","shape":["sequences",16]}]}],
"params":[
{"name":"embed","index":0,"layers":1,"first_layer":0,"groups":1,"shape":[16,8],"format":"raw","dtype":"bf16","bytes":256,"group_bytes":256,"pack":"",
"sources":[{"pattern":"embed.weight","shape":[16,8],"n0":0,"n":16,"offset":0,"stride_n":8,"stride_k":1}]},
{"name":"gate","index":1,"layers":1,"first_layer":1,"groups":1,"shape":[4,8],"format":"bf16.n32","dtype":"bf16","bytes":512,"group_bytes":512,"pack":"pack.bf16.bf16.n32",
"sources":[{"pattern":"l.{i}.gate","shape":[4,8],"n0":0,"n":4,"offset":0,"stride_n":8,"stride_k":1}]},
{"name":"gate_up","index":2,"layers":1,"first_layer":1,"groups":4,"shape":[24,8],"format":"bf16.amx","dtype":"bf16","bytes":8192,"group_bytes":2048,"pack":"pack.bf16.bf16.amx",
"sources":[{"pattern":"l.{i}.e.{e}.w1","shape":[12,8],"n0":0,"n":12,"offset":0,"stride_n":8,"stride_k":1},
{"pattern":"l.{i}.e.{e}.w3","shape":[12,8],"n0":12,"n":12,"offset":0,"stride_n":8,"stride_k":1}]},
{"name":"k_up","index":3,"layers":2,"first_layer":0,"groups":2,"shape":[3,5],"format":"f32.n32","dtype":"f32","bytes":1280,"group_bytes":640,"pack":"pack.f32.f32.n32",
"sources":[{"pattern":"l.{i}.kv_b","shape":[16,5],"n0":0,"n":3,"offset":10,"stride_n":5,"stride_k":1,"stride_g":40}]},
{"name":"norm","index":5,"layers":1,"first_layer":0,"groups":1,"shape":[8],"format":"raw","dtype":"f32","bytes":32,"group_bytes":32,"pack":"",
"sources":[{"pattern":"norm.weight","shape":[8],"n0":0,"n":8,"offset":0,"stride_n":1,"stride_k":1}]}],
"config":{"hidden_size":8}})";

TEST(Manifest, TellsWhatTheProgramHolds) {
  Program program(kProgram);
  ASSERT_TRUE(program.module());
  auto manifest = makeManifest(program.module(), {.sourceHash = "00ff"});
  ASSERT_TRUE(manifest.ok()) << manifest.status().ToString();
  std::string golden(kGolden);
  std::erase(golden, '\n');
  EXPECT_EQ(DumpJson(*manifest), golden);
}

TEST(Manifest, IsWhatTheRuntimeReads) {
  Program program(kProgram);
  ASSERT_TRUE(program.module());
  auto manifest = makeManifest(program.module());
  ASSERT_TRUE(manifest.ok()) << manifest.status().ToString();
  auto read = ::moe::ReadManifest(*manifest, "manifest");
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->param_slots, 6);
  EXPECT_EQ(read->entries.size(), 2u);
  EXPECT_TRUE(read->params[0].MapsDirectly());
  EXPECT_FALSE(read->params[2].MapsDirectly());
}

TEST(Manifest, FunctionsOnTheirOwnHaveNoModel) {
  Program program(R"(
func.func @f(%x: tensor<?x8xf32>, %y: tensor<3xi32>) -> tensor<?x8xf32> attributes {nn.entry = "f"} {
  func.return %x : tensor<?x8xf32>
})");
  auto manifest = makeManifest(program.module());
  ASSERT_TRUE(manifest.ok()) << manifest.status().ToString();
  EXPECT_FALSE(manifest->contains("model"));
  EXPECT_THAT(
      DumpJson((*manifest)["entries"]),
      HasSubstr(R"({"name":"arg1","role":"input","dtype":"i32","shape":[3]})"));
  EXPECT_TRUE(::moe::ReadManifest(*manifest, "manifest").ok());
}

TEST(Manifest, RefusesWhatItCannotSay) {
  Program shapes(R"(
func.func @f(%x: tensor<?x?xf32>) attributes {nn.entry = "f"} { func.return })");
  EXPECT_TRUE(HasCode(makeManifest(shapes.module()).status(), Code::K109));
  Program types(R"(
func.func @f(%x: !moe.plan<8, 2>) attributes {nn.entry = "f"} { func.return })");
  EXPECT_TRUE(HasCode(makeManifest(types.module()).status(), Code::K109));
  Program entries("func.func @f() { func.return }");
  EXPECT_TRUE(HasCode(makeManifest(entries.module()).status(), Code::I002));
  Program format(R"(
nn.param @p : tensor<8xf32> from [#nn.source<"x", [8]>] {nn.index = 0 : i64, nn.format = "f32.n32"}
func.func @f() attributes {nn.entry = "f"} { func.return })");
  EXPECT_TRUE(HasCode(makeManifest(format.module()).status(), Code::I002));
}

}  // namespace
}  // namespace mlir::moe
