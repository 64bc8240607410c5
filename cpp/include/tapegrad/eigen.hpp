// Values and traced numbers as scalars of Eigen's matrices: include it instead of <Eigen/Core>, or
// after it.
//
//   Eigen::MatrixX<tapegrad::Value> a = m.cast<tapegrad::Value>();
//   auto x = a.partialPivLu().solve(b);
//
// Plain doubles may stand beside them: double * matrix, matrix of double + matrix of Value.
//
// Zero(), Ones() and Constant() copy one number into all entries: of Values that is one variable,
// with one gradient. Variables of their own come of `cast`, as above, or of a loop.
#pragma once

#include <Eigen/Core>

#include "tapegrad/compact_tape.hpp"
#include "tapegrad/value.hpp"

namespace tapegrad::detail {

// A number that stands for a double, and costs as much as what is recorded of it.
template <class T>
struct EigenTraits : Eigen::GenericNumTraits<double> {
  using Real = T;
  using NonInteger = T;
  using Nested = T;
  using Literal = double;
  enum {
    IsInteger = 0,
    IsSigned = 1,
    IsComplex = 0,
    RequireInitialization = 1,
    ReadCost = 2,
    AddCost = 8,
    MulCost = 8
  };
  static T epsilon() { return std::numeric_limits<double>::epsilon(); }
  static T dummy_precision() { return Eigen::NumTraits<double>::dummy_precision(); }
  static T highest() { return (std::numeric_limits<double>::max)(); }
  static T lowest() { return std::numeric_limits<double>::lowest(); }
  static T infinity() { return std::numeric_limits<double>::infinity(); }
  static T quiet_NaN() { return std::numeric_limits<double>::quiet_NaN(); }
};

}  // namespace tapegrad::detail

namespace Eigen {

namespace internal {

// numext::abs2() deduces the type of its argument, which may be an expression.
template <tapegrad::Op code, class... Operands>
struct abs2_impl<tapegrad::Expression<code, Operands...>> {
  static tapegrad::Active run(const tapegrad::Active& x) { return x * x; }
};
template <tapegrad::Op code, class... Operands>
struct abs2_retval<tapegrad::Expression<code, Operands...>> {
  using type = tapegrad::Active;
};

}  // namespace internal

template <>
struct NumTraits<tapegrad::Value> : tapegrad::detail::EigenTraits<tapegrad::Value> {};
template <>
struct NumTraits<tapegrad::Active> : tapegrad::detail::EigenTraits<tapegrad::Active> {};

template <class BinaryOp>
struct ScalarBinaryOpTraits<tapegrad::Value, double, BinaryOp> {
  using ReturnType = tapegrad::Value;
};
template <class BinaryOp>
struct ScalarBinaryOpTraits<double, tapegrad::Value, BinaryOp> {
  using ReturnType = tapegrad::Value;
};
template <class BinaryOp>
struct ScalarBinaryOpTraits<tapegrad::Active, double, BinaryOp> {
  using ReturnType = tapegrad::Active;
};
template <class BinaryOp>
struct ScalarBinaryOpTraits<double, tapegrad::Active, BinaryOp> {
  using ReturnType = tapegrad::Active;
};

}  // namespace Eigen
