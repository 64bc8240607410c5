// Sparse derivatives of a range of a recording: the pattern of possible nonzeros, and their values
// from as few sweeps as a colouring of the pattern allows.
//
// A sweep over the recording propagates, for each number, the set of inputs that it depends on:
// Griewank & Walther, "Evaluating Derivatives", 2nd ed., SIAM 2008, section 7.1.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "tapegrad/detail/ir/derivative.hpp"
#include "tapegrad/detail/sparse/coloring.hpp"
#include "tapegrad/detail/sparse/pattern.hpp"

namespace tapegrad {

namespace detail {

// The sorted inputs that a number depends on; null for none. Numbers with equal sets may share one.
using Dependence = std::shared_ptr<std::vector<std::uint32_t>>;

// Adds `more` to the set `into`. It inserts the smaller set into the larger one, in place if no
// other number shares that. A sum of n terms therefore costs n insertions, not n copies.
inline void join(Dependence& into, Dependence more) {
  if (more == nullptr || more == into) return;
  if (into == nullptr || into->size() < more->size()) std::swap(into, more);
  if (more == nullptr || *into == *more) return;
  std::vector<std::uint32_t> missing;
  auto at = into->begin();
  for (const std::uint32_t input : *more) {
    at = std::lower_bound(at, into->end(), input);
    if (at == into->end() || *at != input) missing.push_back(input);
  }
  if (missing.empty()) return;
  if (into.use_count() > 1) into = std::make_shared<std::vector<std::uint32_t>>(*into);
  const auto size = static_cast<std::ptrdiff_t>(into->size());
  into->insert(into->end(), missing.begin(), missing.end());
  const auto middle = into->begin() + size;
  std::inplace_merge(std::lower_bound(into->begin(), middle, missing.front()), middle, into->end());
}

// The sets of all numbers of a range. A set lives until the last use of its number.
class Dependences {
 public:
  Dependences(const ActiveRange& range, std::span<const ValueId> outputs)
      : range_(range), uses_(range.end() - range.begin()), sets_(uses_.size()) {
    for (const ValueId output : outputs)
      if (range.varies(output)) last_use(output) = no_value;
    for (ValueId i = range.end(); i-- > range.from();)
      if (last_use(i) != 0)
        each_operand(i, [&](ValueId operand) {
          if (last_use(operand) == 0) last_use(operand) = i;
        });
  }

  // Declares the number at `place` to be the given input.
  void add_input(ValueId place, std::uint32_t input) {
    if (!range_.varies(place) || last_use(place) == 0) return;
    join(set(place), std::make_shared<std::vector<std::uint32_t>>(1, input));
  }

  // Propagates the sets through the range.
  void run() {
    const Recording& recording = range_.recording();
    ValueId group = no_value;
    Dependence of_group;
    for (ValueId i = range_.from(); i < range_.end(); ++i) {
      if (last_use(i) == 0) continue;
      if (const Instruction& at = recording[i]; at.op == Op::custom) {
        // All outputs of a rule depend on all its operands.
        if (std::exchange(group, at.operand[0]) != at.operand[0]) {
          of_group = nullptr;
          each_operand(i, [&](ValueId operand) { join(of_group, set(operand)); });
        }
        join(set(i), of_group);
      } else {
        each_operand(i, [&](ValueId operand) {
          join(set(i), last_use(operand) == i ? std::move(set(operand)) : set(operand));
        });
      }
    }
  }

  // The inputs that number `i` depends on, for inputs and outputs after run().
  std::span<const std::uint32_t> of(ValueId i) const {
    if (!range_.varies(i)) return {};
    const Dependence& inputs = sets_[i - range_.begin()];
    if (inputs == nullptr) return {};
    return *inputs;
  }

 private:
  ValueId& last_use(ValueId i) { return uses_[i - range_.begin()]; }
  Dependence& set(ValueId i) { return sets_[i - range_.begin()]; }

