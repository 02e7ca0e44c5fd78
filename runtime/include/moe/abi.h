/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * The boundary between the runtime and the native code of a module (ABI version 1).
 *
 * A module's shared object exports one function, moe_module_v1(), and has no undefined symbol: whatever it needs from
 * the host it calls through the moe_rt_v1 table that each entry receives.
 *
 *   const moe_module_v1_table *table = moe_module_v1();
 *   rc = table->entries[i].fn(&rt, arena, buffers, dims);
 */
#ifndef MOE_ABI_H
#define MOE_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MOE_ABI_VERSION 1

/* Positions in `dims` of an entry over packed tokens. Other entries (pack) define their own. */
enum moe_dim_v1 {
  MOE_DIM_TOKENS = 0,      /* T: tokens in the pack */
  MOE_DIM_SEQUENCES = 1,   /* B: sequences in the pack */
  MOE_DIM_LONGEST = 2,     /* tokens of the longest sequence in the pack */
  MOE_DIM_PAGE_LENGTH = 3, /* tokens in one page of the cache */
  MOE_DIM_PAGES_PER_SEQUENCE = 4, /* row stride of the block table */
  MOE_DIM_PAGES = 5,              /* pages in the cache */
  MOE_DIM_RANK_TOKENS =
      6, /* the largest T of all ranks in this call; T itself where there is one rank */
  MOE_DIM_COUNT = 7
};

typedef struct moe_rt_v1 moe_rt_v1;

/* Work units [begin, end) of a parallel loop. */
typedef void (*moe_range_fn_v1)(void* closure, int64_t begin, int64_t end);

enum moe_collective_kind_v1 {
  /* Every rank sends send_counts[p] items to each rank p of the axis, itself included, and receives receive_counts[p]
   * from it; both buffers hold the items of rank 0 first, then those of rank 1, and so on, without gaps. */
  MOE_ALL_TO_ALL_V = 0
};

/* One collective among the ranks of a mesh axis. Every rank of the axis makes the same calls in the same order. */
typedef struct moe_collective_v1 {
  uint32_t size;      /* sizeof(moe_collective_v1) of the caller */
  uint32_t kind;      /* moe_collective_kind_v1 */
  uint32_t axis;      /* as an index into the manifest's mesh */
  uint32_t ranks;     /* of the axis: the length of the counts */
  int64_t item_bytes; /* of one item */
  const void* send;
  void* receive;
  const int64_t* send_counts;
  const int64_t* receive_counts;
} moe_collective_v1;

/*
 * What generated code may call. Owned by the runtime; valid for the duration of the entry it was passed to. Every
 * function may be called from the threads of a parallel loop except parallel_for's own blocking call, which then runs
 * its range inline. A function pointer is never null.
 */
struct moe_rt_v1 {
  uint32_t
      size; /* sizeof(moe_rt_v1) of the runtime: fields beyond it do not exist */
  uint32_t version; /* MOE_ABI_VERSION */
  void* ctx;        /* the runtime's own */
  /*
   * Calls fn over disjoint ranges that cover [0, n), each a multiple of |grain| units except the last, and returns when
   * all are done. The split depends on n, grain and the thread count alone. Threads run under the caller's MXCSR.
   */
  void (*parallel_for)(const moe_rt_v1* rt, moe_range_fn_v1 fn, void* closure,
                       int64_t n, int64_t grain);
  /* Starts device code. 0, or a nonzero code that the entry returns. */
  int32_t (*launch)(const moe_rt_v1* rt, const void* args);
  /* Joins a collective; outside parallel loops only. 0, or after a failure a nonzero code: then |receive| holds zeros,
   * further collectives of the call fail too, and the entry may run to its end on what it has, as the runtime reports
   * the failure and the outputs are void. */
  int32_t (*collective)(const moe_rt_v1* rt, const moe_collective_v1* args);
  /* Marks a point of the trace: phase 0 begins region |id|, 1 ends it. */
  void (*trace)(const moe_rt_v1* rt, uint32_t id, uint32_t phase);
  /* Notes why the entry cannot go on and returns |code|, which the entry returns; |a| and |b| go into the message. */
  int32_t (*fail)(const moe_rt_v1* rt, int32_t code, int64_t a, int64_t b);
  void* (*memcpy)(void* to, const void* from, size_t bytes);
  void* (*memmove)(void* to, const void* from, size_t bytes);
  void* (*memset)(void* to, int value, size_t bytes);
};

/*
 * Runs one entry to its end. |arena| has workspace(dims) bytes, 64-byte aligned, contents undefined. |buffers| and
 * |dims| are in the order of the manifest. 0 on success; else a nonzero code, and the outputs are undefined. The caller
 * sets FTZ and DAZ in MXCSR.
 */
typedef int32_t (*moe_entry_fn_v1)(const moe_rt_v1* rt, void* arena,
                                   void* const* buffers, const int64_t* dims);

/* Bytes of arena that the entry needs for |dims|: never less for larger dims. Negative: |dims| overflow. */
typedef int64_t (*moe_workspace_fn_v1)(const int64_t* dims);

typedef struct moe_entry_v1 {
  const char* name;
  moe_entry_fn_v1 fn;
  moe_workspace_fn_v1 workspace; /* may be null: needs no arena */
} moe_entry_v1;

typedef struct moe_module_v1_table {
  uint32_t size;    /* sizeof(moe_module_v1_table) of the module */
  uint32_t version; /* MOE_ABI_VERSION of the module */
  uint32_t entry_count;
  const moe_entry_v1* entries;
} moe_module_v1_table;

/* The type of the one export. The table lives as long as the object stays loaded. */
typedef const moe_module_v1_table* (*moe_module_fn_v1)(void);

#define MOE_MODULE_SYMBOL_V1 "moe_module_v1"

#ifdef __cplusplus
}
#endif

#endif /* MOE_ABI_H */
