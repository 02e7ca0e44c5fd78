// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Gradients of norms, activations and reductions.

#include <gtest/gtest.h>

#include "lib/reference/rounding.h"
#include "lib/reference/vjp.h"
#include "test/kernels/compare.h"

namespace moe::kernels {
namespace {

reference::Rounding RoundingOf(DType dtype) {
  return dtype == DType::kBF16 ? reference::Rounding::kBf16
                               : reference::Rounding::kNone;
}

// The values of |want|, rounded to the type of |got|.
void ExpectRounded(const std::string& what, const Array& got,
                   std::vector<float> want) {
  reference::RoundAll(want.data(), static_cast<int64_t>(want.size()),
                      RoundingOf(got.dtype));
  ExpectSame(what, got, want);
}

struct Norm {
  DType dtype, stored;
  int64_t width, heads;
  bool layer;

  std::string Name() const {
    return std::string(layer ? "layer" : "rms") + Str(width);
  }
  std::string Text() const {
    const std::string x = Tensor({-1, heads, width}, dtype);
    const std::string w = Tensor({width}, stored);
    const std::string dw = Tensor({width}, DType::kF32);
    const std::string tail =
        " %x, %w, %dy eps(1.0e-3) : " + x + ", " + w + ", " + x;
    return EntryOf(Name(), "%x: " + x + ", %w: " + w + ", %dy: " + x,
                   "(" + x + ", " + dw + (layer ? ", " + dw : "") + ")",
                   layer ? "%a, %b, %c" : "%a, %b",
                   layer ? "%a, %b, %c = nn.layer_norm_grad" + tail
                         : "%a, %b = nn.rms_norm_grad" + tail);
  }
  // Sums, division and root are exact on both sides.
  void Check(const Program& program, Random& random, int64_t tokens) const {
    const int64_t rows = tokens * heads, n = rows * width;
    const Array x = RandomArray(random, dtype, n, 2);
    const Array w = RandomArray(random, stored, width);
    const Array dy = RandomArray(random, dtype, n);
    Array dx(dtype, n), dw(DType::kF32, width), dbias(DType::kF32, width);
    std::vector<Array*> outputs{&dx, &dw};
    if (layer) outputs.push_back(&dbias);
    program.Run(Name(), {.tokens = tokens}, {&x, &w, &dy}, outputs);
    std::vector<float> want_x(n), want_w(width), want_bias(width);
    if (layer)
      reference::LayerNormVjp(x.Floats().data(), w.Floats().data(),
                              dy.Floats().data(), rows, width, 1.0e-3f,
                              want_x.data(), want_w.data(), want_bias.data());
    else
      reference::RmsNormVjp(x.Floats().data(), w.Floats().data(),
                            dy.Floats().data(), rows, width, 1.0e-3f,
                            want_x.data(), want_w.data());
    const std::string what = Name() + " tokens " + Str(tokens);
    ExpectRounded(what + " dx", dx, want_x);
    ExpectSame(what + " dw", dw, want_w);
    if (layer) ExpectSame(what + " dbias", dbias, want_bias);
  }
};

TEST(RowGrad, Norms) {
  for (DType dtype : kComputeTypes)
    for (DType stored : kComputeTypes) {
      std::vector<Norm> cases;
      for (bool layer : {false, true})
        for (int64_t width : kWidths)
          cases.push_back({dtype, stored, width, 3, layer});
      std::string text;
      for (const Norm& c : cases) text += c.Text();
      const Program program(text);
      Random random(1);
      for (const Norm& c : cases)
        for (int64_t tokens : kTokens) c.Check(program, random, tokens);
    }
}

// Rows of several blocks, and columns in groups of one, two and four vectors.
TEST(RowGrad, NormsOfManyRows) {
  std::vector<Norm> cases;
  for (bool layer : {false, true})
    for (int64_t width : {1, 96, 1024, 2049})
      cases.push_back({DType::kF32, DType::kF32, width, 1, layer});
  std::string text;
  for (const Norm& c : cases) text += c.Text();
  const Program program(text);
  Random random(2);
  for (const Norm& c : cases)
    c.Check(program, random,
            c.width == 1 ? 9000 : 3 * (int64_t{1} << 17) / c.width + 5);
}

const char* const kActivations[] = {"silu",     "gelu",      "gelu_tanh",
                                    "relu",     "sigmoid",   "tanh",
                                    "identity", "quick_gelu"};

TEST(RowGrad, Activations) {
  for (DType dtype : kComputeTypes) {
    std::string text;
    for (const char* act : kActivations)
      for (int64_t width : kWidths) {
        const std::string x = Tensor({-1, width}, dtype);
        text += Entry(act + Str(width), "%x: " + x + ", %dy: " + x, x,
                      std::string("%y = nn.activate_grad ") + act +
                          " %x, %dy : " + x + ", " + x);
      }
    const Program program(text);
    Random random(3);
    for (const char* act : kActivations)
      for (int64_t width : kWidths)
        for (int64_t tokens : kTokens) {
          const int64_t n = tokens * width;
          std::vector<float> values = random.Values<float>(n);
          for (float& v : values) v *= 6;
          if (n > 1) values[n / 2] = 0;  // where relu bends
          const Array x(dtype, values), dy = RandomArray(random, dtype, n);
          Array dx(dtype, n);
          program.Run(act + Str(width), {.tokens = tokens}, {&x, &dy}, {&dx});
          std::vector<float> want(n);
          reference::ActivateVjp(*reference::ParseActivation(act),
                                 x.Floats().data(), dy.Floats().data(), n,
                                 want.data());
          ExpectClose(act + Str(width) + Name(dtype), dx, want, 1);
        }
  }
}

struct Unit {
  const char* act;
  int64_t width;
  double limit, shift;  // limit 0: none

