#include <tapegrad/detail/ops/table.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <tapegrad/detail/graph/dispatch.hpp>

using namespace tapegrad;

namespace {

consteval bool names_are_unique() {
  for (std::size_t i = 0; i < ops::count; ++i) {
    const Description& a = ops::descriptions[i];
    for (std::size_t j = 0; j < ops::count; ++j) {
      const Description& b = ops::descriptions[j];
      if (i != j && (a.name == b.name || (!a.alias.empty() && a.alias == b.alias))) return false;
      if (!a.alias.empty() && a.alias == b.name) return false;
    }
  }
  return true;
}
static_assert(names_are_unique());

// How many numbers the value takes; 0 for any number.
constexpr std::size_t parameter_count(const Description& what) {
  return what.arity == variadic ? variadic : what.arity + (what.constant_last ? 1 : 0);
}

consteval bool entries_are_well_formed() {
  for (const Description& what : ops::descriptions) {
    if (what.name.empty() || what.symbol.empty() || what.summary.empty()) return false;
    if (what.arity > 3 || (what.constant_last && what.arity != 1)) return false;
    if (what.parameters[0].empty()) return false;
    const std::size_t count = parameter_count(what);
    for (std::size_t k = 0; k < 3 && count != variadic; ++k) {
      if (what.parameters[k].empty() != (k >= count)) return false;
      if (k < count && !(what.domain[k].low < what.domain[k].high)) return false;
    }
  }
  return true;
}
static_assert(entries_are_well_formed());

template <std::size_t... K>
consteval bool partials_match_arity(std::index_sequence<K...>) {
  const auto right = []<std::size_t k>() {
    constexpr auto& entry = std::get<k>(ops::table);
    constexpr std::size_t partials =
        std::tuple_size_v<std::remove_cvref_t<decltype(entry.partials)>>;
    return partials == (entry.arity == variadic ? 1 : entry.arity);
  };
  return (right.template operator()<K>() && ...);
}
static_assert(partials_match_arity(std::make_index_sequence<ops::count>()));

static_assert(description(op<"tanh">())->name == "tanh");
static_assert(description(Op::leaf) == nullptr && description(Op::custom) == nullptr);
static_assert(entry<op<"asin">()>.alias == "arcsin");

double value(std::size_t code, const std::vector<double>& x) {
  return operation_functions[code].value(x);
}

// Of fourth order: near the edge of a domain the second order's error would show.
double central_difference(std::size_t code, std::vector<double> x, std::size_t k) {
  const double h = 1e-4;
  const double at = x[k];
  const auto f = [&](double step) {
    x[k] = at + step;
    return value(code, x);
  };
  return (8.0 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12.0 * h);
}

struct Known {
  std::string_view name;
  std::vector<double> x;
  double value;
};

// mpmath's digits (1.3.0), where the value is not exact.
const std::vector<Known> known = {
    {"add", {0.75, 1.25}, 2.0},
    {"sub", {0.75, 1.25}, -0.5},
    {"mul", {0.75, 1.25}, 0.9375},
    {"div", {0.75, 1.5}, 0.5},
    {"pow", {0.75, 1.25}, 0.69795364432657469921},
    {"pow_const", {0.75, 1.25}, 0.69795364432657469921},
    {"neg", {0.75}, -0.75},
    {"abs", {-0.75}, 0.75},
    {"square", {0.75}, 0.5625},
    {"reciprocal", {0.75}, 1.3333333333333333333},
    {"exp", {0.75}, 2.1170000166126746685},
    {"exp2", {0.75}, 1.6817928305074290861},
    {"expm1", {0.75}, 1.1170000166126746685},
    {"log", {0.75}, -0.28768207245178092744},
    {"log1p", {0.75}, 0.55961578793542268627},
    {"log1mexp", {0.75}, -0.63935346504035393971},
    {"log2", {0.75}, -0.41503749927884381855},
    {"log10", {0.75}, -0.12493873660829995313},
    {"sqrt", {0.75}, 0.86602540378443864676},
    {"cbrt", {0.75}, 0.90856029641606982945},
    {"sin", {0.75}, 0.68163876002333416673},
    {"cos", {0.75}, 0.73168886887382088631},
    {"tan", {0.75}, 0.93159645994407246117},
    {"asin", {0.75}, 0.84806207898148100805},
    {"acos", {0.75}, 0.72273424781341561118},
    {"atan", {0.75}, 0.6435011087932843868},
    {"atan2", {0.75, 1.25}, 0.54041950027058415544},
    {"sinh", {0.75}, 0.8223167319358299807},
    {"cosh", {0.75}, 1.2946832846768446878},
    {"tanh", {0.75}, 0.63514895238728731921},
    {"asinh", {0.75}, 0.69314718055994530942},
    {"acosh", {1.25}, 0.69314718055994530942},
    {"atanh", {0.75}, 0.97295507452765665255},
    {"hypot", {0.75, 1.25}, 1.4577379737113251177},
    {"sigmoid", {0.75}, 0.67917869917539297316},
    {"softplus", {0.75}, 1.1368710061148999437},
    {"relu", {0.75}, 0.75},
    {"relu", {-0.75}, 0.0},
    {"leaky_relu", {-0.75, 0.5}, -0.375},
    {"gelu", {0.75}, 0.5800294857173488505},
    {"silu", {0.75}, 0.50938402438154472987},
    {"erf", {0.75}, 0.7111556336535151316},
    {"erfc", {0.75}, 0.2888443663464848684},
    {"lgamma", {0.75}, 0.20328095143129537148},
    {"maximum", {0.75, 1.25}, 1.25},
    {"minimum", {0.75, 1.25}, 0.75},
    {"clip", {0.75, -1.0, 0.5}, 0.5},
    {"sum", {0.75, 1.25, 2.0}, 4.0},
    {"dot", {0.5, 0.25, 4.0, 8.0}, 4.0},
    {"squared_distance", {0.5, 0.25, 4.0, 8.25}, 76.25},
    {"logsumexp", {0.75, 1.25, 2.0}, 2.56467232470728862733},
    {"surprisal", {0.75, 1.25, 2.0}, 1.81467232470728862733},
    {"surprisal", {2.0, 1.25, 0.75}, 0.56467232470728862733},
    {"sigmoid_slope", {0.75}, 0.21789499376181402948},
    {"tanh_slope", {0.75, 0.63514895238728731921}, 0.59658580828133142601},
    {"tanh_curve", {0.75, 0.63514895238728731921, 0.59658580828133142601}, -0.75784170227802138953},
    {"tanh_derivative", {0.75, 3.0}, 0.25085547326918848635},
    {"expm1_slope", {0.75, 1.1170000166126746685}, 2.1170000166126746685},
    {"polygamma", {0.75, 2.0}, -5.3026332163376396314},
    {"complement", {0.75}, 0.4375},
    {"asinh_slope", {0.75}, 0.8},
    {"cbrt_derivative", {0.75, 2.0}, -0.35893740105326215484},
    {"acosh_derivative", {1.25, 2.0}, -2.962962962962962963},
    {"gaussian", {0.75, 2.0}, 0.14244570618273075244},
    {"gelu_derivative", {0.75, 2.0}, 0.43288505872253133209},
    {"silu_derivative", {0.75, 2.0}, 0.37722677521501975225},
    {"quotient", {0.75, 1.25, 3.0}, 0.384},
    {"pow_derivative", {0.75, 1.25, 1.0 + math::second_order}, 0.59595694097686260082},
    {"atan2_derivative", {0.75, 1.25, 2.0}, -0.41522491349480968858},
    {"hypot_derivative", {0.75, 1.25, 1.0 + math::second_order}, -0.30264456201619206596},
    {"remainder", {-7.5, 2.0}, 0.5},
    {"remainder", {7.5, -2.0}, -0.5},
    {"less", {0.75, 1.25}, 1.0},
    {"less", {1.25, 1.25}, 0.0},
    {"less_equal", {1.25, 1.25}, 1.0},
    {"equal", {0.75, 1.25}, 0.0},
    {"where", {1.0, 0.75, 1.25}, 0.75},
    {"where", {0.0, 0.75, 1.25}, 1.25},
    {"scaled", {0.5, 0.75, 2.0}, 1.5},
    {"scaled", {0.0, 0.0, INFINITY}, 0.0},
    {"selected", {1.0, 0.75, 2.0}, 1.5},
    {"selected", {0.0, 0.75, INFINITY}, 0.0},
    {"copy", {0.75}, 0.75},
    {"stop", {0.75}, 0.75},
};

}  // namespace

