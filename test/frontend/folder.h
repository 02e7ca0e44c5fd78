// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Model folders that tests change before they are imported.
//
//   Folder folder = Folder::Fixture("mixtral-1");
//   folder.config["num_experts_per_tok"] = 9;
//   folder.tensors.erase("lm_head.weight");
//   Import result = folder.Run();
//   EXPECT_EQ(result.Line(), "moe-import: error[MOE-C106]: ...");

#ifndef MOE_TEST_FRONTEND_FOLDER_H_
#define MOE_TEST_FRONTEND_FOLDER_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/dtype.h"
#include "lib/core/json.h"
#include "lib/frontend/import.h"
#include "mlir/IR/MLIRContext.h"
#include "test/core/test_files.h"

namespace mlir::moe {

// What importing a folder gave.
struct Import {
  std::unique_ptr<MLIRContext> context;
  OwningOpRef<ModuleOp> module;  // null if it failed
  absl::Status status;
  ImportReport report;

  // The module as text.
  std::string Text() const;
  // The report, one line each.
  std::string Report() const;
};

Import ImportFrom(const std::string& dir, const ImportOptions& options = {});

// The folder of a fixture or of a small trained model.
std::string FixtureDir(const std::string& name);

// config.json, generation_config.json and names, dtypes and shapes of tensors.
// Weights are zeros: an import never reads them.
struct Folder {
  struct Tensor {
    ::moe::DType dtype;
    std::vector<int64_t> shape;
  };
  ::moe::Json config;
  std::optional<std::string> config_text;  // instead of |config|
  std::optional<std::string> generation_text;
  std::map<std::string, Tensor> tensors;

  static Folder Fixture(const std::string& name);

  void Rename(const std::string& from, const std::string& to);
  // All tensors whose names start with |prefix|.
  void Erase(const std::string& prefix);
  void Cast(::moe::DType dtype);

  void Write(const ::moe::TempDir& dir) const;
  // Writes into a folder of its own and imports that. In the line of an error
  // the folder's path becomes DIR.
  Import Run(std::string* line = nullptr) const;
};

}  // namespace mlir::moe

#endif  // MOE_TEST_FRONTEND_FOLDER_H_
