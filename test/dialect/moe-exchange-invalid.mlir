// RUN: moe-opt %s --split-input-file --verify-diagnostics

func.func @all_to_all_v_c1(%rows: tensor<?x2x4xf32>, %plan: !moe.plan<8, 2>) {
  // expected-error@+1 {{moe.all_to_all_v expects rows [R, D], got 'tensor<?x2x4xf32>'}}
  %a, %l, %f = moe.all_to_all_v %rows, %plan ranks(2) axis("ep") : tensor<?x2x4xf32>, !moe.plan<8, 2>
  return
}

// -----

func.func @all_to_all_v_c2(%rows: tensor<?x4xf32>, %plan: !moe.plan<8, 2>) {
  // expected-error@+1 {{moe.all_to_all_v expects ranks that divide the experts, got 3 ranks and 8 experts}}
  %a, %l, %f = moe.all_to_all_v %rows, %plan ranks(3) axis("ep") : tensor<?x4xf32>, !moe.plan<8, 2>
  return
}

// -----

func.func @all_to_all_v_back_c1(%y: tensor<?x?xf32>, %local: !moe.plan<4, 1>, %from: tensor<3xi32>, %plan: !moe.plan<8, 2>) {
  // expected-error@+1 {{moe.all_to_all_v_back expects y [R, N], got 'tensor<?x?xf32>'}}
  %r = moe.all_to_all_v_back %y, %local, %from, %plan axis("ep") : tensor<?x?xf32>, !moe.plan<4, 1>, tensor<3xi32>, !moe.plan<8, 2>
  return
}

// -----

func.func @all_to_all_v_back_c2(%y: tensor<?x4xf32>, %local: !moe.plan<4, 1>, %from: tensor<4xi32>, %plan: !moe.plan<8, 2>) {
  // expected-error@+1 {{moe.all_to_all_v_back expects from [P + 1] with P dividing 8 experts, got 'tensor<4xi32>'}}
  %r = moe.all_to_all_v_back %y, %local, %from, %plan axis("ep") : tensor<?x4xf32>, !moe.plan<4, 1>, tensor<4xi32>, !moe.plan<8, 2>
  return
}

// -----

func.func @all_to_all_v_back_c3(%y: tensor<?x4xf32>, %local: !moe.plan<2, 1>, %from: tensor<3xi32>, %plan: !moe.plan<8, 2>) {
  // expected-error@+1 {{expects the local plan '!moe.plan<4, 1>', got '!moe.plan<2, 1>'}}
  %r = moe.all_to_all_v_back %y, %local, %from, %plan axis("ep") : tensor<?x4xf32>, !moe.plan<2, 1>, tensor<3xi32>, !moe.plan<8, 2>
  return
}
