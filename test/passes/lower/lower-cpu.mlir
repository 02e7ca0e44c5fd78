// RUN: moe-opt %s --moe-assign-layouts --moe-lower-cpu=isa=x86-64-v4 | FileCheck %s
// RUN: moe-opt %s --moe-assign-layouts --moe-lower-cpu=isa=x86-64-v3 | FileCheck %s --check-prefix=V3
// RUN: moe-opt %s --moe-assign-layouts --moe-lower-cpu --moe-outline-parallel | FileCheck %s --check-prefix=PART
// RUN: not moe-opt %s --moe-assign-layouts --moe-lower-cpu=isa=mips 2>&1 | FileCheck %s --check-prefix=ISA
// RUN: not moe-opt %s --moe-lower-cpu 2>&1 | FileCheck %s --check-prefix=LAYOUT
// RUN: not moe-opt %s --verify-target 2>&1 | FileCheck %s --check-prefix=TARGET

nn.param @w : tensor<5x4xf32> from [#nn.source<"w", [5, 4]>]
func.func @score(%x: tensor<?x4xf32> {nn.name = "x"}) -> (tensor<?x5xf32> {nn.name = "y"}) attributes {nn.entry = "score"} {
  %w = nn.param_get @w : tensor<5x4xf32>
  %y = nn.linear %x, %w : tensor<?x4xf32>, tensor<5x4xf32>
  return %y : tensor<?x5xf32>
}

// CHECK-LABEL: llvm.func @moe_entry_score(%{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr) -> i32
// Twelve rows of two vectors: 24 chains of fused multiply-adds, no separate product.
// CHECK-COUNT-24: math.fma
// CHECK-NOT: vector.fma
// CHECK: moe.grain
// CHECK-LABEL: llvm.func @moe_workspace_score(%{{.*}}: !llvm.ptr) -> i64
// CHECK-LABEL: llvm.func @moe_entry_pack.f32.f32.n32
// CHECK-LABEL: llvm.func @moe_module_v1() -> !llvm.ptr
// V3-LABEL: llvm.func @moe_entry_score
// V3-COUNT-6: math.fma
// PART-LABEL: llvm.func @moe_entry_score
// PART-NOT: moe.grain
// PART: llvm.call %{{.*}}(%{{.*}}) : !llvm.ptr, (!llvm.ptr, !llvm.ptr, !llvm.ptr, i64, i64) -> ()
// PART: llvm.func internal @moe_part_0(%{{.*}}: !llvm.ptr, %{{.*}}: i64, %{{.*}}: i64)
// ISA: expects isa x86-64-v3, x86-64-v4 or amx, got mips
// LAYOUT: reads @w, which has no layout
// TARGET: cannot stand at the target phase
