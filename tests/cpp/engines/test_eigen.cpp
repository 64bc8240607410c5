// Both number types as scalars of Eigen's matrices: the derivatives of what Eigen computes.
#include <tapegrad/eigen.hpp>

#include <doctest/doctest.h>

#include <Eigen/LU>
#include <Eigen/QR>
#include <cstddef>
#include <functional>
#include <sstream>
#include <vector>

using tapegrad::Active;
using tapegrad::Value;

namespace {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;
template <class T>
using Vector = Eigen::Matrix<T, Eigen::Dynamic, 1>;

// The value and the gradient of f, by all elements of a matrix.
template <class F>
std::pair<double, Matrix<double>> differentiate_values(F f, const Matrix<double>& at) {
  const Matrix<Value> x = at.cast<Value>();
  const Value y = f(x);
  y.backward();
  return {y.data(), x.unaryExpr([](const Value& v) { return v.grad(); })};
}
template <class F>
std::pair<double, Matrix<double>> differentiate_traced(F f, const Matrix<double>& at) {
  tapegrad::CompactTape trace(1 << 16);
  Matrix<Active> x(at.rows(), at.cols());
  for (Eigen::Index k = 0; k < at.size(); ++k) x(k) = trace.input(at(k));
  const Active y = f(x);
  trace.backward(y);
  Matrix<double> slopes(at.rows(), at.cols());
  for (Eigen::Index k = 0; k < at.size(); ++k) slopes(k) = trace.adjoint(x(k));
  return {y.data(), slopes};
}

// f gives the same value of doubles, and its derivatives are differences of these.
template <class F>
void check(F f, const Matrix<double>& at) {
  Matrix<double> differences(at.rows(), at.cols());
  for (Eigen::Index k = 0; k < at.size(); ++k) {
    Matrix<double> above = at, below = at;
    above(k) += 1e-6;
    below(k) -= 1e-6;
    differences(k) = (f(above) - f(below)) / 2e-6;
  }
  for (const auto& [value, slopes] : {differentiate_values(f, at), differentiate_traced(f, at)}) {
    CHECK(value == doctest::Approx(f(at)).epsilon(1e-12));
    CHECK((slopes - differences).norm() <= 1e-7 * (1.0 + differences.norm()));
  }
}

Matrix<double> square() {
  Matrix<double> a(3, 3);
  a << 2.0, -1.0, 0.5, 0.25, 3.0, -2.0, 1.0, 0.75, -1.5;
  return a;
}

}  // namespace

TEST_CASE("products, sums and norms") {
  check([](const auto& x) { return (x * x.transpose() * x).sum(); }, square());
  check([](const auto& x) { return (x.array() * x.array().exp()).sum(); }, square());
  check([](const auto& x) { return x.norm() + x.squaredNorm(); }, square());
  check([](const auto& x) { return x.blueNorm() + x.stableNorm(); }, square());
  check([](const auto& x) { return x.col(0).dot(x.col(1)) * x.trace(); }, square());
}

TEST_CASE("doubles stand beside them") {
  const Matrix<double> m = square();
  check(
      [&](const auto& x) {
        using T = typename std::remove_cvref_t<decltype(x)>::Scalar;
        return T((m.cast<T>() * x + x * m.cast<T>()).sum());
      },
      square());
  check([&](const auto& x) { return (2.0 * x - x * 0.5 + m + x / 4.0).cwiseAbs().sum(); },
        square());
  check([](const auto& x) { return (x * x(0, 0)).sum(); }, square());
  check([&](const auto& x) { return x.cwiseProduct(m).sum() + m.cwiseProduct(x).sum(); }, square());
}

TEST_CASE("LU: solve, determinant, inverse") {
  const Vector<double> b = Eigen::Vector3d(1.0, -2.0, 0.5);
  check(
      [&](const auto& x) {
        using T = typename std::remove_cvref_t<decltype(x)>::Scalar;
        const Vector<T> right = b.cast<T>();
        const Vector<T> y = x.partialPivLu().solve(right);
        return T(y.sum() + y.squaredNorm());
      },
      square());
  check(
      [&](const auto& x) {
        using T = typename std::remove_cvref_t<decltype(x)>::Scalar;
        const Vector<T> right = b.cast<T>();
        return T(x.fullPivLu().solve(right).sum());
      },
      square());
  check([](const auto& x) { return x.determinant(); }, square());
  check([](const auto& x) { return x.inverse().sum(); }, square());
}

TEST_CASE("QR: least squares") {
  Matrix<double> tall(4, 2);
  tall << 1.0, 2.0, -1.0, 0.5, 3.0, 1.0, 0.25, -2.0;
  const Vector<double> b = Eigen::Vector4d(1.0, -2.0, 0.5, 3.0);
  const auto solved = [&](auto decomposed) {
    return [&b, decomposed](const auto& x) {
      using T = typename std::remove_cvref_t<decltype(x)>::Scalar;
      const Vector<T> right = b.cast<T>();
      return T(decomposed(x).solve(right).sum());
    };
  };
  check(solved([](const auto& x) { return x.householderQr(); }), tall);
  check(solved([](const auto& x) { return x.colPivHouseholderQr(); }), tall);
}

TEST_CASE("a matrix is written like one of doubles") {
  std::ostringstream ours, theirs;
  ours << square().cast<Value>().eval();
  theirs << square();
  CHECK(ours.str() == theirs.str());
}
