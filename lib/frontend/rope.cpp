// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/rope.h"

#include "lib/core/status_macros.h"
#include "lib/frontend/config.h"

#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mlir::moe::frontend {

using ::moe::Code;
using ::moe::Error;
using ::moe::Json;
using ::moe::JsonFields;
using ::moe::Quoted;

namespace {

constexpr llvm::StringLiteral knownKeys[] = {"rope_type",
                                             "type",
                                             "rope_theta",
                                             "factor",
                                             "original_max_position_embeddings",
                                             "attention_factor",
                                             "beta_fast",
                                             "beta_slow",
                                             "mscale",
                                             "mscale_all_dim",
                                             "truncate",
                                             "low_freq_factor",
                                             "high_freq_factor",
                                             "partial_rotary_factor",
                                             "short_factor",
                                             "long_factor",
                                             "short_mscale",
                                             "long_mscale",
                                             "finetuned"};

double yarnMscale(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

/// One variant. Frequencies are computed in f64 and rounded once.
class Reader {
public:
  Reader(JsonFields &fields, const RopeOptions &options, double theta)
      : fields(fields), options(options), theta(theta) {}

  absl::StatusOr<RopeTable> read(const std::string &type);

private:
  absl::Status linear();
  absl::Status dynamic();
  absl::Status yarn();
  absl::Status llama3();
  absl::Status longrope();
  absl::Status divideBy(const char *key, bool apply);

  absl::StatusOr<double> positive(const char *key) {
    ASSIGN_OR_RETURN(double value, fields.Number(key));
    return checked(key, value);
  }
  absl::StatusOr<double> positiveOr(const char *key, double fallback) {
    ASSIGN_OR_RETURN(double value, fields.NumberOr(key, fallback));
    // 0 counts as absent, as in the released code.
    return checked(key, value == 0 ? fallback : value);
  }
  absl::StatusOr<double> checked(const char *key, double value) {
    if (!(value > 0) || !std::isfinite(value))
      return Error(Code::C105, fields.where(), ": key ", Quoted(key), ": ",
                   value, " is not a positive number.");
    return value;
  }
  absl::StatusOr<double> originalPositions() {
    ASSIGN_OR_RETURN(int64_t positions,
                     fields.IntOr("original_max_position_embeddings",
                                  options.originalPositions
                                      ? options.originalPositions
                                      : options.maxPositions,
                                  1, kMaxPositions));
    return static_cast<double>(positions);
  }

  JsonFields &fields;
  const RopeOptions &options;
  double theta;
  llvm::SmallVector<double> inv;
  RopeTable out;
};

absl::Status Reader::linear() {
  ASSIGN_OR_RETURN(double factor, positive("factor"));
  for (double &f : inv)
    f /= factor;
  return absl::OkStatus();
}

// The base grows only with sequences longer than max_position_embeddings,
// which a module never runs: within them this is the default.
absl::Status Reader::dynamic() {
  RETURN_IF_ERROR(positive("factor").status());
  ASSIGN_OR_RETURN(double original, originalPositions());
  if (original < static_cast<double>(options.maxPositions))
    return Error(Code::C109, fields.where(),
                 ": type 'dynamic' with original_max_position_embeddings ",
                 original, " below max_position_embeddings ",
                 options.maxPositions,
                 " changes results with the length of a sequence, which is not "
                 "supported.");
  out.notes.push_back(
      "type 'dynamic' changes nothing up to max_position_embeddings");
  return absl::OkStatus();
}

absl::Status Reader::yarn() {
  ASSIGN_OR_RETURN(double factor, positive("factor"));
  ASSIGN_OR_RETURN(double original, originalPositions());
  ASSIGN_OR_RETURN(double fast, positiveOr("beta_fast", 32));
  ASSIGN_OR_RETURN(double slow, positiveOr("beta_slow", 1));
  ASSIGN_OR_RETURN(double mscale, readNonNegative(fields, "mscale", 0));
  ASSIGN_OR_RETURN(double allDim, readNonNegative(fields, "mscale_all_dim", 0));
  ASSIGN_OR_RETURN(bool truncate, fields.BoolOr("truncate", true));
  if (theta <= 1)
    return Error(Code::C105, fields.where(),
                 ": type 'yarn' needs a rope_theta above 1, found ", theta,
                 ".");

  double dims = static_cast<double>(options.dims);
  auto turns = [&](double beta) {
    return dims * std::log(original / (beta * 2 * std::numbers::pi)) /
           (2 * std::log(theta));
  };
  double low = turns(fast), high = turns(slow);
  if (truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dims - 1);
  if (low == high)
    high += 0.001;
  for (auto [i, f] : llvm::enumerate(inv)) {
    double ramp =
        std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    f = f * (1 - ramp) + f / factor * ramp;
  }

  if (fields.Has("attention_factor")) {
    ASSIGN_OR_RETURN(out.scale, positive("attention_factor"));
  } else if (mscale != 0 && allDim != 0) {
    out.scale = yarnMscale(factor, mscale) / yarnMscale(factor, allDim);
  } else {
    out.scale = yarnMscale(factor, 1);
  }
  return absl::OkStatus();
}

absl::Status Reader::llama3() {
  ASSIGN_OR_RETURN(double factor, positive("factor"));
  ASSIGN_OR_RETURN(double low, positive("low_freq_factor"));
  ASSIGN_OR_RETURN(double high, positive("high_freq_factor"));
  ASSIGN_OR_RETURN(double original, originalPositions());
  if (high <= low)
    return Error(Code::C106, fields.where(), ": high_freq_factor ", high,
                 " is not above low_freq_factor ", low, ".");
  for (double &f : inv) {
    double wave = 2 * std::numbers::pi / f;
    double t = (original / wave - low) / (high - low);
    if (wave > original / low)
      f /= factor;
    else if (wave >= original / high)
      f = (1 - t) * f / factor + t * f;
  }
  return absl::OkStatus();
}

/// Checks a factor for each pair of dimensions, and divides by them where
/// |apply| is set.
absl::Status Reader::divideBy(const char *key, bool apply) {
  ASSIGN_OR_RETURN(std::vector<double> factors, fields.Numbers(key));
  if (factors.size() != inv.size())
    return Error(Code::C106, fields.where(), ": key ", Quoted(key), " has ",
                 factors.size(), " factors for ", inv.size(),
                 " pairs of dimensions.");
  for (auto [factor, f] : llvm::zip(factors, inv)) {
    RETURN_IF_ERROR(checked(key, factor).status());
    if (apply)
      f /= factor;
  }
  return absl::OkStatus();
}

// Factors for sequences within the original length and for longer ones. A
// cached key keeps the rotation it was written with, so a module has one table:
// that of the original length, and stops there.
absl::Status Reader::longrope() {
  if (!options.originalPositions)
    RETURN_IF_ERROR(positive("original_max_position_embeddings").status());
  ASSIGN_OR_RETURN(double original, originalPositions());
  ASSIGN_OR_RETURN(
      double factor,
      positiveOr("factor",
                 static_cast<double>(options.maxPositions) / original));
  RETURN_IF_ERROR(divideBy("short_factor", true));
  RETURN_IF_ERROR(divideBy("long_factor", false));
  if (fields.Has("short_mscale") || fields.Has("long_mscale")) {
    RETURN_IF_ERROR(positive("long_mscale").status());
    ASSIGN_OR_RETURN(out.scale, positive("short_mscale"));
  } else if (fields.Has("attention_factor")) {
    ASSIGN_OR_RETURN(out.scale, positive("attention_factor"));
  } else if (factor > 1) {
    out.scale = std::sqrt(1 + std::log(factor) / std::log(original));
  }
  if (original < static_cast<double>(options.maxPositions)) {
    out.positions = static_cast<int64_t>(original);
    out.notes.push_back(::moe::Joined(
        "type 'longrope' is compiled for its original ", out.positions,
        " positions; longer sequences need other factors"));
  }
  return absl::OkStatus();
}

absl::StatusOr<RopeTable> Reader::read(const std::string &type) {
  for (int64_t i = 0; i < options.dims; i += 2)
    inv.push_back(std::pow(theta, -static_cast<double>(i) /
                                      static_cast<double>(options.dims)));
  out.type = type;
  if (type == "linear") {
    RETURN_IF_ERROR(linear());
  } else if (type == "dynamic") {
    RETURN_IF_ERROR(dynamic());
  } else if (type == "yarn") {
    RETURN_IF_ERROR(yarn());
  } else if (type == "llama3") {
    RETURN_IF_ERROR(llama3());
  } else if (type == "longrope") {
    RETURN_IF_ERROR(longrope());
  } else if (type != "default") {
    return Error(
        Code::C109, fields.where(), ": type ", Quoted(type),
        " is not supported for ", std::string_view(options.modelType),
        "; supported: default, linear, dynamic, yarn, llama3, longrope.");
  }
  if (type != "default" && fields.Has("mscale_all_dim")) {
    ASSIGN_OR_RETURN(double allDim,
                     readNonNegative(fields, "mscale_all_dim", 0));
    ASSIGN_OR_RETURN(double factor, positive("factor"));
    if (allDim != 0)
      out.softmaxMscale = yarnMscale(factor, allDim);
  }
  bool finite = std::isfinite(out.scale) && std::isfinite(out.softmaxMscale);
  for (double f : inv) {
    out.invFreq.push_back(static_cast<float>(f));
    finite = finite && std::isfinite(out.invFreq.back());
  }
  if (!finite)
    return Error(
        Code::C105, fields.where(),
        ": these values give frequencies or scales that are not finite.");
  return std::move(out);
}

} // namespace

absl::StatusOr<RopeTable> readRope(JsonFields &config,
                                   const RopeOptions &options) {
  if (options.dims < 2 || options.dims % 2)
    return Error(Code::C106, config.where(),
                 ": rotary positions need an even number of dimensions, found ",
                 options.dims, ".");
  // Old files spell rope_theta and rope_scaling, new ones rope_parameters.
  const Json *parameters = config.Find("rope_parameters");
  const Json *scaling = config.Find("rope_scaling");
  if (parameters && scaling && *parameters != *scaling)
    return Error(
        Code::C106, config.where(),
        ": rope_parameters and rope_scaling are both given and differ.");
  const Json *object = parameters ? parameters : scaling;
  static const Json empty = Json::object();
  JsonFields fields(
      object ? *object : empty,
      ::moe::Joined(
          config.where(),
          object ? (parameters ? ": rope_parameters" : ": rope_scaling") : ""),
      ::moe::kConfigCodes);
  RETURN_IF_ERROR(fields.Check());
  for (const auto &[name, value] : (object ? *object : empty).items())
    if (!llvm::is_contained(knownKeys, name))
      return Error(Code::C108, fields.where(), ": key ", Quoted(name),
                   " with value ", shown(value),
                   " is not known and might change the result. Remove it if it "
                   "changes nothing.");

  ASSIGN_OR_RETURN(double theta, config.NumberOr("rope_theta", 0));
  ASSIGN_OR_RETURN(double inner, fields.NumberOr("rope_theta", theta));
  if (config.Has("rope_theta") && inner != theta)
    return Error(Code::C106, config.where(), ": rope_theta is ", theta,
                 ", but inside rope_parameters it is ", inner, ".");
  bool given = config.Has("rope_theta") || fields.Has("rope_theta");
  theta = given ? inner : options.defaultTheta;
  if (!(theta > 0) || !std::isfinite(theta))
    return Error(Code::C105, config.where(), ": key 'rope_theta': ", theta,
                 " is not a positive number.");

  ASSIGN_OR_RETURN(std::string old, fields.StringOr("type", ""));
  ASSIGN_OR_RETURN(std::string type, fields.StringOr("rope_type", old));
  if (!old.empty() && type != old)
    return Error(Code::C106, fields.where(), ": rope_type ", Quoted(type),
                 " and type ", Quoted(old), " differ.");
  if (type.empty() && fields.Has("factor"))
    return Error(Code::C103, fields.where(), ": key 'rope_type' is missing.");
  double fallback = options.partial ? options.partial : 1;
  ASSIGN_OR_RETURN(double partial,
                   config.NumberOr("partial_rotary_factor", fallback));
  ASSIGN_OR_RETURN(partial, fields.NumberOr("partial_rotary_factor", partial));
  RopeOptions rotated = options;
  constexpr const char *original = "original_max_position_embeddings";
  if (config.Has(original)) {
    ASSIGN_OR_RETURN(rotated.originalPositions,
                     config.Int(original, 1, kMaxPositions));
    ASSIGN_OR_RETURN(
        int64_t own,
        fields.IntOr(original, rotated.originalPositions, 1, kMaxPositions));
    if (own != rotated.originalPositions)
      return Error(Code::C106, config.where(), ": ", original, " is ",
                   rotated.originalPositions,
                   ", but inside the rope parameters it is ", own, ".");
  }
  if (options.partial) {
    if (!(partial > 0 && partial <= 1))
      return Error(Code::C105, fields.where(),
                   ": key 'partial_rotary_factor': ", partial,
                   " is not in (0, 1].");
    rotated.dims = static_cast<int64_t>(options.dims * partial);
  } else if (partial != 1)
    return Error(Code::C109, fields.where(),
                 ": key 'partial_rotary_factor' with value ", partial,
                 " is not supported for ", std::string_view(options.modelType),
                 "; supported: 1.");

  ASSIGN_OR_RETURN(
      RopeTable out,
      Reader(fields, rotated, theta).read(type.empty() ? "default" : type));
  for (const std::string &key : fields.Unread())
    out.notes.push_back(::moe::Joined("key ", Quoted(key),
                                      " has no use in type '", out.type, "'"));
  return out;
}

} // namespace mlir::moe::frontend
