// Products of bf16 in tile registers: per 32 values of k three tiles of rows
// there, two of them back, two of weights; six products; nothing is spilled.
// RUN: moe-compile %s --entries half --target cpu:amx --emit asm | grep -oE "ldtilecfg|tileloadd|tilestored|tdpbf16ps|tilerelease" > %t.tiles
// RUN: FileCheck %s --input-file %t.tiles
// RUN: FileCheck %s --input-file %t.tiles --check-prefix=ONCE
// A module has this level where it computes in bf16, and only there.
// RUN: moe-compile %s --entries half -o %t.half.moe && moe-run inspect %t.half.moe | FileCheck %s --check-prefix=HALF
// RUN: moe-compile %s --entries whole -o %t.whole.moe && moe-run inspect %t.whole.moe | FileCheck %s --check-prefix=WHOLE

// CHECK: ldtilecfg
// CHECK-NEXT: tileloadd
// CHECK-NEXT: tileloadd
// CHECK-NEXT: tileloadd
// CHECK-NEXT: tileloadd
// CHECK-NEXT: tileloadd
// CHECK-NEXT: tileloadd
// CHECK-NEXT: tileloadd
// CHECK-NEXT: tileloadd
// CHECK-NEXT: tdpbf16ps
// CHECK-NEXT: tileloadd
// CHECK-NEXT: tdpbf16ps
// CHECK-NEXT: tileloadd
// CHECK-NEXT: tdpbf16ps
// CHECK-NEXT: tileloadd
// CHECK-NEXT: tdpbf16ps
// CHECK-NEXT: tileloadd
// CHECK-NEXT: tdpbf16ps
// CHECK-NEXT: tileloadd
// CHECK-NEXT: tdpbf16ps
// CHECK-NEXT: tilestored
// CHECK-NEXT: tilestored
// CHECK-NEXT: tilestored
// CHECK-NEXT: tilestored
// CHECK-NEXT: tilestored
// CHECK-NEXT: tilestored
// CHECK-NEXT: tileloadd
// CHECK: tilerelease

// ONCE-COUNT-1: ldtilecfg
// ONCE-NOT: ldtilecfg

// HALF: cpu.amx
// WHOLE-NOT: cpu.amx

nn.param @w : tensor<64x256xbf16> from [#nn.source<"w", [64, 256]>]
func.func @half(%x: tensor<?x256xbf16>) -> tensor<?x64xbf16> {
  %w = nn.param_get @w : tensor<64x256xbf16>
  %y = nn.linear %x, %w : tensor<?x256xbf16>, tensor<64x256xbf16>
  return %y : tensor<?x64xbf16>
}

nn.param @v : tensor<64x256xf32> from [#nn.source<"v", [64, 256]>]
func.func @whole(%x: tensor<?x256xf32>) -> tensor<?x64xf32> {
  %w = nn.param_get @v : tensor<64x256xf32>
  %y = nn.linear %x, %w : tensor<?x256xf32>, tensor<64x256xf32>
  return %y : tensor<?x64xf32>
}
