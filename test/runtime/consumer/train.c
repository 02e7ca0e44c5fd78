/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * The C twin of train.cc.
 *
 *   train_c MODULE TEXT RUN
 */
#include <moe/c.h>
#include <stdio.h>
#include <stdlib.h>

enum { kRows = 4, kLength = 65 };

static int fail(moe_error* error) {
  fprintf(stderr, "%s: %s\n", moe_error_code(error), moe_error_message(error));
  const int code = moe_error_exit_code(error);
  moe_error_free(error);
  return code;
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  FILE* file = fopen(argv[2], "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) return 3;
  const size_t size = (size_t)ftell(file);
  rewind(file);
  unsigned char* text = malloc(size);
  if (text == NULL || fread(text, 1, size, file) != size || size <= kLength)
    return 3;
  fclose(file);

  moe_error* error = NULL;
  moe_model* model = moe_model_load(argv[1], NULL, 2, &error);
  if (model == NULL) return fail(error);
  moe_trainer_options options;
  moe_trainer_default_options(&options);
  options.learning_rate = 3e-3;
  options.warmup_steps = 5;
  options.max_tokens = kRows * kLength;
  options.max_rows = kRows;
  moe_trainer* trainer = moe_trainer_create(model, &options, &error);
  moe_model_free(model);
  if (trainer == NULL) return fail(error);

  for (size_t i = 0; i < 20; ++i) {
    int32_t ids[kRows * kLength];
    size_t offsets[kRows + 1];
    for (size_t r = 0; r <= kRows; ++r) offsets[r] = r * kLength;
    for (size_t r = 0; r < kRows; ++r) {
      const size_t at = (i * kRows + r) * kLength % (size - kLength);
      for (size_t t = 0; t < kLength; ++t) ids[r * kLength + t] = text[at + t];
    }
    moe_training_step step;
    if (moe_trainer_step(trainer, kRows, ids, offsets, &step, &error) != 0)
      return fail(error);
    printf("%d %.9g\n", (int)step.step, step.loss);
  }
  if (moe_trainer_save(trainer, argv[3], &error) != 0) return fail(error);
  printf("%s/step-20\n", argv[3]);
  moe_trainer_free(trainer);
  free(text);
  return 0;
}
