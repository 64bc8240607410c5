// Value and Active as scalar types of Eigen's matrices. This header includes <Eigen/Core>.
//
//   #include <tapegrad/eigen.hpp>
//   #include <Eigen/LU>
//
//   // m: Eigen::MatrixXd, b: Eigen::VectorX<tapegrad::Value>
//   Eigen::MatrixX<tapegrad::Value> a = m.cast<tapegrad::Value>();
//   Eigen::VectorX<tapegrad::Value> x = a.partialPivLu().solve(b);
//
// A plain double can be an operand of such a matrix, as in 2.0 * a. Coefficient-wise operations
// also take a matrix of doubles, as in m + a.
//
// Zero(), Ones() and Constant() copy one scalar into all entries. The entries of a matrix of Values
// are then one variable with one gradient. For separate variables use cast(), as above, or a loop.
#pragma once

#include <Eigen/Core>

#include "tapegrad/compact_tape.hpp"
#include "tapegrad/value.hpp"

namespace tapegrad::detail {

// The Eigen::NumTraits of T, a type that stands for a double. The costs are estimates for an
// operation that is recorded.
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

// numext::abs2() of an expression. The function deduces its scalar type from its argument, which is
// the expression and not the Active that it becomes.
template <tapegrad::Op code, class... Operands>
struct abs2_impl<tapegrad::Expression<code, Operands...>> {
  static tapegrad::Active run(const tapegrad::Active& x) { return x * x; }
};
template <tapegrad::Op code, class... Operands>
struct abs2_retval<tapegrad::Expression<code, Operands...>> {
  using type = tapegrad::Active;
};

}  // namespace internal

/// Makes Value a scalar type of Eigen's matrices.
template <>
struct NumTraits<tapegrad::Value> : tapegrad::detail::EigenTraits<tapegrad::Value> {};
/// Makes Active a scalar type of Eigen's matrices.
template <>
struct NumTraits<tapegrad::Active> : tapegrad::detail::EigenTraits<tapegrad::Active> {};

// Operations of a recorded number and a double, in either order, give a recorded number.
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
