// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Pictures of numbers as SVG text, for a page that needs no script.

#ifndef MOE_TOOLS_RUN_SVG_H_
#define MOE_TOOLS_RUN_SVG_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moe::run {

// x and y; those that are not finite are left out.
using Points = std::vector<std::pair<double, double>>;

struct Series {
  std::string name;
  std::string color;
  Points points;
};

// Curves over x, which is the step; long ones are drawn as means of equal
// parts.
std::string LineChart(std::string_view title,
                      const std::vector<Series>& series);

// A square for each row and part of the steps: |rows| have equal numbers of
// values, NaN where there is none.
struct Heat {
  std::string title, row_name;
  std::vector<std::string> labels;         // of rows
  std::vector<std::vector<double>> rows;   // [row][column]
  std::vector<std::string> column_labels;  // "steps 1 to 10"
  double low = 0, high = 1;                // ends of the colours
};
std::string HeatMap(const Heat& heat);

// The text with characters of markup escaped.
std::string HtmlEscaped(std::string_view text);

// "%.4g".
std::string Short(double value);

}  // namespace moe::run

#endif  // MOE_TOOLS_RUN_SVG_H_
