// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/driver/register.h"

#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::moe::registerEverything(registry);
  return mlir::failed(mlir::MlirOptMain(argc, argv, "moe-opt: passes on mixture-of-experts programs\n", registry));
}
