// Known digits are mpmath's (1.3.0, 40 digits, at the double nearest to the argument as written).
#include <tapegrad/detail/ops/math.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace math = tapegrad::math;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

using Known = std::vector<std::pair<double, double>>;

// Relative accuracy, in the tails as well: 4.5e-16 is two units in the last place of 1.
template <class Function>
void check(Function function, const Known& known, double relative = 9e-16) {
  for (const auto& [x, expected] : known) {
    const double argument = x, value = function(x);
    CAPTURE(argument);
    CAPTURE(value);
    CHECK(std::fabs(value - expected) <= relative * std::fabs(expected));
  }
}

}  // namespace

TEST_CASE("digamma of positive numbers") {
  check(math::digamma,
        {{0.001, -1000.5755719318102797},
         {0.5, -1.9635100260214234794},
         {1, -0.57721566490153286061},
         {2.5, 0.70315664064524318723},
         {9.99, 2.250700372831201122},
         {10, 2.2517525890667211076},
         {100, 4.6001618527380874002},
         {1e10, 23.02585092989045684},
         {1e300, 690.77552789821370526}},
        4e-15);
  // Its root, where only the absolute error can be small.
  CHECK(std::fabs(math::digamma(1.4616321449683623)) < 5e-16);
}

TEST_CASE("digamma of negative numbers") {
  check(math::digamma,
        {{-0.5, 0.036489973978576520559},
         {-1.5, 0.70315664064524318723},
         {-2.75, -1.9590552649779970098},
         {-10.1, 12.03005224854830926},
         {-100.25, 7.7542389592086454484}},
        5e-14);
}

TEST_CASE("digamma beside its poles") {
  check(math::digamma,
        {{1e-300, -1e300},
         {-1e-300, 1e300},
         {-1e-20, 1.0000000000000000548e+20},
         {-1e-10, 9999999999.4227839706},
         {-1e-5, 99999.422767885629412},
         {-0.9999999, -9999999.5824789588889},
         {-1.0000001, 10000000.41694539884},
         {-3.000001, 1000001.2559748844196}},
        1e-14);
}

TEST_CASE("digamma at the ends") {
  // As torch.digamma (2.13) has it.
  CHECK(math::digamma(0.0) == -infinity);
  CHECK(math::digamma(-0.0) == infinity);
  CHECK(std::isnan(math::digamma(-3.0)));
  CHECK(math::digamma(infinity) == infinity);
  CHECK(std::isnan(math::digamma(-infinity)));
  CHECK(std::isnan(math::digamma(not_a_number)));
}

TEST_CASE("sigmoid keeps its digits in both tails") {
  check(math::sigmoid, {{-700, 9.8596765437597708567e-305},
                        {-100, 3.720075976020835963e-44},
                        {-40, 4.2483542552915889773e-18},
                        {-1, 0.26894142136999512075},
                        {0, 0.5},
                        {1, 0.73105857863000487925},
                        {40, 0.99999999999999999575}});
  CHECK(math::sigmoid(-infinity) == 0.0);
  CHECK(math::sigmoid(infinity) == 1.0);
  CHECK(std::isnan(math::sigmoid(not_a_number)));
}

TEST_CASE("the slope of sigmoid keeps its digits in both tails") {
  check(math::sigmoid_slope, {{-700, 9.8596765437597708567e-305},
                              {-40, 4.2483542552915889592e-18},
                              {-1, 0.19661193324148185254},
                              {0, 0.25},
                              {1, 0.19661193324148185254},
                              {40, 4.2483542552915889592e-18},
                              {700, 9.8596765437597708567e-305}});
  CHECK(math::sigmoid_slope(infinity) == 0.0);
  CHECK(std::isnan(math::sigmoid_slope(not_a_number)));
}

TEST_CASE("softplus never overflows and keeps its digits in the lower tail") {
  check(math::softplus, {{-700, 9.8596765437597708567e-305},
                         {-40, 4.2483542552915889863e-18},
                         {-1, 0.31326168751822283405},
                         {0, 0.69314718055994530942},
                         {1, 1.313261687518222834},
                         {40, 40.000000000000000004},
                         {700, 700.0}});
  CHECK(math::softplus(1e308) == 1e308);
  CHECK(math::softplus(infinity) == infinity);
  CHECK(math::softplus(-infinity) == 0.0);
  CHECK(std::isnan(math::softplus(not_a_number)));
}

