// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tools/run/metrics.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "lib/core/atomic_file.h"
#include "lib/core/errors.h"
#include "lib/core/folder.h"
#include "lib/core/mapped_file.h"
#include "lib/core/status_macros.h"
#include "tools/run/command.h"

namespace moe::run {
namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 30;

// The lines of |text| up to |step|, the first included whatever it says.
std::string LinesUpTo(const std::string& text, int64_t step) {
  std::string kept;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    if (end == std::string::npos) break;  // cut short by a crash
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    const auto json = ParseJson(line, "metrics.jsonl");
    if (!json.ok() || !json->is_object()) continue;
    const auto found = json->find("step");
    if (found == json->end() || !found->is_number_integer() ||
        found->get<int64_t>() <= step)
      kept += line + "\n";
  }
  return kept;
}

}  // namespace

absl::StatusOr<JsonLines> JsonLines::Open(const std::string& path,
                                          const Json& first, int64_t step) {
  JsonLines lines;
  lines.path_ = path;
  std::string kept;
  std::error_code error;
  if (step > 0 && std::filesystem::exists(path, error)) {
    ASSIGN_OR_RETURN(const OpenedFile old,
                     OpenedFile::Open(path, {.allow_empty = true}));
    ASSIGN_OR_RETURN(const std::string text, old.ReadText(kMostBytes));
    kept = LinesUpTo(text, step);
  }
  if (kept.empty()) kept = DumpJson(first) + "\n";
  RETURN_IF_ERROR(WriteFileAtomically(path, kept));
  lines.file_.reset(fopen(path.c_str(), "ae"));
  if (lines.file_ == nullptr)
    return Error(Code::F203, ShownPath(path), ": ", strerror(errno));
  return lines;
}

absl::Status JsonLines::Write(std::span<const Json> lines) {
  std::string text;
  for (const Json& line : lines) text += DumpJson(line) + "\n";
  if (fwrite(text.data(), 1, text.size(), file_.get()) == text.size() &&
      fflush(file_.get()) == 0)
    return absl::OkStatus();
  const bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
  return Error(full ? Code::F201 : Code::F202, ShownPath(path_), ": ",
               strerror(errno));
}

absl::Status JsonLines::Sync() {
  if (fsync(fileno(file_.get())) == 0) return absl::OkStatus();
  return Error(Code::F202, ShownPath(path_), ": ", strerror(errno));
}

absl::StatusOr<Metrics> Metrics::Open(const std::string& run,
                                      const Json& identity, int64_t step,
                                      bool counts) {
  const std::filesystem::path folder = run;
  RETURN_IF_ERROR(MakeFolders(run));
  const Json first = {{"schema", 1}, {"run", identity}};
  ASSIGN_OR_RETURN(
      JsonLines lines,
      JsonLines::Open((folder / "metrics.jsonl").string(), first, step));
  Metrics metrics(std::move(lines));
  if (counts) {
    ASSIGN_OR_RETURN(
        metrics.experts_,
        JsonLines::Open((folder / "experts.jsonl").string(), first, step));
  }
  return metrics;
}

absl::Status Metrics::Step(const StepReport& report, double seconds) {
  Json line = {{"step", report.step},
               {"loss", report.loss.loss},
               {"aux_loss", report.loss.aux_loss},
               {"grad_norm", report.grad_norm},
               {"lr", report.lr},
               {"tokens_per_s", static_cast<double>(report.tokens) / seconds},
               {"seconds", seconds}};
  if (report.skipped) line["skipped"] = report.bad;
  return metrics_.Write(std::span(&line, 1));
}

absl::StatusOr<RouterSummary> Metrics::Experts(const StepReport& report,
                                               std::span<const LayerLoad> loads,
                                               int64_t top_k) {
  RouterSummary worst;
  lines_.clear();
  for (const LayerLoad& load : loads) {
    const LayerHealth health = HealthOf(load, report.tokens * top_k);
    worst.max = std::max(worst.max, health.max);
    worst.cv = std::max(worst.cv, health.cv);
    worst.dead += health.dead;
    lines_.push_back({{"step", report.step},
                      {"layer", health.layer},
                      {"min", health.min},
                      {"max", health.max},
                      {"cv", health.cv},
                      {"dead", health.dead},
                      {"entropy", health.entropy},
                      {"dropped", health.dropped}});
  }
  if (experts_) RETURN_IF_ERROR(experts_->Write(lines_));
  return worst;
}

absl::Status Metrics::Eval(int64_t step, double loss) {
  const Json line = {{"step", step}, {"eval_loss", loss}};
  return metrics_.Write(std::span(&line, 1));
}

absl::Status Metrics::Sync() {
  if (experts_) RETURN_IF_ERROR(experts_->Sync());
  return metrics_.Sync();
}

ProgressLine::ProgressLine(int64_t steps)
    : steps_(steps), terminal_(isatty(STDERR_FILENO) != 0) {}

ProgressLine::~ProgressLine() {
  if (open_) fputc('\n', stderr);
}

void ProgressLine::Tell(const StepReport& report, double seconds,
                        const std::optional<RouterSummary>& routers) {
  rate_ = rate_ == 0 ? seconds : 0.9 * rate_ + 0.1 * seconds;
  const double now = Now();
  const bool due = last_ < 0 || now - last_ >= (terminal_ ? 0.5 : 30);
  if (!due && report.step < steps_ && !report.skipped) return;
  last_ = now;
  const double left = rate_ * static_cast<double>(steps_ - report.step);
  const std::string experts =
      routers ? Joined(" load max/mean ", Fixed(routers->max, 2), " cv ",
                       Fixed(routers->cv, 2), " dead ", routers->dead)
              : "";
  const std::string line = Joined(
      "step ", report.step, "/", steps_, " loss ", Fixed(report.loss.loss, 4),
      " gnorm ", Fixed(report.grad_norm, 2), " lr ", Fixed(report.lr * 1e3, 3),
      "e-3 ", Fixed(static_cast<double>(report.tokens) / rate_ / 1e3, 1),
      "k tok/s", experts, " eta ", Fixed(left / 60, 1), "m",
      report.skipped ? Joined(" skipped: not finite: ", report.bad) : "");
  if (!terminal_) return Note(line);
  fprintf(stderr, "\r%s\x1b[K", line.c_str());
  fflush(stderr);
  open_ = true;
}

}  // namespace moe::run
