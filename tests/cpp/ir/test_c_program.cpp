#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <tapegrad/detail/ir/codegen/c_program.hpp>

using namespace tapegrad;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

// The operation of a, b, c.
template <Name name>
std::string text_of() {
  const CExpression operands[] = {CExpression::variable("a"), CExpression::variable("b"),
                                  CExpression::variable("c")};
  return detail::c_values[static_cast<std::size_t>(op<name>())](operands).text();
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("every operation of a fixed number of operands has a C text of all of them") {
  for (std::size_t k = 0; k < ops::count; ++k) {
    const Description& what = ops::descriptions[k];
    CAPTURE(std::string(what.name));
    CHECK((detail::c_values[k] == nullptr) == (what.arity == variadic));
    if (what.arity == variadic) continue;
    const CExpression operands[] = {CExpression::variable("a0"), CExpression::variable("a1"),
                                    CExpression::variable("a2")};
    const std::string text = detail::c_values[k](operands).text();
    // The point of tanh's second derivative is there for the third: its value has it in the others.
    const std::size_t first = what.name == "tanh_curve" ? 1 : 0;
    for (std::size_t j = first; j < operand_count(static_cast<Op>(k)); ++j)
      CHECK(contains(text, operands[j].text()));
  }
}

TEST_CASE("the text follows from the entry's value") {
  CHECK(text_of<"add">() == "a + b");
  CHECK(text_of<"neg">() == "-a");
  CHECK(text_of<"abs">() == "fabs(a)");
  CHECK(text_of<"square">() == "a * a");
  CHECK(text_of<"reciprocal">() == "1.0 / a");
  CHECK(text_of<"atan2">() == "atan2(a, b)");
  CHECK(text_of<"relu">() == "(a < 0.0) ? 0.0 : a");
  CHECK(text_of<"silu">() == "tapegrad_silu(a)");
  CHECK(text_of<"maximum">() == "((a != a) || (a >= b)) ? a : b");
  CHECK(text_of<"where">() == "(a != 0.0) ? b : c");
  CHECK(text_of<"stop">() == "a");
}

TEST_CASE("a function of C that means something else is never called for one of the table") {
  CHECK(text_of<"remainder">() == "tapegrad_remainder(a, b)");
  CHECK(text_of<"pow_const">() == "tapegrad_power(a, b)");
}

TEST_CASE("operands keep their signs and their order") {
  const CExpression a = CExpression::variable("a");
  CHECK((a - -2.5).text() == "a - (-2.5)");
  CHECK((-(-a)).text() == "-(-a)");
  CHECK((a - (a - 1.0)).text() == "a - (a - 1.0)");
  CHECK(where(a < 1.0 && a > -1.0, 1.0, -a).text() == "((a < 1.0) && (a > (-1.0))) ? 1.0 : (-a)");
}

TEST_CASE("literals are short where they can be, and exact") {
  CHECK(c_literal(0.0) == "0.0");
  CHECK(c_literal(-0.0) == "-0.0");
  CHECK(c_literal(3.0) == "3.0");
  CHECK(c_literal(-12.0625) == "-12.0625");
  CHECK(c_literal(0.1) == "0x1.999999999999ap-4");
  CHECK(c_literal(inf) == "INFINITY");
  CHECK(c_literal(-inf) == "-INFINITY");
  CHECK(c_literal(not_a_number) == "NAN");
  std::mt19937_64 random(1);
  std::vector<double> numbers = {5e-324,
                                 2.2250738585072014e-308,
                                 1.7976931348623157e308,
                                 4294967295.9375,
                                 4294967296.0,
                                 9007199254740993.0,
                                 1e23};
  for (int k = 0; k < 10000; ++k) numbers.push_back(std::bit_cast<double>(random()));
  for (const double number : numbers)
    if (std::isfinite(number)) CHECK(same(std::strtod(c_literal(number).c_str(), nullptr), number));
}

TEST_CASE("functions that C has not are there once where they are used, after those they use") {
  Program program;
  program.inputs = 2;
  program.runs = {{op<"silu">(), Program::Carry::none, 2}};
  program.operands = {0, 1};
  program.outputs = {2, 3};
  const std::string text = c_function(program, "f", "f", {});
  const std::string silu = "static double tapegrad_silu(double x";
  CHECK(text.find(silu) == text.rfind(silu));
  CHECK(text.find("static double tapegrad_sigmoid(double x") < text.find(silu));
  CHECK(text.find(silu) < text.find("int f(const double *inputs, double *outputs) {"));
  CHECK(!contains(text, "digamma"));
}

TEST_CASE("no text ends the comment that it is in") {
  CHECK(detail::in_comment("a*/b") == "a* /b");
  CHECK(detail::in_comment("/*/*") == "/ * / *");
  CHECK(detail::in_comment("a\nb\\") == "a b\\");
}
