// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The forward pass of Mixtral and DeepSeek-V2 models, written down once more
// from their descriptions: in f64, one row after another, nothing shared with
// the compiler, the runtime's kernels or the reference.
//
//   const PlainModel model(folder);
//   std::vector<double> logits = model.Logits(ids, positions, /*from=*/0);

#ifndef MOE_TEST_E2E_PLAIN_FORWARD_H_
#define MOE_TEST_E2E_PLAIN_FORWARD_H_

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "lib/core/json.h"

namespace moe::compiled {

class PlainModel {
 public:
  // Ends the program if the folder cannot be read.
  explicit PlainModel(const std::string& folder);

  // [ids.size() - from, vocab]: the logits of the tokens from |from|. Positions
  // turn queries and keys; who sees whom follows the order of |ids|.
  std::vector<double> Logits(std::span<const int32_t> ids,
                             std::span<const int32_t> positions,
                             size_t from) const;

  // Tensors of the checkpoint that no call has read.
  std::vector<std::string> Unread() const;

 private:
  using Row = std::vector<double>;
  using Rows = std::vector<Row>;
  struct Matrix {
    size_t rows = 0, columns = 0;
    Row values;
  };
  // The keys, values and queries of one layer, for one head after another.
  struct Heads {
    std::vector<Rows> queries, keys, values;  // [head][token]
    double scale = 0;
    int64_t window = 0;  // 0: none
  };
  // cos and sin of one token.
  struct Angles {
    Row cosine, sine;
  };

  const Matrix& Weight(const std::string& name) const;
  Row Linear(const std::string& name, const Row& x) const;
  Row Norm(const std::string& name, const Row& x, double eps) const;
  Row Glu(const std::string& gate, const std::string& up,
          const std::string& down, const Row& x) const;
  Row Experts(const std::string& name, const Row& x) const;
  Row FeedForward(int64_t layer, const Row& x) const;
  Heads Mixtral(const std::string& name, const Rows& x,
                const std::vector<Angles>& angles) const;
  Heads DeepSeek(const std::string& name, const Rows& x,
                 const std::vector<Angles>& angles) const;
  std::vector<Angles> Turns(std::span<const int32_t> positions,
                            double& score_factor) const;

  double Number(const char* key) const { return config_.at(key).get<double>(); }
  int64_t Int(const char* key) const { return config_.at(key).get<int64_t>(); }

  Json config_;
  bool deepseek_ = false;
  std::map<std::string, Matrix> weights_;
  mutable std::set<std::string> read_;
};

}  // namespace moe::compiled

#endif  // MOE_TEST_E2E_PLAIN_FORWARD_H_
