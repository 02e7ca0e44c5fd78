// Matrix products as code: their innermost loops are vector multiply-adds alone, on every instruction set level.
// RUN: %python -B %inputs/loops.py llvm-objdump --self-test
// RUN: moe-compile %s -o %t.moe
// RUN: %python -B %inputs/loops.py llvm-objdump products %t.moe | FileCheck %s

// Blocks of twelve rows: of two vectors, or of one where there are sixteen registers, which hold two halves each.
// One row has eight multiply-adds under way: of four panels or, of two halves each, of two.
// CHECK: x86-64-v3]: {{[0-9]+}} instructions, {{[0-9]+}} innermost loops with multiply-adds: {{.*}} with 12,{{.*}} with 8,
// CHECK: x86-64-v4]: {{[0-9]+}} instructions, {{[0-9]+}} innermost loops with multiply-adds: {{.*}} with 24,{{.*}} with 16,{{.*}} with 8,

nn.param @w32 : tensor<200x300xf32> from [#nn.source<"w32", [200, 300]>]
nn.param @b32 : tensor<200xf32> from [#nn.source<"b32", [200]>]
nn.param @odd32 : tensor<33x31xf32> from [#nn.source<"odd32", [33, 31]>]
nn.param @w16 : tensor<200x300xbf16> from [#nn.source<"w16", [200, 300]>]
nn.param @b16 : tensor<200xbf16> from [#nn.source<"b16", [200]>]
nn.param @odd16 : tensor<33x31xbf16> from [#nn.source<"odd16", [33, 31]>]
nn.param @heads32 : tensor<3x40x24xf32> from [#nn.source<"heads32", [120, 24]>]
nn.param @heads16 : tensor<3x40x24xbf16> from [#nn.source<"heads16", [120, 24]>]
nn.param @we32 : tensor<8x96x128xf32> from [#nn.source<"experts32.{e}", [96, 128]>]
nn.param @we16 : tensor<8x96x128xbf16> from [#nn.source<"experts16.{e}", [96, 128]>]

func.func @linear32(%x: tensor<?x300xf32>) -> tensor<?x200xf32> {
  %w = nn.param_get @w32 : tensor<200x300xf32>
  %b = nn.param_get @b32 : tensor<200xf32>
  %y = nn.linear %x, %w bias(%b : tensor<200xf32>) : tensor<?x300xf32>, tensor<200x300xf32>
  return %y : tensor<?x200xf32>
}
func.func @odd_linear32(%x: tensor<?x31xf32>) -> tensor<?x33xf32> {
  %w = nn.param_get @odd32 : tensor<33x31xf32>
  %y = nn.linear %x, %w : tensor<?x31xf32>, tensor<33x31xf32>
  return %y : tensor<?x33xf32>
}
func.func @linear16(%x: tensor<?x300xbf16>) -> tensor<?x200xbf16> {
  %w = nn.param_get @w16 : tensor<200x300xbf16>
  %b = nn.param_get @b16 : tensor<200xbf16>
  %y = nn.linear %x, %w bias(%b : tensor<200xbf16>) : tensor<?x300xbf16>, tensor<200x300xbf16>
  return %y : tensor<?x200xbf16>
}
func.func @odd_linear16(%x: tensor<?x31xbf16>) -> tensor<?x33xbf16> {
  %w = nn.param_get @odd16 : tensor<33x31xbf16>
  %y = nn.linear %x, %w : tensor<?x31xbf16>, tensor<33x31xbf16>
  return %y : tensor<?x33xbf16>
}
func.func @head_linear32(%x: tensor<?x3x24xf32>) -> tensor<?x3x40xf32> {
  %w = nn.param_get @heads32 : tensor<3x40x24xf32>
  %y = nn.head_linear %x, %w : tensor<?x3x24xf32>, tensor<3x40x24xf32>
  return %y : tensor<?x3x40xf32>
}
func.func @head_linear16(%x: tensor<?x3x24xbf16>) -> tensor<?x3x40xbf16> {
  %w = nn.param_get @heads16 : tensor<3x40x24xbf16>
  %y = nn.head_linear %x, %w : tensor<?x3x24xbf16>, tensor<3x40x24xbf16>
  return %y : tensor<?x3x40xbf16>
}
func.func @experts32(%x: tensor<?x128xf32>, %idx: tensor<?x2xi32>, %p: tensor<?x2xf32>) -> tensor<?x96xf32> {
  %w = nn.param_get @we32 : tensor<8x96x128xf32>
  %plan = moe.make_plan %idx experts(8) : tensor<?x2xi32>
  %rows = moe.dispatch %x, %plan : tensor<?x128xf32>, <8, 2>
  %y = moe.experts %rows, %plan params(%w) : (tensor<?x128xf32>, !moe.plan<8, 2>, tensor<8x96x128xf32>) -> tensor<?x96xf32> {
  ^bb0(%row: tensor<?x128xf32>, %we: tensor<96x128xf32>):
    %z = nn.linear %row, %we : tensor<?x128xf32>, tensor<96x128xf32>
    moe.yield %z : tensor<?x96xf32>
  }
  %out = moe.combine %y, %plan, %p : tensor<?x96xf32>, <8, 2>, tensor<?x2xf32>
  return %out : tensor<?x96xf32>
}
func.func @experts16(%x: tensor<?x128xbf16>, %idx: tensor<?x2xi32>, %p: tensor<?x2xf32>) -> tensor<?x96xbf16> {
  %w = nn.param_get @we16 : tensor<8x96x128xbf16>
  %plan = moe.make_plan %idx experts(8) : tensor<?x2xi32>
  %rows = moe.dispatch %x, %plan : tensor<?x128xbf16>, <8, 2>
  %y = moe.experts %rows, %plan params(%w) : (tensor<?x128xbf16>, !moe.plan<8, 2>, tensor<8x96x128xbf16>) -> tensor<?x96xbf16> {
  ^bb0(%row: tensor<?x128xbf16>, %we: tensor<96x128xbf16>):
    %z = nn.linear %row, %we : tensor<?x128xbf16>, tensor<96x128xbf16>
    moe.yield %z : tensor<?x96xbf16>
  }
  %out = moe.combine %y, %plan, %p : tensor<?x96xbf16>, <8, 2>, tensor<?x2xf32>
  return %out : tensor<?x96xbf16>
}
