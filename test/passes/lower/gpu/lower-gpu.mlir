// RUN: moe-opt %s --moe-lower-gpu=chip=sm_80 | FileCheck %s
// RUN: moe-opt %s --moe-lower-gpu | FileCheck %s --check-prefix=HOPPER
// RUN: not moe-opt %s --moe-lower-gpu=chip=sm_75 2>&1 | FileCheck %s --check-prefix=CHIP

// CHECK-LABEL: func.func @two
// CHECK: moe.route_permute
// CHECK-SAME: moe.kernels = [@moe_kernels::@moe_route_0, @moe_kernels::@moe_plan_scan_e40, @moe_kernels::@moe_plan_place_e40_k2]
// The second one differs in its places alone, the third in a product.
// CHECK: moe.kernels = [@moe_kernels::@moe_route_0, @moe_kernels::@moe_plan_scan_e40, @moe_kernels::@moe_plan_place_e40_k2]
// CHECK: moe.kernels = [@moe_kernels::@moe_route_1, @moe_kernels::@moe_plan_scan_e40, @moe_kernels::@moe_plan_place_e40_k2]
func.func @two(%x: tensor<?x160xf32>, %g: tensor<40x160xf32>) -> (tensor<?x2xf32>, tensor<?x2xf32>, tensor<?x2xf32>) {
  %p, %w = moe.route_permute %x params(%g) : (tensor<?x160xf32>, tensor<40x160xf32>) -> (!moe.plan<40, 2>, tensor<?x2xf32>) {
  ^bb0(%t: tensor<?x160xf32>, %h: tensor<40x160xf32>):
    %z = nn.linear %t, %h : tensor<?x160xf32>, tensor<40x160xf32>
    %s = nn.softmax %z axis(1) : tensor<?x40xf32>
    %i = moe.select %s top_k(2) : tensor<?x40xf32>
    %y = moe.pick %s, %i : tensor<?x40xf32>, tensor<?x2xi32>
    moe.yield %i, %y : tensor<?x2xi32>, tensor<?x2xf32>
  }
  %q, %v = moe.route_permute %x params(%g) : (tensor<?x160xf32>, tensor<40x160xf32>) -> (!moe.plan<40, 2>, tensor<?x2xf32>) {
  ^bb0(%t: tensor<?x160xf32>, %h: tensor<40x160xf32>):
    %z = nn.linear %t, %h : tensor<?x160xf32>, tensor<40x160xf32>
    %s = nn.softmax %z axis(1) : tensor<?x40xf32>
    %i = moe.select %s top_k(2) : tensor<?x40xf32>
    %y = moe.pick %s, %i : tensor<?x40xf32>, tensor<?x2xi32>
    moe.yield %i, %y : tensor<?x2xi32>, tensor<?x2xf32>
  }
  %r, %u = moe.route_permute %x params(%g) : (tensor<?x160xf32>, tensor<40x160xf32>) -> (!moe.plan<40, 2>, tensor<?x2xf32>) {
  ^bb0(%t: tensor<?x160xf32>, %h: tensor<40x160xf32>):
    %z = nn.linear %t, %h : tensor<?x160xf32>, tensor<40x160xf32>
    %i = moe.select %z top_k(2) : tensor<?x40xf32>
    %y = moe.pick %z, %i : tensor<?x40xf32>, tensor<?x2xi32>
    moe.yield %i, %y : tensor<?x2xi32>, tensor<?x2xf32>
  }
  return %w, %v, %u : tensor<?x2xf32>, tensor<?x2xf32>, tensor<?x2xf32>
}

// CHECK: gpu.module @moe_kernels [#nvvm.target<O = 3, chip = "sm_80", features = "+ptx70">]
// HOPPER: gpu.module @moe_kernels [#nvvm.target<O = 3, chip = "sm_90a", features = "+ptx80">]
// CHIP: expects chip sm_80 or sm_90a, got sm_75

// Counts of 40 experts and one row of 64 logits for each of 8 warps.
// CHECK: llvm.mlir.global internal @moe_route_0_seen() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<40 x i32>
// CHECK: llvm.mlir.global internal @moe_route_0_stage() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<512 x f32>
// CHECK: llvm.func @moe_route_0(%{{.*}}: !llvm.ptr<1> {llvm.align = 16 : i64, llvm.noalias, llvm.readonly}, %{{.*}}: !llvm.ptr<1> {llvm.align = 16 : i64, llvm.noalias, llvm.readonly}, %{{.*}}: !llvm.ptr<1> {llvm.align = 16 : i64, llvm.noalias}, %{{.*}}: !llvm.ptr<1> {llvm.align = 16 : i64, llvm.noalias}, %{{.*}}: !llvm.ptr<1> {llvm.align = 16 : i64, llvm.noalias}, %{{.*}}: i64, %{{.*}}: i64) attributes {nvvm.kernel, nvvm.reqntid = array<i32: 256, 1, 1>}
// CHECK: nvvm.barrier0
// 32 rows of the gate in a loop over k, then 8 more: 31 and 7 + 2 shuffles add their sums.
// CHECK-COUNT-31: nvvm.shfl.sync bfly
// CHECK-NOT: nvvm.shfl.sync
// CHECK: scf.for
// CHECK-COUNT-9: nvvm.shfl.sync bfly
// Softmax: largest, exp, sum.
// CHECK: arith.maximumf
// CHECK-COUNT-5: nvvm.shfl.sync bfly
// CHECK: math.fma
// CHECK-COUNT-5: nvvm.shfl.sync bfly
// CHECK: arith.divf
// Two rounds of the largest key, then its lowest index.
// CHECK: scf.for
// CHECK: nvvm.redux.sync max
// CHECK: nvvm.redux.sync min
// CHECK-COUNT-2: nvvm.shfl.sync idx
// CHECK: llvm.atomicrmw add %{{.*}}, %{{.*}} syncscope("block") monotonic : !llvm.ptr<3>, i32
// CHECK: nvvm.barrier0
// CHECK: llvm.return

// CHECK: llvm.func @moe_plan_scan_e40({{.*}}) attributes {nvvm.kernel, nvvm.reqntid = array<i32: 64, 1, 1>}
// CHECK: nvvm.shfl.sync up
// CHECK: llvm.func @moe_plan_place_e40_k2({{.*}}) attributes {nvvm.kernel, nvvm.reqntid = array<i32: 128, 1, 1>}
// CHECK: nvvm.match.sync any
// CHECK: llvm.func @moe_route_1(
// CHECK-NOT: llvm.func
