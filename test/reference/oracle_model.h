// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Forward passes of mixtral and deepseek_v2, written by hand in the ops of
// lib/reference. deepseek_v2 attends in the absorbed latent form: the key part
// of kv_b_proj is multiplied into the queries, its value part into the result,
// and one latent vector and one rotary key per token serve every head.
//
//   OracleModel<float> model(folder, Rounding::kNone);
//   auto pass = model.Run(pack, /*cache=*/nullptr);
//   pass->logits->value;                        // [tokens, vocab]

#ifndef MOE_TEST_REFERENCE_ORACLE_MODEL_H_
#define MOE_TEST_REFERENCE_ORACLE_MODEL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "test/reference/oracle_folder.h"
#include "test/reference/tape.h"

namespace moe::reference {

template <typename T>
class OracleModel {
 public:
  using Var = Node<T>*;

  // Selected experts [tokens, top_k] of each MoE layer.
  using Choices = std::vector<std::vector<int32_t>>;

  // One run: the parameters that it read, by checkpoint name, its choices, and
  // the logits.
  struct Pass {
    explicit Pass(Rounding rounding) : tape(rounding) {}
    Tape<T> tape;
    std::map<std::string, Var> params;
    Choices choices;
    Var logits = nullptr;
  };

  // `folder` must outlive the model.
  OracleModel(const OracleFolder& folder, Rounding rounding);

  // Logits of every token, or of the last token of each sequence where a cache
  // is given; the pack's keys and values are then appended to the cache. Takes
  // `forced` instead of its own choices, if given.
  std::unique_ptr<Pass> Run(const Pack& pack, PagedCache<T>* cache,
                            const Choices* forced = nullptr) const;

  // An empty cache for `slots` sequences of up to `tokens` tokens.
  PagedCache<T> MakeCache(int64_t slots, int64_t tokens,
                          int64_t page_length) const;

  int64_t vocab() const { return folder_.Int("vocab_size"); }

 private:
  struct Step;  // what the parts of one run share

  Var Param(Step& s, const std::string& name) const;
  Var Mixer(Step& s, Var x, int64_t layer) const;
  Var LatentMixer(Step& s, Var x, int64_t layer) const;
  Var Mlp(Step& s, Var x, const std::string& prefix) const;
  Plan Choose(Step& s, Var scores) const;
  Var Experts(Step& s, Var x, Var weights, const Plan& plan,
              const std::string& prefix) const;
  Var MixtralMoe(Step& s, Var x, const std::string& prefix) const;
  Var DeepseekMoe(Step& s, Var x, const std::string& prefix) const;

  const OracleFolder& folder_;
  Rounding rounding_;
  bool latent_;
  int64_t hidden_, layers_, heads_, kv_heads_, rope_dims_;
  T eps_;
  RopeFrequencies rope_;
};

}  // namespace moe::reference

#endif  // MOE_TEST_REFERENCE_ORACLE_MODEL_H_
