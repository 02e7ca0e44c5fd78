// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Fused-phase functions compiled to native code and run in the test process, on
// every level that the machine has.
//
//   Program program(R"(func.func @f(%x: tensor<?x5xf32>) -> tensor<?x5xf32>
//                      attributes {nn.entry = "f"} { … })");
//   program.SetParam("w", weights);            // of each nn.param, if any
//   Array y(DType::kF32, tokens * 5);
//   program.Run("f", {.tokens = tokens}, {&x}, {&y});
//
// Every buffer ends at a page that cannot be touched, and the arena is exactly
// as large as asked for: a read or write behind an end is a fault, and a write
// in front of a start is found. Parallel loops run their pieces backwards.

#ifndef MOE_TEST_KERNELS_PROGRAM_H_
#define MOE_TEST_KERNELS_PROGRAM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lib/core/dtype.h"

namespace moe::kernels {

struct Dims {
  int64_t tokens = 1;
  int64_t sequences = 1;
  int64_t longest = 1;
  int64_t page_length = 1;
  int64_t pages_per_sequence = 1;
  int64_t pages = 1;
};

// Elements in their stored form.
struct Array {
  DType dtype;
  std::vector<uint8_t> bytes;

  Array(DType type, int64_t n) : dtype(type), bytes(n * DTypeSize(type)) {}
  // Values rounded to a float type.
  Array(DType type, const std::vector<float>& values);
  explicit Array(const std::vector<int32_t>& values);

  int64_t size() const { return bytes.size() / DTypeSize(dtype); }
  std::vector<float> Floats() const;
  std::vector<int32_t> Ints() const;
};

class Program {
 public:
  // Compiles the entries in |functions| for all levels. The test fails, and
  // Run() does nothing, if one of them does not compile.
  explicit Program(const std::string& functions);
  ~Program();

  // Gives @name its value, as stored in a checkpoint: packed by the program's
  // own entry where the layout wants it.
  void SetParam(const std::string& name, const Array& value);

  // Runs an entry on each level and expects the same bits of all. |cache|, if
  // any, is read and written. Where |in_place| has an element, output i lies in
  // the memory of input in_place[i].
  void Run(const std::string& entry, const Dims& dims,
           const std::vector<const Array*>& inputs,
           const std::vector<Array*>& outputs, Array* cache = nullptr,
           const std::vector<int>& in_place = {}) const;

 private:
  struct Level;
  struct Param;
  void CompileLevels(const std::string& functions);
  std::vector<std::unique_ptr<Level>> levels_;
  std::vector<Param> params_;
};

}  // namespace moe::kernels

#endif  // MOE_TEST_KERNELS_PROGRAM_H_
