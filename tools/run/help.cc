// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tools/run/help.h"

#include <string>
#include <utility>

namespace moe::run {
namespace {

constexpr size_t kColumn = 28;

// CLI11 keeps a value's name before a colon and what is allowed after it.
std::pair<std::string, std::string> TypeParts(const CLI::Option& option) {
  const std::string text = option.get_type_name();
  const size_t colon = text.find(':');
  return {text.substr(0, colon),
          colon == std::string::npos ? "" : text.substr(colon + 1)};
}

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
    if (option->get_items_expected_max() > 0)
      text += " " + TypeParts(*option).first;
    const std::string value = option->get_default_str();
    if (!value.empty()) text += "=" + Plain(value);
    return text;
  }

 private:
  // Lists come as "[512]".
  static std::string Plain(const std::string& value) {
    return value.front() == '[' && value.back() == ']'
               ? value.substr(1, value.size() - 2)
               : value;
  }
};

Json DescribeOption(const CLI::Option& option) {
  Json names = Json::array();
  for (const std::string& name : option.get_lnames())
    names.push_back("--" + name);
  for (const std::string& name : option.get_snames())
    names.push_back("-" + name);
  if (option.get_positional()) names.push_back(option.get_name(true));
  Json json = {{"names", names}, {"help", option.get_description()}};
  const bool takes_value = option.get_items_expected_max() > 0;
  if (takes_value && !option.get_positional()) {
    const auto [value, allowed] = TypeParts(option);
    json["value"] = value;
    if (!allowed.empty()) json["allowed"] = allowed;
  }
  if (!option.get_default_str().empty())
    json["default"] = option.get_default_str();
  if (option.get_required()) json["required"] = true;
  return json;
}

}  // namespace

Json HelpJson(const CLI::App& app) {
  Json commands = Json::array();
  for (const CLI::App* command : app.get_subcommands({})) {
    Json arguments = Json::array(), flags = Json::array();
    for (const CLI::Option* option : command->get_options())
      (option->get_positional() ? arguments : flags)
          .push_back(DescribeOption(*option));
    commands.push_back({{"name", command->get_name()},
                        {"help", command->get_description()},
                        {"arguments", arguments},
                        {"flags", flags}});
  }
  Json flags = Json::array();
  for (const CLI::Option* option : app.get_options())
    flags.push_back(DescribeOption(*option));
  return {{"tool", app.get_name()}, {"flags", flags}, {"commands", commands}};
}

std::shared_ptr<CLI::FormatterBase> MakeFormatter() {
  return std::make_shared<Formatter>();
}

}  // namespace moe::run
