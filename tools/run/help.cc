// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tools/run/help.h"

#include <string>

namespace moe::run {
namespace {

constexpr size_t kColumn = 28;

class Formatter : public CLI::Formatter {
 public:
  Formatter() { column_width(kColumn); }

  std::string make_usage(const CLI::App* app, std::string name) const override {
    if (app->get_parent() != nullptr)
      name = app->get_parent()->get_name() + " " + app->get_name();
    std::string text = "Usage: " + name;
    for (const CLI::Option* option : app->get_options())
      if (option->get_positional()) text += " " + option->get_name(true);
    return text + (app->get_subcommands({}).empty() ? " [FLAGS]\n"
                                                    : " COMMAND [FLAGS]\n");
  }

  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_positional()) return "";
    std::string text;
    if (option->get_type_size() != 0 && !option->get_type_name().empty())
      text += " " + TypeName(*option);
    const std::string value = option->get_default_str();
    if (!value.empty()) text += "=" + Plain(value);
    return text;
  }

 private:
  // CLI11 adds the check's words after a colon.
  static std::string TypeName(const CLI::Option& option) {
    const std::string name = option.get_type_name();
    return name.substr(0, name.find(':'));
  }
  // Lists come as "[512]".
  static std::string Plain(const std::string& value) {
    return value.front() == '[' && value.back() == ']'
               ? value.substr(1, value.size() - 2)
               : value;
  }
};

}  // namespace

std::shared_ptr<CLI::FormatterBase> MakeFormatter() {
  return std::make_shared<Formatter>();
}

}  // namespace moe::run
