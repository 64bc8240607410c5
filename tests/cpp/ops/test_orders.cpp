// The derivatives that tests/python/operations/test_extreme_derivatives.py does not see: of high
// orders, and at the ends. Known digits are mpmath's.
#include <tapegrad/detail/ops/orders.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

namespace math = tapegrad::math;
using math::second_order;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

void check(double is, double should_be, double relative = 1e-14) {
  CAPTURE(is);
  CAPTURE(should_be);
  CHECK(std::fabs(is - should_be) <= relative * std::fabs(should_be));
}

}  // namespace

TEST_CASE("derivatives of high order") {
  check(math::tanh_derivative(1.3, 8.0), -8.0431941869491231758, 1e-13);
  check(math::cbrt_derivative(-0.7, 7.0), 1032.5012340688162261);
  check(math::acosh_derivative(3.7, 9.0), 1.2805426736952803175);
  check(math::gelu_derivative(1.3, 8.0), 26.570298130308179365, 1e-13);
  check(math::silu_derivative(-1.3, 9.0), 7.7825679449165883422, 1e-13);
  check(math::pow_derivative(0.7, 2.3, 4.0 + 5.0 * second_order), -36.208133757799452953, 1e-13);
  check(math::atan2_derivative(0.7, -1.3, 4.0 + 5.0 * second_order), 1166.295202050826066, 1e-13);
  check(math::hypot_derivative(0.7, -1.3, 3.0 + 4.0 * second_order), 5.1894105526293283699, 1e-12);
}

TEST_CASE("a derivative that overflows is an infinity of its sign") {
  CHECK(math::quotient(-1.0, 1e-200, 3.0) == -infinity);
  CHECK(math::quotient(0.0, 1e-200, 3.0) == 0.0);
  CHECK(math::cbrt_derivative(-1e-300, 2.0) == infinity);
  CHECK(math::cbrt_derivative(0.0, 1.0) == infinity);
  CHECK(math::acosh_derivative(1.0, 3.0) == infinity);
  CHECK(math::acosh_derivative(1.0, 4.0) == -infinity);
  CHECK(math::atan2_derivative(1e-200, 3e-200, 2.0) == -infinity);
  CHECK(math::atan2_derivative(5e-324, 5e-324, 3.0) == infinity);
  CHECK(math::hypot_derivative(1e-200, 3e-200, 2.0 + second_order) == -infinity);
  CHECK(math::pow_derivative(1e-300, -3.0, 1.0) == -infinity);
}

TEST_CASE("a derivative is finite where the power in it alone overflows") {
  check(math::power_slope(1e-300, -0.028), -7.0332820082268269617e+306, 1e-13);
  CHECK(math::power_slope(1e-300, -2.5) == -infinity);
}

TEST_CASE("a factor of zero is not multiplied by an infinite power") {
  CHECK(math::pow_derivative(0.0, 0.0, 1.0) == 0.0);
  CHECK(math::pow_derivative(0.0, 1.0, 2.0) == 0.0);
  CHECK(math::pow_derivative(0.0, 2.0, 2.0 * second_order) == 0.0);
  CHECK(math::pow_derivative(not_a_number, 0.0, 1.0) == 0.0);
  CHECK(math::pow_derivative(2.0, 0.0, 1.0 + second_order) == 0.5);
  CHECK(math::pow_derivative(0.0, -1.0, second_order) == -infinity);
}

TEST_CASE("derivatives at infinity") {
  CHECK(math::gaussian(infinity, 3.0) == 0.0);
  CHECK(math::gelu_derivative(-infinity, 2.0) == 0.0);
  CHECK(math::silu_derivative(infinity, 2.0) == 0.0);
  CHECK(math::atan2_derivative(infinity, 1.0, 2.0) == 0.0);
  CHECK(math::hypot_derivative(1.0, infinity, 2.0) == 0.0);
  CHECK(math::asinh_slope(-infinity) == 0.0);
  CHECK(math::acosh_derivative(infinity, 1.0) == 0.0);
}

TEST_CASE("a NaN is handed on") {
  for (const double n : {1.0, 2.0, 3.0}) {
    CHECK(std::isnan(math::quotient(not_a_number, 1.0, n)));
    CHECK(std::isnan(math::cbrt_derivative(not_a_number, n)));
    CHECK(std::isnan(math::acosh_derivative(not_a_number, n)));
    CHECK(std::isnan(math::gaussian(not_a_number, n)));
    CHECK(std::isnan(math::gelu_derivative(not_a_number, n)));
    CHECK(std::isnan(math::silu_derivative(not_a_number, n)));
    CHECK(std::isnan(math::atan2_derivative(not_a_number, 1.0, n)));
    CHECK(std::isnan(math::hypot_derivative(1.0, not_a_number, n)));
  }
}
