// The table of operations for use at run time: functions that record and evaluate by operation
// code.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include "tapegrad/detail/graph/tape.hpp"

namespace tapegrad {

namespace detail {

template <std::size_t K>
inline constexpr std::size_t arity = ops::descriptions[K].arity;
template <std::size_t K>
inline constexpr bool takes_constant = ops::descriptions[K].constant_last;

template <std::size_t K>
Index record_any(Tape& tape, std::span<const Argument> x) {
  constexpr Op code = static_cast<Op>(K);
  if constexpr (arity<K> == 2 || takes_constant<K>) return tape.record<code>(x[0], x[1]);
  else if constexpr (arity<K> == 1) return tape.record<code>(x[0].node);
  else return tape.record<code>(x);
}

template <std::size_t K>
double value_any(std::span<const double> x) {
  constexpr auto& e = std::get<K>(ops::table);
  if constexpr (arity<K> == 1 && takes_constant<K>) return e.value(x[0], x[1]);
  else if constexpr (arity<K> == 1) return e.value(x[0]);
  else if constexpr (arity<K> == 2) return e.value(x[0], x[1]);
  else if constexpr (arity<K> == 3) return e.value(x[0], x[1], x[2]);
  else return e.value(x);
}

// The partial by operand `k`. For the operand of a branch not taken it is 0 or, with `marked`, the
// NaN that is_absent() recognises.
template <std::size_t K, bool marked>
double partial_any(std::span<const double> x, double y, std::size_t k) {
  constexpr auto& e = std::get<K>(ops::table);
  const auto number = [](const auto& partial) -> double {
    if constexpr (marked) return stored(partial);
    else return partial;
  };
  if constexpr (arity<K> == 1 && takes_constant<K>) {
    return number(std::get<0>(e.partials)(x[0], x[1], y));
  } else if constexpr (arity<K> == 1) {
    return number(std::get<0>(e.partials)(x[0], y));
  } else if constexpr (arity<K> == 2) {
    return k == 0 ? number(std::get<0>(e.partials)(x[0], x[1], y))
                  : number(std::get<1>(e.partials)(x[0], x[1], y));
  } else if constexpr (arity<K> == 3) {
    if (k == 0) return number(std::get<0>(e.partials)(x[0], x[1], x[2], y));
    return k == 1 ? number(std::get<1>(e.partials)(x[0], x[1], x[2], y))
                  : number(std::get<2>(e.partials)(x[0], x[1], x[2], y));
  } else {
    return std::get<0>(e.partials)(x, y)(k);
  }
}

}  // namespace detail

// The functions of one operation, for callers that know the operation only at run time.
struct OperationFunctions {
  // Records a node. At least one argument must be a node; their number must match the operation.
  Index (*record)(Tape&, std::span<const Argument>);
  double (*value)(std::span<const double>);
  // partial() gives the partial by an operand, stored_partial() the number that a node stores for
  // it. They differ for a branch not taken: 0 and a number for which is_absent() is true.
  double (*partial)(std::span<const double>, double value, std::size_t operand);
  double (*stored_partial)(std::span<const double>, double value, std::size_t operand);
};

inline constexpr auto operation_functions = []<std::size_t... K>(std::index_sequence<K...>) {
  return std::array<OperationFunctions, ops::count>{
      OperationFunctions{detail::record_any<K>, detail::value_any<K>, detail::partial_any<K, false>,
                         detail::partial_any<K, true>}...};
}
(std::make_index_sequence<ops::count>());

inline void Tape::show_constants(Index i) {
  const Description* what = description(cell(i).op);
  if (what == nullptr || what->constant_last) return;
  std::vector<Operand> operands;
  append_operands(i, operands);
  std::vector<std::size_t> order(operands.size());  // position in the operation of each operand
  for (std::size_t k = 0; k < order.size(); ++k) order[k] = k;
  if (cell(i).flags & flag::constant_left && !has_list(i)) std::swap(order[0], order[1]);
  bool constant = false;
  std::vector<double> x(operands.size());
  for (std::size_t k = 0; k < operands.size(); ++k) {
    constant |= operands[k].node == no_node;
    x[order[k]] = operands[k].node == no_node ? operands[k].partial : cell(operands[k].node).primal;
  }
  if (!constant) return;
  const double y = cell(i).primal;
  // If the node is still pending, the sweep will pass its adjoint on to the new leaves.
  const double adjoint = link(i).operand[0] & pending_bit ? 0.0 : link(i).adjoint;
  for (std::size_t k = 0; k < operands.size(); ++k) {
    if (operands[k].node != no_node) continue;
    const Index node = leaf(operands[k].partial);
    const auto code = static_cast<std::size_t>(cell(i).op);
    operands[k] = {node, operation_functions[code].stored_partial(x, y, order[k])};
    if (adjoint != 0.0 && !is_absent(operands[k].partial))
      link(node).adjoint = operands[k].partial * adjoint;
    if (has_list(i)) {
      OperandList& own = own_list(i);
      own.nodes()[k] = node;
      own.numbers()[k] = operands[k].partial;
      own.flags |= cell(node).flags & flag::heritable;
    } else {
      // A node's constant is always its second operand. If it stands on the left, the two are
      // swapped.
      Link& l = link(i);
      l.operand[1] = node;
      partials(i)[1] = operands[k].partial;
      if (cell(i).flags & flag::constant_left) {
        const Index mark = l.operand[0] & pending_bit;  // of a sweep under way
        l.operand[0] ^= mark;
        std::swap(l.operand[0], l.operand[1]);
        l.operand[0] |= mark;
        std::swap(partials(i)[0], partials(i)[1]);
      }
      cell(i).flags &= static_cast<std::uint16_t>(~(flag::constant_left | flag::constant_right));
    }
  }
}

}  // namespace tapegrad