  // Calls visit(operand) for each operand that varies, except one by which the table's partial is
  // always 0.
  template <class Visit>
  void each_operand(ValueId i, Visit visit) const {
    const Instruction& at = range_.recording()[i];
    if (at.op == Op::custom) {
      for (const ValueId operand : range_.recording().groups()[at.operand[0]].operands)
        if (range_.varies(operand)) visit(operand);
    } else if (at.op != Op::leaf) {
      std::array<ValueId, 3> found;
      const std::size_t count = finders[static_cast<std::size_t>(at.op)](range_, i, found.data());
      for (std::size_t k = 0; k < count; ++k) visit(found[k]);
    }
  }

  template <std::size_t K>
  static std::size_t find(const ActiveRange& range, ValueId i, ValueId* found) {
    std::size_t count = 0;
    each_partial<double, static_cast<Op>(K)>(
        range, i, [&](std::size_t, ValueId operand, const auto&) { found[count++] = operand; });
    return count;
  }

  static constexpr auto finders = []<std::size_t... K>(std::index_sequence<K...>) {
    return std::array<std::size_t (*)(const ActiveRange&, ValueId, ValueId*), sizeof...(K)>{
        find<K>...};
  }
  (std::make_index_sequence<ops::count>());

  const ActiveRange& range_;
  std::vector<ValueId> uses_;  // last user of each number; no_value for an output, 0 for none
  std::vector<Dependence> sets_;
};

}  // namespace detail

// The pattern of the Jacobian: for each output, a row with the inputs that it depends on. The row
// of an output outside the range, such as no_value, is empty.
inline Pattern jacobian_pattern(const ActiveRange& range, std::span<const ValueId> inputs,
                                std::span<const ValueId> outputs) {
  detail::Dependences dependences(range, outputs);
  for (std::size_t k = 0; k < inputs.size(); ++k)
    dependences.add_input(inputs[k], static_cast<std::uint32_t>(k));
  dependences.run();
  Pattern pattern{inputs.size(), {0}, {}};
  for (const ValueId output : outputs) {
    const auto row = dependences.of(output);
    pattern.indices.insert(pattern.indices.end(), row.begin(), row.end());
    pattern.starts.push_back(pattern.indices.size());
  }
  return pattern;
}

// The union of a square pattern and its transpose.
inline Pattern symmetrized(const Pattern& pattern) {
  const Pattern transposed = pattern.transposed();
  Pattern result{pattern.columns, {0}, {}};
  for (std::size_t i = 0; i < pattern.rows(); ++i) {
    const auto row = pattern.row(i), column = transposed.row(i);
    std::set_union(row.begin(), row.end(), column.begin(), column.end(),
                   std::back_inserter(result.indices));
    result.starts.push_back(result.indices.size());
  }
  return result;
}

// A plan to compute the nonzeros of a pattern. In forward mode the inputs of one colour share a
// direction; in reverse mode the outputs of one colour share a sweep.
struct Compression {
  // The location of a nonzero: the sweep of `color` gives it at output `number` or, in reverse
  // mode, at input `number`.
  struct Entry {
    std::uint32_t number, color;
  };

