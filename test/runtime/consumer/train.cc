// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Trains 20 steps of a model of bytes on a text, and prints the losses.
//
//   train MODULE TEXT RUN
#include <moe/model.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

constexpr size_t kRows = 4, kLength = 65;

int Fail(const moe::Failure& failure) {
  std::fprintf(stderr, "%s: %s\n", failure.code().c_str(),
               failure.message().c_str());
  return failure.exit_code();
}

// Rows of the text, one step behind the other.
std::vector<std::vector<int32_t>> Batch(const std::string& text, size_t step) {
  std::vector<std::vector<int32_t>> rows(kRows);
  for (size_t r = 0; r < kRows; ++r) {
    const size_t at = (step * kRows + r) * kLength % (text.size() - kLength);
    for (size_t i = 0; i < kLength; ++i)
      rows[r].push_back(static_cast<unsigned char>(text[at + i]));
  }
  return rows;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  std::ifstream file(argv[2], std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (text.size() <= kLength) return 3;

  auto model = moe::Model::load(argv[1], {.threads = 2});
  if (!model) return Fail(model.error());
  auto trainer = model->trainer({.learning_rate = 3e-3,
                                 .warmup_steps = 5,
                                 .max_tokens = kRows * kLength,
                                 .max_rows = kRows,
                                 .seed = 1});
  if (!trainer) return Fail(trainer.error());

  for (size_t i = 0; i < 20; ++i) {
    auto step = trainer->step(Batch(text, i));
    if (!step) return Fail(step.error());
    std::printf("%d %.9g\n", static_cast<int>(step->step), step->loss);
  }
  auto saved = trainer->save(argv[3]);
  if (!saved) return Fail(saved.error());
  std::printf("%s\n", saved->c_str());
  return 0;
}
