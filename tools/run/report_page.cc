// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tools/run/report_page.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "lib/core/errors.h"
#include "tools/run/command.h"
#include "tools/run/svg.h"

namespace moe::run {
namespace {

constexpr char kStyle[] =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:820px;margin:2em auto;"
    "padding:0 1em;color:#222;background:#fff}"
    "svg{display:block;width:100%;margin:1.2em 0}"
    "svg text{font:12px system-ui,sans-serif;fill:#444}"
    "svg .title{font-weight:600;font-size:14px;fill:#222}"
    ".grid{stroke:#e4e4e4}polyline{fill:none;stroke-width:1.6}"
    "table{border-collapse:collapse}td,th{padding:.15em 1em .15em 0;"
    "text-align:left}";

constexpr char kBlue[] = "#1f5fa8", kOrange[] = "#c4560a";
constexpr size_t kMostColumns = 120;

Points StepPoints(const RunLog& log, const std::string& name) {
  Points points;
  const size_t column = StepColumn(name);
  for (const LogLine& line : log.steps)
    points.push_back({static_cast<double>(line.step), line.values[column]});
  return points;
}

Points EvalPoints(const RunLog& log) {
  Points points;
  for (const LogLine& line : log.evals)
    points.push_back({static_cast<double>(line.step), line.values[0]});
  return points;
}

// Means of equal parts of the steps, a row for each layer.
Heat LayerHeat(const RunLog& log, const std::string& name,
               const std::string& title) {
  Heat heat;
  heat.title = title;
  heat.row_name = "layer";
  std::map<int64_t, size_t> rows, steps;
  for (const LayerLine& line : log.layers) {
    rows.try_emplace(line.layer);
    steps.try_emplace(line.step);
  }
  size_t place = 0;
  for (auto& [layer, row] : rows) {
    row = place++;
    heat.labels.push_back(std::to_string(layer));
  }
  place = 0;
  std::vector<int64_t> numbers;
  for (auto& [step, index] : steps) {
    index = place++;
    numbers.push_back(step);
  }
  const size_t columns = std::min(steps.size(), kMostColumns);
  for (size_t c = 0; c < columns; ++c) {
    const int64_t first = numbers[(c * steps.size() + columns - 1) / columns];
    const int64_t last =
        numbers[((c + 1) * steps.size() + columns - 1) / columns - 1];
    heat.column_labels.push_back(first == last
                                     ? Joined("step ", first)
                                     : Joined("steps ", first, " to ", last));
  }
  const size_t column = LayerColumn(name);
  heat.rows.assign(rows.size(), std::vector<double>(columns));
  std::vector<std::vector<int>> counts(rows.size(), std::vector<int>(columns));
  for (const LayerLine& line : log.layers) {
    if (!std::isfinite(line.values[column])) continue;
    const size_t r = rows[line.layer];
    const size_t c = steps[line.step] * columns / steps.size();
    heat.rows[r][c] += line.values[column];
    ++counts[r][c];
  }
  for (size_t r = 0; r < heat.rows.size(); ++r)
    for (size_t c = 0; c < columns; ++c)
      heat.rows[r][c] = counts[r][c] > 0
                            ? heat.rows[r][c] / counts[r][c]
                            : std::numeric_limits<double>::quiet_NaN();
  return heat;
}

void SetHigh(Heat& heat, double least) {
  heat.high = least;
  for (const auto& row : heat.rows)
    for (const double value : row)
      if (std::isfinite(value)) heat.high = std::max(heat.high, value);
}

std::string Row(std::string_view name, std::string_view value) {
  return Joined("<tr><th>", name, "</th><td>", HtmlEscaped(value),
                "</td></tr>\n");
}

std::string Summary(const RunLog& log) {
  std::string rows;
  double seconds = 0, tokens = 0;
  for (const LogLine& line : log.steps) {
    const double one = line.values[StepColumn("seconds")];
    const double rate = line.values[StepColumn("tokens_per_s")];
    if (!std::isfinite(one) || !std::isfinite(rate)) continue;
    seconds += one;
    tokens += one * rate;
  }
  if (!log.steps.empty()) {
    const LogLine& last = log.steps.back();
    rows += Row("Steps", std::to_string(last.step));
    rows += Row("Tokens", Fixed(std::round(tokens), 0));
    rows += Row("Time in steps", Joined(Short(seconds), " s"));
    rows += Row("First loss",
                Fixed(log.steps.front().values[StepColumn("loss")], 4));
    rows += Row("Last loss", Fixed(last.values[StepColumn("loss")], 4));
  }
  if (!log.evals.empty())
    rows += Row("Last held-out loss", Fixed(log.evals.back().values[0], 4));
  if (log.skipped > 0)
    rows += Row("Skipped steps", std::to_string(log.skipped));
  return Joined("<table>\n", rows, "</table>\n");
}

}  // namespace

std::string ReportPage(const RunLog& log, std::string_view name) {
  std::string page = Joined(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
      "<title>",
      HtmlEscaped(name), "</title>\n<style>", kStyle,
      "</style></head><body>\n<h1>", HtmlEscaped(name), "</h1>\n",
      Summary(log));
  page += LineChart("Cross-entropy, nats per token",
                    {{"training", kBlue, StepPoints(log, "loss")},
                     {"held out", kOrange, EvalPoints(log)}});
  for (const auto& [column, title] :
       {std::pair("lr", "Learning rate"),
        std::pair("grad_norm", "Norm of all gradients"),
        std::pair("aux_loss", "Losses of routers"),
        std::pair("tokens_per_s", "Tokens per second")})
    page += LineChart(title, {{column, kBlue, StepPoints(log, column)}});
  if (!log.layers.empty()) {
    page +=
        "<h2>Experts</h2>\n<p>By MoE layer and step. A load of 1 is the fair "
        "share of an expert.</p>\n";
    Heat most = LayerHeat(log, "max", "Largest load of an expert");
    most.low = 1;
    SetHigh(most, 2);
    Heat spread = LayerHeat(
        log, "cv", "Spread of the loads: standard deviation over the mean");
    SetHigh(spread, 0.5);
    Heat dead = LayerHeat(log, "dead", "Experts without a token");
    SetHigh(dead, 1);
    page += HeatMap(most) + HeatMap(spread) + HeatMap(dead);
    Heat dropped = LayerHeat(log, "dropped", "Part of the choices dropped");
    SetHigh(dropped, 0);
    if (dropped.high > 0) page += HeatMap(dropped);
  }
  return page + "</body></html>\n";
}

}  // namespace moe::run
