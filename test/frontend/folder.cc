// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/frontend/folder.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "lib/core/checkpoint.h"

namespace mlir::moe {

using ::moe::Json;

std::string Import::Text() const {
  std::string text;
  llvm::raw_string_ostream(text) << **module;
  return text;
}

std::string Import::Report() const {
  std::string text;
  for (const std::string& line : report.lines) text += line + "\n";
  return text;
}

Import ImportFrom(const std::string& dir, const ImportOptions& options) {
  Import out;
  out.context = std::make_unique<MLIRContext>(MLIRContext::Threading::DISABLED);
  auto module = importFolder(*out.context, dir, options, &out.report);
  out.status = module.status();
  if (module.ok()) out.module = std::move(*module);
  return out;
}

std::string FixtureDir(const std::string& name) {
  return (name.starts_with("tiny-") ? "models/tiny/"
                                    : "test/oracle/fixtures/") +
         name;
}

Folder Folder::Fixture(const std::string& name) {
  Folder out;
  const std::string dir = FixtureDir(name);
  auto config = ::moe::ReadConfig(dir);
  auto checkpoint = ::moe::Checkpoint::Open(dir, {.header_only = true});
  EXPECT_TRUE(config.ok() && checkpoint.ok()) << dir;
  if (!config.ok() || !checkpoint.ok()) return out;
  out.config = *config;
  for (const ::moe::Tensor* tensor : checkpoint->tensors())
    out.tensors[tensor->name] = {tensor->dtype, tensor->shape};
  return out;
}

void Folder::Rename(const std::string& from, const std::string& to) {
  tensors[to] = tensors.at(from);
  tensors.erase(from);
}

void Folder::Erase(const std::string& prefix) {
  std::erase_if(tensors, [&](const auto& item) {
    return item.first.starts_with(prefix);
  });
}

void Folder::Cast(::moe::DType dtype) {
  for (auto& [name, tensor] : tensors) tensor.dtype = dtype;
}

void Folder::Write(const ::moe::TempDir& dir) const {
  dir.Write("config.json",
            config_text ? *config_text : ::moe::DumpJson(config));
  if (generation_text) dir.Write("generation_config.json", *generation_text);
  Json header = Json::object();
  int64_t end = 0;
  for (const auto& [name, tensor] : tensors) {
    const int64_t begin = end;
    end += *::moe::ByteCount(tensor.dtype, tensor.shape);
    header[name] = {{"dtype", ::moe::SafetensorsName(tensor.dtype)},
                    {"shape", tensor.shape},
                    {"data_offsets", {begin, end}}};
  }
  const std::string text = ::moe::RawSafetensors(::moe::DumpJson(header), "");
  dir.Write("model.safetensors", text);
  std::filesystem::resize_file(dir / "model.safetensors", text.size() + end);
}

Import Folder::Run(std::string* line) const {
  ::moe::TempDir dir;
  Write(dir);
  Import out = ImportFrom(dir.path(), {.name = "test"});
  if (line && !out.status.ok()) {
    *line = ::moe::FormatError("moe-import", out.status);
    const std::string& path = dir.path();
    for (size_t at; (at = line->find(path)) != std::string::npos;)
      line->replace(at, path.size(), "DIR");
  }
  return out;
}

}  // namespace mlir::moe
