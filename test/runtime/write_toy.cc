// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Writes the toy model to a folder: write_toy DIR
#include <filesystem>

#include "test/runtime/toy_model.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string dir = argv[1];
  std::filesystem::create_directories(dir);
  moe::toy::WriteModule(dir + "/toy.moe", moe::toy::ToyManifest());
  moe::toy::WriteCheckpoint(dir + "/weights");
  return 0;
}
