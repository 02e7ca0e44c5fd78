// RUN: moe-opt %inputs/mixtral.mlir --moe-set-compute=dtype=bf16 | FileCheck %s
// RUN: moe-opt %inputs/mixtral.mlir --moe-set-compute=dtype=bf16 --moe-set-compute=dtype=f32 | FileCheck %s --check-prefix=BACK
// RUN: not moe-opt %inputs/mixtral.mlir --moe-set-compute=dtype=f8 2>&1 | FileCheck %s --check-prefix=BAD

// Activations follow the embedding; tables, routing and logits stay f32.
// CHECK: nn.embedding {{.*}} -> tensor<?x128xbf16>
// CHECK: nn.rope_table
// CHECK: nn.layers 0 to 2(%{{.*}}) : (tensor<?x128xbf16>) -> tensor<?x128xbf16>
// CHECK: nn.attention {{.*}} : tensor<?x128xbf16>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x128xbf16>
// CHECK: moe.layer {{.*}} : tensor<?x128xbf16> -> tensor<?x128xbf16>
// CHECK: nn.glu silu {{.*}} : tensor<?x512xbf16>
// CHECK: nn.head {{.*}} : tensor<?x128xbf16> -> tensor<?x256xf32>
// BACK-NOT: tensor<?x{{[0-9]+}}xbf16>
// BAD: expects dtype f32 or bf16, got f8
