// RUN: moe-opt %s --moe-differentiate="entry=f of=x" --split-input-file --verify-diagnostics

// expected-error@+1 {{expects a function @f to differentiate}}
module {}

// -----

// expected-error@+1 {{has no argument x}}
func.func @f(%y: tensor<?xf32>) -> tensor<?xf32> {
  return %y : tensor<?xf32>
}

// -----

// expected-error@+1 {{expects floating-point numbers in argument x, got 'tensor<?xi32>'}}
func.func @f(%x: tensor<?xi32> {nn.name = "x"}) -> tensor<f32> {
  %c = arith.constant dense<0.0> : tensor<f32>
  return %c : tensor<f32>
}

// -----

// expected-error@+1 {{expects a first result of floating-point numbers}}
func.func @f(%x: tensor<?xf32> {nn.name = "x"}) {
  return
}

// -----

// expected-error@+1 {{has a gradient @f_grad already}}
func.func @f(%x: tensor<?xf32> {nn.name = "x"}) -> tensor<?xf32> {
  return %x : tensor<?xf32>
}
func.func private @f_grad()

// -----

func.func @f(%x: tensor<?xf32> {nn.name = "x"}) -> tensor<?xf32> {
  // expected-error@+1 {{'math.sin' op is reached by a gradient and is not differentiable}}
  %y = math.sin %x : tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

// What no gradient reaches may be anything.
func.func @f(%x: tensor<?xf32> {nn.name = "x"}, %z: tensor<?xf32>) -> (tensor<?xf32>, tensor<?xf32>) {
  %s = math.sin %z : tensor<?xf32>
  %y = arith.mulf %x, %s : tensor<?xf32>
  %t = math.sin %x : tensor<?xf32>
  return %y, %t : tensor<?xf32>, tensor<?xf32>
}

// -----

func.func @f(%x: tensor<?x4x3xf32> {nn.name = "x"}, %p: tensor<?xi32>, %s: tensor<?xi32>, %c: !nn.cache<6 x f32>, %l: index,
             %slot: tensor<?xi32>, %table: tensor<?x?xi32>) -> tensor<?x4x3xf32> {
  %k = nn.slice %x [0, 3] : tensor<?x4x3xf32>
  %r = nn.reshape %k : tensor<?x4x3xf32> -> tensor<?x12xf32>
  %o = nn.slice %r [0, 3] : tensor<?x12xf32>
  %kv = nn.reshape %o : tensor<?x3xf32> -> tensor<?x1x3xf32>
  // expected-error@+1 {{has no gradient where it reads a cache}}
  %y = nn.attend %x, %kv, %kv positions(%p) seqs(%s) cache(%c[%l], %slot, %table) {scale = 1.0}
    : tensor<?x4x3xf32>, tensor<?x1x3xf32>, tensor<?x1x3xf32> seqs tensor<?xi32>, tensor<?xi32>
      cache !nn.cache<6 x f32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x3xf32>
  return %y : tensor<?x4x3xf32>
}

// -----

nn.param @w : tensor<3xf32> layers [0, 2] from [#nn.source<"{i}.w", [3]>]
func.func @f(%x: tensor<3xf32> {nn.name = "x"}) -> tensor<3xf32> {
  %c = arith.constant 1 : index
  // expected-error@+1 {{has a gradient only at the layer of its loop}}
  %w = nn.param_get @w[%c] : tensor<3xf32>
  %y = arith.mulf %x, %w : tensor<3xf32>
  return %y : tensor<3xf32>
}