  std::string Name() const {
    return act + Str(width) + "_" + Str(static_cast<int64_t>(limit * 2)) + "_" +
           Str(static_cast<int64_t>(shift * 2));
  }
};

// Without and with a cut and a shift; values on both sides of the cut.
TEST(RowGrad, GatedUnits) {
  std::vector<Unit> units;
  for (const char* act : kActivations) units.push_back({act, 17, 0, 0});
  for (const char* act : {"silu", "quick_gelu"})
    for (int64_t width : kWidths)
      for (auto [limit, shift] : {std::pair{2.0, 1.0}, {0.0, 0.5}, {3.0, 0.0}})
        units.push_back({act, width, limit, shift});
  for (DType dtype : kComputeTypes) {
    std::string text;
    for (const Unit& u : units) {
      const std::string x = Tensor({-1, 2 * u.width}, dtype);
      const std::string dy = Tensor({-1, u.width}, dtype);
      text += Entry(u.Name(), "%x: " + x + ", %dy: " + dy, x,
                    std::string("%y = nn.glu_grad ") + u.act +
                        " %x, %dy {limit = " + std::to_string(u.limit) +
                        " : f64, shift = " + std::to_string(u.shift) +
                        " : f64} : " + x + ", " + dy);
    }
    const Program program(text);
    Random random(4);
    for (const Unit& u : units)
      for (int64_t tokens : kTokens) {
        const int64_t n = tokens * u.width;
        const Array x = RandomArray(random, dtype, 2 * n, 5);
        const Array dy = RandomArray(random, dtype, n);
        Array dx(dtype, 2 * n);
        program.Run(u.Name(), {.tokens = tokens}, {&x, &dy}, {&dx});
        std::vector<float> want(2 * n);
        reference::GluVjp(x.Floats().data(), dy.Floats().data(),
                          *reference::ParseActivation(u.act),
                          {.limit = u.limit, .shift = u.shift}, tokens, u.width,
                          want.data());
        ExpectClose(u.Name() + kernels::Name(dtype), dx, want, 1);
      }
  }
}

struct Axis {
  std::string name;
  std::vector<int64_t> shape;  // -1: tokens
  int64_t axis;
};

// Values of which many are equal, so that the first of several counts.
TEST(RowGrad, ReductionsOverAnyAxis) {
  std::vector<Axis> axes = {{"vector", {-1}, 0}, {"matrix", {-1, 1}, 0}};
  for (int64_t w : kWidths) {
    axes.push_back({"last" + Str(w), {-1, w}, 1});
    axes.push_back({"first" + Str(w), {-1, w}, 0});
    axes.push_back({"middle" + Str(w), {-1, 5, w}, 1});
    axes.push_back({"front" + Str(w), {6, w}, 0});
    axes.push_back({"fixed" + Str(w), {4, w}, 1});
  }
  for (DType dtype : kComputeTypes) {
    const char* kinds[] = {"sum", "mean", "max", "min"};
    std::string text;
    for (const Axis& a : axes)
      for (const char* kind : kinds) {
        std::vector<int64_t> shape = a.shape;
        shape.erase(shape.begin() + a.axis);
        const std::string x = Tensor(a.shape, dtype), y = Tensor(shape, dtype);
        text += Entry(
            kind + a.name, "%x: " + x + ", %r: " + y + ", %dy: " + y, x,
            std::string("%y = nn.reduce_grad ") + kind + " %x, %r, %dy axis(" +
                Str(a.axis) + ") : " + x + ", " + y + ", " + y);
      }
    const Program program(text);
    Random random(5);
    for (const Axis& a : axes)
      for (const char* kind : kinds)
        for (int64_t tokens : kTokens) {
          int64_t outer = 1, n = 1, inner = 1;
          for (size_t i = 0; i < a.shape.size(); ++i) {
            const int64_t size = a.shape[i] < 0 ? tokens : a.shape[i];
            const int64_t at = static_cast<int64_t>(i);
            (at < a.axis ? outer : at == a.axis ? n : inner) *= size;
          }
          std::vector<float> values(outer * n * inner), reduced(outer * inner);
          for (float& v : values) v = static_cast<float>(random.Int(-2, 2)) / 2;
          const auto reduction = *reference::ParseReduceKind(kind);
          reference::Reduce(reduction, values.data(), outer, n, inner,
                            reduced.data());
          const Array x(dtype, values), y(dtype, reduced);
          const Array dy = RandomArray(random, dtype, outer * inner);
          Array dx(dtype, x.size());
          program.Run(kind + a.name, {.tokens = tokens}, {&x, &y, &dy}, {&dx});
          std::vector<float> want(x.size());
          reference::ReduceVjp(reduction, values.data(), y.Floats().data(),
                               dy.Floats().data(), outer, n, inner,
                               want.data());
          ExpectRounded(kind + a.name, dx, want);
        }
  }
}

}  // namespace
}  // namespace moe::kernels
