/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* The C interface used from C; model_test.cc calls it. */
#include <moe/c.h>
#include <string.h>

static int collect(void* context, int32_t id) {
  int32_t* sum = context;
  *sum += id;
  return 1;
}

/* 0 if all is well, else the line of the first check that failed. */
#define CHECK(condition) \
  if (!(condition)) return __LINE__

int run_c_api(const char* module, const char* weights) {
  moe_error* error = NULL;
  CHECK(moe_model_load("no-such.moe", NULL, 1, &error) == NULL);
  CHECK(strcmp(moe_error_code(error), "MOE-F101") == 0);
  CHECK(moe_error_exit_code(error) == 3);
  CHECK(strlen(moe_error_message(error)) > 0);
  moe_error_free(error);
  CHECK(moe_model_load("no-such.moe", NULL, 1, NULL) == NULL);

  moe_model* model = moe_model_load(module, weights, 1, NULL);
  CHECK(model != NULL);
  CHECK(moe_model_vocab_size(model) == 256);
  moe_session* session = moe_session_create(model, 2, 64, NULL);
  CHECK(session != NULL);
  moe_model_free(model);

  const int32_t ids[] = {1, 2, 3};
  const moe_generate_options options = {8, 0, 1, 0, 0};
  int32_t sum = 0;
  CHECK(moe_session_generate(session, ids, 3, &options, collect, &sum, NULL) ==
        8);
  CHECK(sum > 0);
  CHECK(moe_session_generate(session, ids, 0, &options, NULL, NULL, NULL) ==
        -1);

  const int32_t sequences[] = {moe_session_join(session, NULL),
                               moe_session_join(session, NULL)};
  const size_t offsets[] = {0, 2, 3};
  CHECK(moe_session_join(session, NULL) == -1);
  CHECK(moe_session_step(session, 2, sequences, ids, offsets, NULL) == 0);
  CHECK(moe_session_logits(session, 1) != NULL);
  CHECK(moe_session_logits(session, 2) == NULL);
  moe_session_leave(session, sequences[0]);
  moe_session_free(session);
  return 0;
}
