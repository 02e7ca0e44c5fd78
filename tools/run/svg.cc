// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tools/run/svg.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>

#include "lib/core/errors.h"
#include "tools/run/command.h"

namespace moe::run {
namespace {

constexpr double kWidth = 760, kLeft = 64, kRight = 12;
constexpr double kTop = 28, kHeight = 220, kBottom = 30;
constexpr size_t kMostPoints = 700;

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void Add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  // Never empty.
  void Widen() {
    if (low > high) low = 0, high = 1;
    if (low == high) low -= 0.5, high += 0.5;
  }
  double Part(double value) const { return (value - low) / (high - low); }
};

// 1, 2 or 5 times a power of ten, so that about |count| fit the range.
double TickStep(const Range& range, int count) {
  const double raw = (range.high - range.low) / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (raw <= factor * power) return factor * power;
  return 10 * power;
}

std::string At(double value) { return Fixed(value, 1); }

std::string Text(double x, double y, std::string_view anchor,
                 std::string_view text, std::string_view style = "") {
  return Joined("<text x=\"", At(x), "\" y=\"", At(y), "\" text-anchor=\"",
                anchor, "\"", style, ">", HtmlEscaped(text), "</text>\n");
}

std::string Line(double x1, double y1, double x2, double y2) {
  return Joined("<line class=\"grid\" x1=\"", At(x1), "\" y1=\"", At(y1),
                "\" x2=\"", At(x2), "\" y2=\"", At(y2), "\"/>\n");
}

Points Thinned(const Points& points) {
  Points finite;
  std::copy_if(points.begin(), points.end(), std::back_inserter(finite),
               [](const auto& point) { return std::isfinite(point.second); });
  if (finite.size() <= kMostPoints) return finite;
  Points means;
  for (size_t i = 0; i < kMostPoints; ++i) {
    const size_t begin = i * finite.size() / kMostPoints;
    const size_t end = (i + 1) * finite.size() / kMostPoints;
    double x = 0, y = 0;
    for (size_t p = begin; p < end; ++p)
      x += finite[p].first, y += finite[p].second;
    const auto count = static_cast<double>(end - begin);
    means.push_back({x / count, y / count});
  }
  return means;
}

std::string Start(double height, std::string_view title) {
  return Joined("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ",
                Fixed(kWidth, 0), " ", Fixed(height, 0), "\" role=\"img\">\n",
                Text(kLeft, 16, "start", title, " class=\"title\""));
}

// From white to dark blue.
std::string Color(double part) {
  const double t = std::isfinite(part) ? std::clamp(part, 0.0, 1.0) : 0;
  const auto mix = [&](double from, double to) {
    return static_cast<int>(std::lround(from + (to - from) * t));
  };
  char text[8];
  snprintf(text, sizeof text, "#%02x%02x%02x", mix(247, 8) & 0xff,
           mix(251, 48) & 0xff, mix(255, 107) & 0xff);
  return text;
}

}  // namespace

std::string HtmlEscaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

std::string Short(double value) {
  char text[32];
  snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::string LineChart(std::string_view title,
                      const std::vector<Series>& series) {
  Range x, y;
  std::vector<Points> curves;
  for (const Series& one : series) {
    curves.push_back(Thinned(one.points));
    for (const auto& [step, value] : curves.back()) x.Add(step), y.Add(value);
  }
  x.Widen();
  y.Widen();
  const double right = kWidth - kRight, bottom = kTop + kHeight;
  const auto px = [&](double v) { return kLeft + x.Part(v) * (right - kLeft); };
  const auto py = [&](double v) { return bottom - y.Part(v) * kHeight; };
  std::string svg = Start(bottom + kBottom, title);
  const double dy = TickStep(y, 5), dx = TickStep(x, 8);
  for (double v = std::ceil(y.low / dy) * dy; v <= y.high; v += dy)
    svg +=
        Line(kLeft, py(v), right, py(v)) +
        Text(kLeft - 6, py(v) + 4, "end", Short(std::abs(v) < dy / 2 ? 0 : v));
  for (double v = std::ceil(x.low / dx) * dx; v <= x.high; v += dx)
    svg += Line(px(v), kTop, px(v), bottom) +
           Text(px(v), bottom + 16, "middle", Short(v));
  double legend = right;
  for (size_t i = series.size(); i-- > 0;) {
    const Points& curve = curves[i];
    const std::string& color = series[i].color;
    if (curve.empty()) continue;
    svg += Joined("<polyline stroke=\"", color, "\" points=\"");
    for (const auto& [step, value] : curve)
      svg += Joined(At(px(step)), ",", At(py(value)), " ");
    svg += "\"/>\n";
    if (curve.size() <= 60)
      for (const auto& [step, value] : curve)
        svg += Joined("<circle fill=\"", color, "\" cx=\"", At(px(step)),
                      "\" cy=\"", At(py(value)), "\" r=\"2\"><title>step ",
                      Short(step), ": ", Short(value), "</title></circle>\n");
    if (series.size() < 2) continue;
    svg += Text(legend, 16, "end", series[i].name,
                Joined(" style=\"fill:", color, "\""));
    legend -= 12 + 7 * static_cast<double>(series[i].name.size());
  }
  return svg + "</svg>\n";
}

std::string HeatMap(const Heat& heat) {
  const double columns =
      heat.rows.empty() ? 1 : static_cast<double>(heat.rows[0].size());
  const double width = (kWidth - kLeft - kRight) / std::max(columns, 1.0);
  const double height = std::clamp(
      180 / static_cast<double>(std::max<size_t>(heat.rows.size(), 1)), 6.0,
      24.0);
  const double bottom = kTop + height * static_cast<double>(heat.rows.size());
  std::string svg = Start(bottom + kBottom, heat.title);
  const size_t every = heat.rows.size() / 16 + 1;
  for (size_t r = 0; r < heat.rows.size(); ++r) {
    const double y = kTop + height * static_cast<double>(r);
    if (r % every == 0)
      svg += Text(kLeft - 6, y + height / 2 + 4, "end", heat.labels[r]);
    for (size_t c = 0; c < heat.rows[r].size(); ++c) {
      const double value = heat.rows[r][c];
      if (!std::isfinite(value)) continue;
      svg += Joined(
          "<rect fill=\"",
          Color((value - heat.low) / std::max(heat.high - heat.low, 1e-30)),
          "\" x=\"", At(kLeft + width * static_cast<double>(c)), "\" y=\"",
          At(y), "\" width=\"", At(width + 0.3), "\" height=\"", At(height),
          "\"><title>", heat.row_name, " ", heat.labels[r], ", ",
          heat.column_labels[c], ": ", Short(value), "</title></rect>\n");
    }
  }
  if (!heat.column_labels.empty()) {
    svg += Text(kLeft, bottom + 16, "start", heat.column_labels.front());
    svg += Text(kWidth - kRight, bottom + 16, "end", heat.column_labels.back());
  }
  // What the colours stand for.
  const double middle = kWidth / 2 - 60;
  svg += Text(middle - 6, bottom + 16, "end", Short(heat.low));
  for (int i = 0; i < 12; ++i)
    svg +=
        Joined("<rect fill=\"", Color(i / 11.0), "\" x=\"", At(middle + 10 * i),
               "\" y=\"", At(bottom + 7), "\" width=\"10\" height=\"10\"/>\n");
  svg += Text(middle + 126, bottom + 16, "start", Short(heat.high));
  return svg + "</svg>\n";
}

}  // namespace moe::run