  Pattern pattern;
  bool forward = true;
  Coloring coloring;           // of the inputs or, in reverse mode, of the outputs
  std::vector<Entry> entries;  // in the order of the pattern's nonzeros
};

// The plan in forward mode, by a colouring of the columns.
inline Compression compress_columns(Pattern pattern) {
  Compression result{std::move(pattern), true, {}, {}};
  const Pattern& p = result.pattern;
  result.coloring = color_columns(p);
  for (std::uint32_t i = 0; i < p.rows(); ++i)
    for (const std::uint32_t j : p.row(i)) result.entries.push_back({i, result.coloring.color[j]});
  if (p.indices.empty()) result.coloring.count = 0;
  return result;
}

// The plan in reverse mode, by a colouring of the rows.
inline Compression compress_rows(Pattern pattern) {
  Compression result{std::move(pattern), false, {}, {}};
  const Pattern& p = result.pattern;
  result.coloring = color_columns(p.transposed());
  for (std::uint32_t i = 0; i < p.rows(); ++i)
    for (const std::uint32_t j : p.row(i)) result.entries.push_back({j, result.coloring.color[i]});
  if (p.indices.empty()) result.coloring.count = 0;
  return result;
}

// The plan that needs fewer sweeps. If both need equally many, it is the plan for the shorter rows
// or columns.
inline Compression compress(Pattern pattern) {
  const auto longest = [](const Pattern& p) {
    std::size_t most = 0;
    for (std::size_t i = 0; i < p.rows(); ++i) most = (std::max)(most, p.row(i).size());
    return most;
  };
  // A colouring of the columns needs at least as many colours as the longest row has nonzeros, and
  // takes long to find if those are many.
  const std::size_t forward = longest(pattern), reverse = longest(pattern.transposed());
  const auto in = [&](bool columns) {
    return columns ? compress_columns(pattern) : compress_rows(pattern);
  };
  Compression best = in(forward <= reverse);
  if (best.coloring.count <= (std::max)(forward, reverse)) return best;
  Compression other = in(forward > reverse);
  return other.coloring.count < best.coloring.count ? other : best;
}

// The plan for a symmetric matrix, by a colouring of its columns: it reads each entry or its mirror
// image. Throws std::invalid_argument if the pattern is not symmetric.
inline Compression compress_symmetric(Pattern pattern) {
  Compression result{std::move(pattern), true, {}, {}};
  result.coloring = color_symmetric(result.pattern);
  for (const auto& [row, color] : recover_symmetric(result.pattern, result.coloring))
    result.entries.push_back({row, color});
  if (result.pattern.indices.empty()) result.coloring.count = 0;
  return result;
}

// A `watch` for nonzeros() that does nothing.
struct Unwatched {
  void operator()(const auto&, std::size_t) const noexcept {}
};

// The derivatives of the outputs by the inputs at the nonzeros of the pattern, in its order. It
// runs the sweeps of the plan, over numbers or, with Symbols, recorded. After each sweep it calls
// watch(sweep, n), where n is the number of directions or, in reverse mode, the colour.
template <class Number, class Watch = Unwatched>
std::vector<Number> nonzeros(const ActiveRange& range, std::span<const ValueId> inputs,
                             std::span<const ValueId> outputs, const Compression& compression,
                             Watch watch = {}) {
  constexpr std::size_t together = 8;  // forward directions: their tangents fit in the cache
  const auto& entries = compression.entries;
  const auto& color = compression.coloring.color;
  const std::size_t count = compression.coloring.count;

  // Entries sorted by colour: those of colour c begin at begin[c].
  std::vector<std::size_t> begin(count + 1), order(entries.size());
  for (const auto& entry : entries) ++begin[entry.color + 1];
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  std::vector<std::size_t> next(begin.begin(), begin.end() - 1);
  for (std::size_t k = 0; k < entries.size(); ++k) order[next[entries[k].color]++] = k;

  std::vector<Number> result(entries.size());
  const auto read = [&](std::size_t c, auto number) {
    for (std::size_t k = begin[c]; k < begin[c + 1]; ++k)
      result[order[k]] = number(entries[order[k]].number);
  };
  if (compression.forward) {
    for (std::size_t first = 0; first < count; first += together) {
      const std::size_t directions = (std::min)(together, count - first);
      ForwardSweep<Number> sweep(range, directions);
      for (std::size_t j = 0; j < inputs.size(); ++j)
        if (color[j] >= first && color[j] < first + directions)
          sweep.seed(inputs[j], color[j] - first, 1.0);
      sweep.run();
      watch(std::as_const(sweep), directions);
      for (std::size_t d = 0; d < directions; ++d)
        read(first + d, [&](std::uint32_t i) { return sweep.tangent(outputs[i], d); });
    }
  } else {
    for (std::size_t c = 0; c < count; ++c) {
      ReverseSweep<Number> sweep(range);
      for (std::size_t i = 0; i < outputs.size(); ++i)
        if (color[i] == c) sweep.seed(outputs[i], 1.0);
      sweep.run();
      watch(std::as_const(sweep), c);
      read(c, [&](std::uint32_t j) { return sweep.adjoint(inputs[j]); });
    }
  }
  return result;
}

}  // namespace tapegrad
