/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * Runs modules made by moe-compile from C: the twin of <moe/model.h>.
 *
 *   moe_error *error = NULL;
 *   moe_model *model = moe_model_load("out.moe", "DIR", 2, &error);
 *   if (!model) { puts(moe_error_message(error)); moe_error_free(error); }
 *   moe_session *session = moe_session_create(model, 1, 2048, &error);
 *   moe_session_generate(session, ids, count, &options, on_token, me, &error);
 *   moe_session_free(session);
 *   moe_model_free(model);
 *
 * Where a function takes |error|, a failure stores a new error there, which the
 * caller frees; NULL asks for none. A session is for one thread at a time; a
 * model is for all.
 */
#ifndef MOE_C_H
#define MOE_C_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct moe_error moe_error;
typedef struct moe_model moe_model;
typedef struct moe_session moe_session;

/* "MOE-W101". Valid until the error is freed, as is the message: one line. */
const char* moe_error_code(const moe_error* error);
const char* moe_error_message(const moe_error* error);
int moe_error_exit_code(const moe_error* error);
void moe_error_free(moe_error* error);

/*
 * Loads a module with the weights of a Hugging Face folder (NULL for a module
 * that needs none) to run on |threads| threads (0: all processors). NULL on
 * failure.
 */
moe_model* moe_model_load(const char* path, const char* weights, int threads,
                          moe_error** error);
/* 0 for modules of functions without a model. */
int64_t moe_model_vocab_size(const moe_model* model);
/* Sessions keep what they need: a model may be freed before them. */
void moe_model_free(moe_model* model);

/*
 * Memory for |max_batch| sequences of up to |max_tokens| tokens each. NULL on
 * failure.
 */
moe_session* moe_session_create(const moe_model* model, int64_t max_batch,
                                int64_t max_tokens, moe_error** error);
void moe_session_free(moe_session* session);

typedef struct moe_generate_options {
  int64_t max_new_tokens;
  double temperature; /* 0: the likeliest token */
  double top_p;       /* 1: all */
  int64_t top_k;      /* 0: all */
  uint64_t seed;
} moe_generate_options;

/* Sees each new token; nonzero goes on, 0 ends the text. */
typedef int (*moe_token_fn)(void* context, int32_t id);

/*
 * Continues |count| ids. Returns the number of new tokens, or -1 on failure.
 */
int64_t moe_session_generate(moe_session* session, const int32_t* ids,
                             size_t count, const moe_generate_options* options,
                             moe_token_fn on_token, void* context,
                             moe_error** error);

/*
 * Sequences that join and leave. join gives the number of a new one, or -1.
 * step appends ids[offsets[i]] to ids[offsets[i + 1] - 1] to sequences[i] for
 * each of |count| sequences; 0, or -1 on failure. logits are those after the
 * last token of sequences[i] of the last step: vocab_size values, valid until
 * the next step; NULL if there are none.
 */
int32_t moe_session_join(moe_session* session, moe_error** error);
void moe_session_leave(moe_session* session, int32_t sequence);
int moe_session_step(moe_session* session, size_t count,
                     const int32_t* sequences, const int32_t* ids,
                     const size_t* offsets, moe_error** error);
const float* moe_session_logits(const moe_session* session, size_t i);

/*
 * A trainer of a model whose module was compiled with --entries train; its
 * steps change the weights of the model. See moe::Trainer. One of a model at a
 * time, for one thread.
 */
typedef struct moe_trainer moe_trainer;

typedef struct moe_trainer_options {
  double learning_rate; /* the largest */
  double min_learning_rate;
  int64_t warmup_steps;
  int64_t schedule_steps; /* where the learning rate is least; 0: no fall */
  double weight_decay;
  double beta1, beta2, epsilon;
  double clip_norm;        /* 0: any */
  double router_losses;    /* what the losses of routers count */
  int64_t max_tokens;      /* of a backward pass */
  int64_t max_rows;        /* of a step */
  int64_t passes;          /* backward passes that a step is split into */
  uint64_t seed;           /* of weights, where none were loaded */
  const char* resume_from; /* a folder RUN or RUN/step-N, or NULL */
} moe_trainer_options;

void moe_trainer_default_options(moe_trainer_options* options);

typedef struct moe_training_step {
  int64_t step; /* how many are done */
  double loss;  /* mean cross-entropy of all targets, in nats */
  double aux_loss;
  double gradient_norm;
  double learning_rate;
  int skipped; /* a number was not finite: nothing was updated */
} moe_training_step;

/* NULL on failure. |options| NULL: the default. */
moe_trainer* moe_trainer_create(const moe_model* model,
                                const moe_trainer_options* options,
                                moe_error** error);
void moe_trainer_free(moe_trainer* trainer);
/*
 * One step over |rows| sequences, of which the i-th is ids[offsets[i]] to
 * ids[offsets[i + 1] - 1]; each id is the target of the one before it. 0, or -1
 * on failure. |result| may be NULL.
 */
int moe_trainer_step(moe_trainer* trainer, size_t rows, const int32_t* ids,
                     const size_t* offsets, moe_training_step* result,
                     moe_error** error);
/* Writes the folder RUN/step-N. 0, or -1 on failure. */
int moe_trainer_save(moe_trainer* trainer, const char* run, moe_error** error);

#ifdef __cplusplus
}
#endif

#endif /* MOE_C_H */
