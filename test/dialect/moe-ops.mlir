// Every operation of moe that stands in entries prints as it is read, as text and as bytecode.
// RUN: moe-opt %s --verify-roundtrip | FileCheck %s
// RUN: moe-opt %s --mlir-print-op-generic | moe-opt --verify-roundtrip | FileCheck %s

!plan = !moe.plan<8, 2>

// CHECK-LABEL: func.func @plans
// CHECK: moe.plan_indices %{{.*}} : <8, 2>
func.func @plans(%plan: !plan) {
  %0 = moe.plan_indices %plan : !plan
  %1 = moe.counts %plan : !plan
  return
}

// CHECK-LABEL: func.func @grouped
// CHECK: moe.grouped_matmul gather %{{.*}}, %{{.*}}, %{{.*}} bias(%{{.*}} : tensor<8x6xf32>)
func.func @grouped(%x: tensor<?x4xf32>, %plan: !plan, %w: tensor<8x6x4xf32>, %b: tensor<8x6xf32>) {
  %0 = moe.grouped_matmul gather %x, %plan, %w bias(%b : tensor<8x6xf32>) : tensor<?x4xf32>, !plan, tensor<8x6x4xf32>
  %1 = moe.grouped_matmul %x, %plan, %w : tensor<?x4xf32>, !plan, tensor<8x6x4xf32>
  %2 = moe.grouped_broadcast %b, %plan : tensor<8x6xf32>, !plan
  return
}

// CHECK-LABEL: func.func @exchange
// CHECK: moe.all_to_all_v %{{.*}}, %{{.*}} ranks(2) axis("ep") : tensor<?x4xf32>, <8, 2>
// CHECK: moe.all_to_all_v_back
func.func @exchange(%rows: tensor<?x4xf32>, %plan: !plan) {
  %in, %local, %from = moe.all_to_all_v %rows, %plan ranks(2) axis("ep") : tensor<?x4xf32>, !plan
  %back = moe.all_to_all_v_back %in, %local, %from, %plan axis("ep") : tensor<?x4xf32>, !moe.plan<4, 1>, tensor<3xi32>, !plan
  return
}

// CHECK-LABEL: func.func @gradients
// CHECK: moe.grouped_matmul_dw gather
func.func @gradients(%s: tensor<?x8xf32>, %plan: !plan, %dy: tensor<?x6xf32>, %x: tensor<?x4xf32>, %w: tensor<8x6x4xf32>, %p: tensor<?x2xf32>) {
  %0 = moe.dispatch_grad %x, %plan : tensor<?x4xf32>, !plan -> tensor<?x4xf32>
  %1:2 = moe.combine_grad %x, %plan, %p, %x : tensor<?x4xf32>, !plan, tensor<?x2xf32>, tensor<?x4xf32>
  %2 = moe.grouped_matmul_dx %dy, %plan, %w : tensor<?x6xf32>, !plan, tensor<8x6x4xf32>
  %3 = moe.grouped_matmul_dw gather %dy, %plan, %x : tensor<?x6xf32>, !plan, tensor<?x4xf32>
  %4 = moe.grouped_sum %dy, %plan : tensor<?x6xf32>, !plan
  %5 = moe.group_mask_grad %s, %s groups(4) keep(2) score(max) : tensor<?x8xf32>, tensor<?x8xf32>
  %6 = moe.weigh %dy, %plan, %p : tensor<?x6xf32>, !plan, tensor<?x2xf32>
  %7:2 = moe.weigh_grad %dy, %plan, %p, %6 : tensor<?x6xf32>, !plan, tensor<?x2xf32>, tensor<?x6xf32>
  return
}
