// RUN: moe-opt %s --moe-assign-layouts --moe-lower-cpu --split-input-file --verify-diagnostics
// Operands of one type that count different things have no code.

func.func @attend(%q: tensor<?x2x4xf32>, %k: tensor<?x1x4xf32>, %positions: tensor<?xi32> {nn.name = "positions"},
                  %s: tensor<?xi32> {nn.name = "cu_seqlens"}) -> tensor<?x2x4xf32> attributes {nn.entry = "attend"} {
  // expected-error@+1 {{expects operands that count the same: tokens, sequences or rows of one plan}}
  %y = nn.attend %q, %k positions(%s) seqs(%s) {scale = 1.0, value_dims = 4} : tensor<?x2x4xf32>, tensor<?x1x4xf32> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x2x4xf32>
  return %y : tensor<?x2x4xf32>
}

// -----

func.func @last(%x: tensor<?x4xf32>, %positions: tensor<?xi32> {nn.name = "positions"}) -> tensor<?x4xf32> attributes {nn.entry = "last"} {
  // expected-error@+1 {{expects operands that count the same}}
  %y = nn.last_rows %x, %positions : tensor<?x4xf32>, tensor<?xi32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// -----

func.func @sum(%x: tensor<?x4xf32>, %s: tensor<?xi32> {nn.name = "cu_seqlens"}) -> tensor<?x4xf32> attributes {nn.entry = "sum"} {
  %l = nn.last_rows %x, %s : tensor<?x4xf32>, tensor<?xi32> -> tensor<?x4xf32>
  // expected-error@+1 {{expects operands that count the same}}
  %y = arith.addf %x, %l : tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}
