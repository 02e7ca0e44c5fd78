/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * A module written by hand, for tests of the runtime without the compiler. Its
 * "model" sums a function of the tokens seen so far, in whole numbers that f32
 * holds exactly; toy_model.cc computes the same and writes its manifest.
 *
 * -DBAD_... makes objects that must be refused.
 */
#include "runtime/include/moe/abi.h"

enum { kVocab = 256, kWidth = 2, kLayers = 2, kExperts = 4, kTopK = 2 };
enum { kN = 40, kK = 8 };

#ifdef BAD_UNDEFINED
extern float expf(float);
#endif
#ifdef BAD_TLS
static _Thread_local int per_thread;
#endif
#ifdef BAD_INIT
static volatile int started;
__attribute__((constructor)) static void start(void) { started = 1; }
#endif
#ifdef BAD_IFUNC
static void plain(void) {}
static void (*choose(void))(void) { return plain; }
__attribute__((visibility("default"), ifunc("choose"))) void chosen(void);
#endif

static uint32_t mxcsr(void) {
  uint32_t value;
  __asm__ volatile("stmxcsr %0" : "=m"(value));
  return value;
}

/* The weight of one id: from the raw table, and from one packed expert. */
static float weight_of(void* const* params, int32_t id) {
  const float* embed = params[0];
  const float* packed = params[1 + id % kLayers];
  const int64_t expert = id % kExperts, n = id % kN, k = id % kK;
  const int64_t group = (int64_t)(kN + 31) / 32 * 32 * kK;
  return embed[id * kK] +
         packed[expert * group + (n / 32 * kK + k) * 32 + n % 32];
}

static float logit(float sum, int32_t id, int64_t v) {
  const int64_t mixed = (int64_t)sum * 31 + id * 7 + v * 13;
  return (float)(mixed % 101 + 101) / 8;
}

struct pack {
  const int32_t *ids, *positions, *cu;
  void* const* params;
  float* logits;
  float* sums; /* in the arena */
  int64_t tokens, sequences;
  const int32_t *slot, *table;
  float* cache;
  int64_t page_length, stride, pages;
};

static void score_rows(void* closure, int64_t begin, int64_t end) {
  const struct pack* p = closure;
  for (int64_t b = begin; b < end; ++b) {
    float sum = 0;
    for (int64_t t = p->cu[b]; t < p->cu[b + 1]; ++t) {
      sum += weight_of(p->params, p->ids[t]) * (float)(p->positions[t] + 1);
      p->sums[t] = sum;
      for (int64_t v = 0; v < kVocab; ++v)
        p->logits[t * kVocab + v] = logit(p->sums[t], p->ids[t], v);
    }
  }
}

static int32_t score(const moe_rt_v1* rt, void* arena, void* const* buffers,
                     const int64_t* dims) {
  struct pack p = {.ids = buffers[0],
                   .positions = buffers[1],
                   .cu = buffers[2],
                   .params = buffers[3],
                   .logits = buffers[4],
                   .sums = arena};
  int32_t* idx = buffers[5];
  float* weight = buffers[6];
  const int64_t tokens = dims[MOE_DIM_TOKENS];
  rt->parallel_for(rt, score_rows, &p, dims[MOE_DIM_SEQUENCES], 1);
  for (int64_t l = 0; l < kLayers; ++l)
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t k = 0; k < kTopK; ++k) {
        const int64_t at = (l * tokens + t) * kTopK + k;
        idx[at] = (int32_t)((p.ids[t] + l + k) % kExperts);
        weight[at] = (float)(l + 1) / (float)(k + 1);
      }
  return 0;
}

static float* record(const struct pack* p, int64_t b, int64_t position) {
  const int32_t page =
      p->table[p->slot[b] * p->stride + position / p->page_length];
  return p->cache +
         (page * p->page_length + position % p->page_length) * kWidth;
}

