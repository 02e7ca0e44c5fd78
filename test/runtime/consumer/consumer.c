/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * The C twin of consumer.cc.
 *
 *   consumer_c MODULE WEIGHTS
 */
#include <moe/abi.h>
#include <moe/c.h>
#include <stdio.h>

static int print_id(void* context, int32_t id) {
  ++*(int*)context;
  printf("%d ", id);
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  moe_error* error = NULL;
  moe_model* model = moe_model_load(argv[1], argv[2], 2, &error);
  if (model == NULL) {
    puts(moe_error_message(error));
    return moe_error_exit_code(error);
  }
  moe_session* session = moe_session_create(model, 1, 64, &error);
  moe_model_free(model);
  if (session == NULL) return 1;
  const int32_t prompt[] = {'R', 'O', 'M'};
  const moe_generate_options options = {8, 0, 1, 0, 0};
  int seen = 0;
  const int64_t count = moe_session_generate(session, prompt, 3, &options,
                                             print_id, &seen, &error);
  moe_session_free(session);
  if (count != 8 || seen != 8) return 1;

  if (moe_model_load("no-such.moe", NULL, 1, &error) != NULL) return 1;
  printf("%s\n", moe_error_code(error));
  moe_error_free(error);
  return 0;
}