TEST_CASE("every operation has the value that its name says") {
  std::map<std::string_view, int> seen;
  for (const Known& row : known) {
    CAPTURE(row.name);
    for (std::size_t code = 0; code < ops::count; ++code) {
      if (ops::descriptions[code].name != row.name) continue;
      ++seen[row.name];
      CHECK(std::fabs(value(code, row.x) - row.value) <= 4.5e-16 * std::fabs(row.value));
    }
  }
  for (const Description& what : ops::descriptions) {
    CAPTURE(what.name);
    CHECK(seen[what.name] > 0);
  }
}

TEST_CASE("every partial is the value's derivative over the whole domain") {
  std::mt19937 random(5);
  for (std::size_t code = 0; code < ops::count; ++code) {
    const Description& what = ops::descriptions[code];
    if (what.inner) continue;  // test_recording.cpp has the laws of these
    CAPTURE(what.name);
    const std::size_t parameters = what.arity == variadic ? 6 : parameter_count(what);
    const std::size_t operands = what.arity == variadic ? 6 : what.arity;
    for (int sample = 0; sample < 200; ++sample) {
      std::vector<double> x(parameters);
      for (std::size_t k = 0; k < x.size(); ++k) {
        const Interval domain = what.domain[what.arity == variadic ? 0 : k];
        const double share = sample < 2 ? sample : random() / 4294967295.0;
        // Not nearer to the edge than the differences reach.
        x[k] = domain.low + 1e-3 + share * (domain.high - domain.low - 2e-3);
      }
      const double y = value(code, x);
      REQUIRE(std::isfinite(y));
      for (std::size_t k = 0; k < operands; ++k) {
        CAPTURE(x);
        CAPTURE(k);
        const double partial = operation_functions[code].partial(x, y, k);
        const double difference = central_difference(code, x, k);
        CHECK(std::fabs(partial - difference) <= 1e-8 * std::fmax(1.0, std::fabs(partial)));
      }
    }
  }
}

