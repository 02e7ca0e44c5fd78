// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// moe-run report: tables and pictures of a training run.
#include <CLI/CLI.hpp>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>

#include "lib/core/atomic_file.h"
#include "lib/core/errors.h"
#include "lib/core/folder.h"
#include "lib/core/status_macros.h"
#include "tools/run/command.h"
#include "tools/run/report_page.h"
#include "tools/run/run_log.h"
#include "tools/run/tensorboard.h"

namespace moe::run {
namespace {

namespace fs = std::filesystem;

std::string Header(std::string first, const std::vector<std::string>& names) {
  for (const std::string& name : names) first += "," + name;
  return first + "\n";
}

// An empty field where there is no number.
void AddNumber(std::string& row, double value) {
  row += std::isfinite(value) ? Joined(",", value) : ",";
}

std::string StepsCsv(const RunLog& log) {
  std::vector<std::string> names = RunLog::StepNames();
  names.push_back("eval_loss");
  std::string csv = Header("step", names);
  // Evaluations follow the steps that they belong to.
  auto eval = log.evals.begin();
  for (const LogLine& line : log.steps) {
    csv += std::to_string(line.step);
    for (const double value : line.values) AddNumber(csv, value);
    while (eval != log.evals.end() && eval->step < line.step) ++eval;
    AddNumber(csv, eval != log.evals.end() && eval->step == line.step
                       ? eval->values[0]
                       : NAN);
    csv += "\n";
  }
  return csv;
}

std::string LayersCsv(const RunLog& log) {
  std::string csv = Header("step,layer", RunLog::LayerNames());
  for (const LayerLine& line : log.layers) {
    csv += Joined(line.step, ",", line.layer);
    for (const double value : line.values) AddNumber(csv, value);
    csv += "\n";
  }
  return csv;
}

std::string Events(const RunLog& log) {
  EventFile events;
  std::map<int64_t, double> seconds;  // since the first step
  double now = 0;
  std::vector<Scalar> scalars;
  std::vector<std::string> tags;
  const auto add = [&](int64_t step, const std::string& prefix,
                       const std::vector<std::string>& names,
                       const std::vector<double>& values) {
    scalars.clear();
    tags.assign(names.size(), prefix);
    for (size_t i = 0; i < names.size(); ++i) {
      tags[i] += names[i];
      if (std::isfinite(values[i])) scalars.push_back({tags[i], values[i]});
    }
    events.Add(step, seconds[step], scalars);
  };
  for (const LogLine& line : log.steps) {
    const double one = line.values[StepColumn("seconds")];
    now += std::isfinite(one) ? one : 0;
    seconds[line.step] = now;
    add(line.step, "train/", RunLog::StepNames(), line.values);
  }
  for (const LogLine& line : log.evals)
    add(line.step, "eval/", {"loss"}, line.values);
  for (const LayerLine& line : log.layers)
    add(line.step, Joined("experts/layer_", line.layer, "/"),
        RunLog::LayerNames(), line.values);
  return events.bytes();
}

absl::Status Report(const std::string& run, const std::string& page) {
  ASSIGN_OR_RETURN(const RunLog log, ReadRunLog(run));
  const fs::path folder = run;
  const fs::path board = folder / "tensorboard";
  RETURN_IF_ERROR(MakeFolders(board.string()));
  const std::string html =
      page.empty() ? (folder / "report.html").string() : page;
  RETURN_IF_ERROR(
      WriteFileAtomically((folder / "metrics.csv").string(), StepsCsv(log)));
  if (!log.layers.empty())
    RETURN_IF_ERROR(
        WriteFileAtomically((folder / "experts.csv").string(), LayersCsv(log)));
  RETURN_IF_ERROR(WriteFileAtomically(
      (board / "events.out.tfevents.0.moe").string(), Events(log)));
  fs::path name = folder.lexically_normal();
  if (!name.has_filename()) name = name.parent_path();
  RETURN_IF_ERROR(
      WriteFileAtomically(html, ReportPage(log, name.filename().string())));
  return Print(Joined("wrote ", html, ", tables and ", board.string(), " of ",
                      log.steps.size(), " steps\n"));
}

}  // namespace

Action AddReport(CLI::App& app) {
  auto run = std::make_shared<std::string>();
  auto page = std::make_shared<std::string>();
  app.add_option("RUN", *run, "the folder of a run of moe-run train")
      ->required();
  app.add_option("--html", *page, "the page [RUN/report.html]")
      ->type_name("FILE.html");
  app.footer(
      "Writes RUN/metrics.csv, RUN/experts.csv, RUN/tensorboard and a page\n"
      "with the curves and the loads of experts. All are made from\n"
      "metrics.jsonl and experts.jsonl.\n\n"
      "Example:\n"
      "  moe-run report run");
  return [run, page] { return Report(*run, *page); };
}

}  // namespace moe::run
