// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   consumer MODULE WEIGHTS
#include <moe/c.h>
#include <moe/model.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  auto model = moe::Model::load(argv[1], {.weights = argv[2], .threads = 2});
  if (!model) {
    std::puts(model.error().message().c_str());
    return model.error().exit_code();
  }
  auto session = model->session({.max_tokens = 64});
  auto text = session->generate("ROM", {.max_new_tokens = 8});
  if (!text || text->ids.size() != 8) return 1;
  for (int32_t id : text->ids) std::printf("%d ", id);

  moe_error* error = nullptr;
  if (moe_model_load("no-such.moe", nullptr, 1, &error) != nullptr) return 1;
  std::printf("%s\n", moe_error_code(error));
  moe_error_free(error);
  return 0;
}