TEST_CASE("what is recorded is the table's value and partials") {
  Tape tape;
  std::mt19937 random(6);
  for (std::size_t code = 0; code < ops::count; ++code) {
    const Description& what = ops::descriptions[code];
    if (what.inner) continue;
    CAPTURE(what.name);
    const std::size_t parameters = what.arity == variadic ? 4 : parameter_count(what);
    const std::size_t operands = what.arity == variadic ? 4 : what.arity;
    std::vector<double> x(parameters);
    std::vector<Argument> arguments;
    for (std::size_t k = 0; k < parameters; ++k) {
      const Interval domain = what.domain[what.arity == variadic ? 0 : k];
      x[k] = domain.low + random() / 4294967295.0 * (domain.high - domain.low);
      arguments.push_back({k < operands ? tape.leaf(x[k]) : no_node, x[k]});
    }
    const Index i = operation_functions[code].record(tape, arguments);
    const double y = value(code, x);
    CHECK(tape.cell(i).primal == y);
    CHECK(tape.cell(i).op == static_cast<Op>(code));
    std::size_t k = 0;
    tape.each_operand(i, [&](Index node, double partial) {
      CHECK(node == arguments[k].node);
      CHECK((is_absent(partial) ? 0.0 : partial) == operation_functions[code].partial(x, y, k));
      ++k;
    });
    CHECK(k == operands);
  }
}

TEST_CASE("derivatives at kinks are those that the summaries promise") {
  const auto partial = [](Op code, std::vector<double> x, std::size_t k = 0) {
    const auto place = static_cast<std::size_t>(code);
    return operation_functions[place].partial(x, value(place, x), k);
  };
  CHECK(partial(op<"relu">(), {0.0}) == 0.0);
  CHECK(partial(op<"abs">(), {0.0}) == 0.0);
  CHECK(partial(op<"maximum">(), {2.0, 2.0}, 0) == 0.5);
  CHECK(partial(op<"maximum">(), {2.0, 2.0}, 1) == 0.5);
  CHECK(partial(op<"minimum">(), {2.0, 2.0}, 0) == 0.5);
  CHECK(partial(op<"minimum">(), {2.0, 2.0}, 1) == 0.5);
  CHECK(partial(op<"clip">(), {1.0, 1.0, 3.0}) == 1.0);
  CHECK(partial(op<"clip">(), {3.0, 1.0, 3.0}) == 1.0);
  CHECK(partial(op<"pow">(), {0.0, 0.0}, 0) == 0.0);
  CHECK(partial(op<"pow">(), {0.0, 2.0}, 1) == 0.0);
  CHECK(partial(op<"pow_const">(), {0.0, 0.0}) == 0.0);
  CHECK(std::isinf(partial(op<"sqrt">(), {0.0})));
}

TEST_CASE("relu and its kin hand on a NaN") {
  for (const std::string_view name : {"relu", "abs", "softplus", "sigmoid", "tanh", "gelu"})
    for (std::size_t code = 0; code < ops::count; ++code)
      if (ops::descriptions[code].name == name) CHECK(std::isnan(value(code, {std::nan("")})));
  const auto maximum = static_cast<std::size_t>(op<"maximum">());
  CHECK(std::isnan(value(maximum, {std::nan(""), 1.0})));
  CHECK(std::isnan(value(maximum, {1.0, std::nan("")})));
}
