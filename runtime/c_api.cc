// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <new>
#include <vector>

#include "runtime/include/moe/c.h"
#include "runtime/include/moe/model.h"

struct moe_error {
  moe::Failure failure;
};

struct moe_model {
  moe::Model model;
};

struct moe_session {
  moe::Session session;
  std::vector<moe::Chunk> chunks;
};

struct moe_trainer {
  moe::Trainer trainer;
  std::vector<moe::TrainingRow> rows;
};

namespace {

void Store(moe_error** error, const moe::Failure& failure) {
  if (error != nullptr) *error = new (std::nothrow) moe_error{failure};
}

}  // namespace

const char* moe_error_code(const moe_error* error) {
  return error->failure.code().c_str();
}

const char* moe_error_message(const moe_error* error) {
  return error->failure.message().c_str();
}

int moe_error_exit_code(const moe_error* error) {
  return error->failure.exit_code();
}

void moe_error_free(moe_error* error) { delete error; }

moe_model* moe_model_load(const char* path, const char* weights, int threads,
                          moe_error** error) {
  auto model = moe::Model::load(
      path, {.weights = weights == nullptr ? "" : weights, .threads = threads});
  if (model) return new (std::nothrow) moe_model{*model};
  Store(error, model.error());
  return nullptr;
}

int64_t moe_model_vocab_size(const moe_model* model) {
  return model->model.vocab_size();
}

void moe_model_free(moe_model* model) { delete model; }

moe_session* moe_session_create(const moe_model* model, int64_t max_batch,
                                int64_t max_tokens, moe_error** error) {
  auto session =
      model->model.session({.max_batch = max_batch, .max_tokens = max_tokens});
  if (session) return new (std::nothrow) moe_session{*std::move(session), {}};
  Store(error, session.error());
  return nullptr;
}

void moe_session_free(moe_session* session) { delete session; }

int64_t moe_session_generate(moe_session* session, const int32_t* ids,
                             size_t count, const moe_generate_options* options,
                             moe_token_fn on_token, void* context,
                             moe_error** error) {
  moe::GenerateOptions wanted;
  if (options != nullptr)
    wanted = {.max_new_tokens = options->max_new_tokens,
              .temperature = options->temperature,
              .top_p = options->top_p,
              .top_k = options->top_k,
              .seed = options->seed};
  const auto hear = [&](const moe::Token& token) {
    return on_token == nullptr || on_token(context, token.id) != 0;
  };
  const auto generated =
      session->session.generate(std::span(ids, count), wanted, hear);
  if (generated) return static_cast<int64_t>(generated->ids.size());
  Store(error, generated.error());
  return -1;
}

int32_t moe_session_join(moe_session* session, moe_error** error) {
  const auto sequence = session->session.join();
  if (sequence) return *sequence;
  Store(error, sequence.error());
  return -1;
}

void moe_session_leave(moe_session* session, int32_t sequence) {
  session->session.leave(sequence);
}

int moe_session_step(moe_session* session, size_t count,
                     const int32_t* sequences, const int32_t* ids,
                     const size_t* offsets, moe_error** error) {
  session->chunks.clear();
  for (size_t i = 0; i < count; ++i)
    session->chunks.push_back(
        {sequences[i],
         std::span(ids + offsets[i], offsets[i + 1] - offsets[i])});
  const auto done = session->session.step(session->chunks);
  if (done) return 0;
  Store(error, done.error());
  return -1;
}

const float* moe_session_logits(const moe_session* session, size_t i) {
  return session->session.logits(i).data();
}

void moe_trainer_default_options(moe_trainer_options* options) {
  const moe::TrainerOptions o;
  *options = {.learning_rate = o.learning_rate,
              .min_learning_rate = o.min_learning_rate,
              .warmup_steps = o.warmup_steps,
              .schedule_steps = o.schedule_steps,
              .weight_decay = o.weight_decay,
              .beta1 = o.beta1,
              .beta2 = o.beta2,
              .epsilon = o.epsilon,
              .clip_norm = o.clip_norm,
              .router_losses = o.router_losses,
              .max_tokens = o.max_tokens,
              .max_rows = o.max_rows,
              .passes = o.passes,
              .seed = o.seed,
              .resume_from = nullptr};
}

moe_trainer* moe_trainer_create(const moe_model* model,
                                const moe_trainer_options* options,
                                moe_error** error) {
  moe::TrainerOptions wanted;
  if (options != nullptr)
    wanted = {.learning_rate = options->learning_rate,
              .min_learning_rate = options->min_learning_rate,
              .warmup_steps = options->warmup_steps,
              .schedule_steps = options->schedule_steps,
              .weight_decay = options->weight_decay,
              .beta1 = options->beta1,
              .beta2 = options->beta2,
              .epsilon = options->epsilon,
              .clip_norm = options->clip_norm,
              .router_losses = options->router_losses,
              .max_tokens = options->max_tokens,
              .max_rows = options->max_rows,
              .passes = options->passes,
              .seed = options->seed,
              .resume_from =
                  options->resume_from == nullptr ? "" : options->resume_from};
  auto trainer = model->model.trainer(wanted);
  if (trainer) return new (std::nothrow) moe_trainer{*std::move(trainer), {}};
  Store(error, trainer.error());
  return nullptr;
}

void moe_trainer_free(moe_trainer* trainer) { delete trainer; }

int moe_trainer_step(moe_trainer* trainer, size_t rows, const int32_t* ids,
                     const size_t* offsets, moe_training_step* result,
                     moe_error** error) {
  trainer->rows.clear();
  for (size_t i = 0; i < rows; ++i)
    trainer->rows.push_back(
        {.ids = std::span(ids + offsets[i], offsets[i + 1] - offsets[i]),
         .targets = {}});
  const auto step = trainer->trainer.step(trainer->rows);
  if (!step) {
    Store(error, step.error());
    return -1;
  }
  if (result != nullptr)
    *result = {.step = step->step,
               .loss = step->loss,
               .aux_loss = step->aux_loss,
               .gradient_norm = step->gradient_norm,
               .learning_rate = step->learning_rate,
               .skipped = step->skipped ? 1 : 0};
  return 0;
}

int moe_trainer_save(moe_trainer* trainer, const char* run, moe_error** error) {
  const auto saved = trainer->trainer.save(run);
  if (saved) return 0;
  Store(error, saved.error());
  return -1;
}