static void step_rows(void* closure, int64_t begin, int64_t end) {
  const struct pack* p = closure;
  for (int64_t b = begin; b < end; ++b) {
    for (int64_t t = p->cu[b]; t < p->cu[b + 1]; ++t) {
      float* own = record(p, b, p->positions[t]);
      own[0] = weight_of(p->params, p->ids[t]);
      own[1] = (float)(p->positions[t] + 1);
    }
    const int64_t last = p->cu[b + 1] - 1;
    float sum = 0;
    for (int64_t j = 0; j <= p->positions[last]; ++j)
      sum += record(p, b, j)[0] * record(p, b, j)[1];
    p->sums[b] = sum;
    for (int64_t v = 0; v < kVocab; ++v)
      p->logits[b * kVocab + v] = logit(p->sums[b], p->ids[last], v);
  }
}

static int32_t step(const moe_rt_v1* rt, void* arena, void* const* buffers,
                    const int64_t* dims) {
  struct pack p = {.ids = buffers[0],
                   .positions = buffers[1],
                   .cu = buffers[2],
                   .slot = buffers[3],
                   .table = buffers[4],
                   .params = buffers[5],
                   .cache = buffers[6],
                   .logits = buffers[7],
                   .sums = arena,
                   .page_length = dims[MOE_DIM_PAGE_LENGTH],
                   .stride = dims[MOE_DIM_PAGES_PER_SEQUENCE],
                   .pages = dims[MOE_DIM_PAGES]};
  rt->parallel_for(rt, step_rows, &p, dims[MOE_DIM_SEQUENCES], 1);
  return 0;
}

static int64_t step_workspace(const int64_t* dims) {
  return dims[MOE_DIM_TOKENS] * 4 + 64;
}

/* y = x * scale + bias, and the MXCSR that each row was computed under. */
struct affine {
  const float *x, *bias;
  float* y;
  int32_t* modes;
};

static void affine_rows(void* closure, int64_t begin, int64_t end) {
  const struct affine* a = closure;
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t i = 0; i < 4; ++i)
      a->y[t * 4 + i] = a->x[t * 4 + i] * 0.5f + a->bias[i];
    a->modes[t] = (int32_t)mxcsr();
  }
}

static int32_t affine(const moe_rt_v1* rt, void* arena, void* const* buffers,
                      const int64_t* dims) {
  (void)arena;
  struct affine a = {buffers[0], buffers[1], buffers[2], buffers[3]};
  rt->parallel_for(rt, affine_rows, &a, dims[MOE_DIM_TOKENS], 3);
  return 0;
}

static int32_t broken(const moe_rt_v1* rt, void* arena, void* const* buffers,
                      const int64_t* dims) {
  (void)arena, (void)buffers;
  return dims[MOE_DIM_TOKENS] > 1 ? rt->fail(rt, 42, 7, -8) : 9;
}

#ifndef BAD_ENTRY
static int32_t pack(const moe_rt_v1* rt, void* arena, void* const* buffers,
                    const int64_t* dims) {
  (void)rt, (void)arena;
  const float* from = buffers[0];
  float* to = buffers[1];
  const int64_t count = dims[0], rows = dims[1], first = dims[2];
  for (int64_t i = 0; i < count; ++i)
    for (int64_t k = 0; k < rows; ++k) {
      const int64_t n = first + i;
      to[(n / 32 * rows + k) * 32 + n % 32] = from[i * dims[3] + k * dims[4]];
    }
  return 0;
}
#endif

static const moe_entry_v1 entries[] = {
    {"score", score, step_workspace},
    {"prefill", step, step_workspace},
    {"decode", step, step_workspace},
    {"affine", affine, 0},
    {"broken", broken, 0},
#ifndef BAD_ENTRY
    {"pack.f32.f32.n32", pack, 0},
#endif
};

#ifdef BAD_VERSION
enum { kVersion = MOE_ABI_VERSION + 1 };
#else
enum { kVersion = MOE_ABI_VERSION };
#endif

static const moe_module_v1_table table = {sizeof(moe_module_v1_table), kVersion,
                                          sizeof entries / sizeof *entries,
                                          entries};

#ifdef BAD_EXPORT
#define moe_module_v1 moe_module_v0
#endif
__attribute__((visibility("default")))
const moe_module_v1_table* moe_module_v1(void) {
#ifdef BAD_UNDEFINED
  if (expf(1) < 0) return 0;
#endif
#ifdef BAD_TLS
  ++per_thread;
#endif
#ifdef BAD_IFUNC
  chosen();
#endif
  return &table;
}