TEST_CASE("the slope of tanh does not cancel where tanh saturates") {
  const auto slope = [](double x) { return math::tanh_slope(x, std::tanh(x)); };
  check(slope,
        {{-350, 3.9438706175039083427e-304},
         {-20, 1.6993417021166355837e-17},
         {-2, 0.070650824853164465686},
         {-1.5, 0.1807066389236485306},
         {-1.4, 0.21615245902553724112},
         {0, 1.0},
         {0.5, 0.78644773296592741015},
         {1.4, 0.21615245902553724112},
         {1.5, 0.1807066389236485306},
         {2, 0.070650824853164465686},
         {20, 1.6993417021166355837e-17},
         {350, 3.9438706175039083427e-304}},
        // Below 0.9 the rounding of tanh itself is amplified up to ninefold.
        2e-15);
  CHECK(slope(infinity) == 0.0);
  CHECK(slope(-infinity) == 0.0);
  CHECK(std::isnan(slope(not_a_number)));
}

TEST_CASE("the normal distribution function keeps its lower tail") {
  // The argument's own rounding is amplified by its square.
  const auto cdf = [](double x) { return math::normal_cdf(x); };
  check(cdf, {{-10, 7.619853024160526066e-24}}, 1e-14);
  check(cdf, {{-1, 0.15865525393145705141},
              {0, 0.5},
              {1, 0.84134474606854294859},
              {8, 0.9999999999999993779}});
  CHECK(math::normal_cdf(-38) > 0.0);
  CHECK(math::normal_pdf(0) == doctest::Approx(0.39894228040143267794).epsilon(1e-15));
}

TEST_CASE("lgamma is that of the absolute value of gamma") {
  check(math::lgamma,
        {{0.5, 0.57236494292470008707},
         {10, 12.801827480081469611},
         {-0.5, 1.2655121234846453965},
         {-2.5, -0.056243716497674050673},
         {1e10, 220258509288.81058147}},
        4e-15);
  CHECK(math::lgamma(0.0) == infinity);
  CHECK(math::lgamma(-1.0) == infinity);
}

TEST_CASE("a power with a plain exponent agrees with pow") {
  for (const double n : {-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 10.0})
    for (const double x : {0.1, 0.9, 1.0, 3.7, 1e5}) {
      CAPTURE(n);
      CAPTURE(x);
      CHECK(math::power(x, n) == doctest::Approx(std::pow(x, n)).epsilon(1e-15));
    }
  CHECK(math::power(1e155, -2.0) == doctest::Approx(1e-310).epsilon(1e-13));
  CHECK(math::power(-2.0, 3.0) == -8.0);
  CHECK(math::power(0.0, -1.0) == infinity);
  CHECK(std::isnan(math::power(-2.0, 0.5)));
  CHECK(math::power(not_a_number, 0.0) == 1.0);
}

TEST_CASE("polygamma is the derivative of digamma of any order, on both sides of 0") {
  // mpmath's digits
  check([](double x) { return math::polygamma(x, 1.0); },
        {{0.05, 401.53235734211511931}, {3, 0.39493406684822643647}, {-5.7, 14.918469917911336783}},
        1e-14);
  check([](double x) { return math::polygamma(x, 4.0); },
        {{0.5, -771.4742498266672252}, {30, -7.914941340181024e-06}}, 1e-14);
  CHECK(math::polygamma(0.75, 0.0) == math::digamma(0.75));
  CHECK(math::polygamma(infinity, 2.0) == 0.0);
  CHECK(std::isnan(math::polygamma(-2.0, 1.0)));
}

TEST_CASE("remainder and floor_quotient are Python's % and //") {
  for (const double x : {7.5, -7.5, 1.0, 0.0, -0.0, 5.3, 1e17})
    for (const double y : {2.0, -2.0, 0.1, -0.1, 3.7}) {
      CAPTURE(x);
      CAPTURE(y);
      const double rest = math::remainder(x, y), quotient = math::floor_quotient(x, y);
      CHECK(std::signbit(rest) == std::signbit(y));
      CHECK(std::fabs(rest) <= std::fabs(y));
      CHECK(quotient == std::floor(quotient));
      CHECK(std::fabs(quotient * y + rest - x) <= 4e-16 * std::fabs(x));
    }
  CHECK(math::floor_quotient(1.0, 0.1) == 9.0);
  CHECK(math::floor_quotient(-1.9417955261286604e16, 4.75) == -4087990581323496.0);
  CHECK(math::remainder(5.0, infinity) == 5.0);
  CHECK(math::remainder(-5.0, infinity) == infinity);
  CHECK(math::floor_quotient(-5.0, infinity) == -1.0);
  CHECK(std::isnan(math::remainder(5.0, 0.0)));
}
