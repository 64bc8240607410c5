// tapegrad::Pattern, the sparsity pattern of a matrix.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "tapegrad/detail/base/platform.hpp"

namespace tapegrad {

/// The sparsity pattern of a matrix in compressed sparse row (CSR) format, without values.
///
///     // 1 1 .
///     // . . 1
///     const tapegrad::Pattern pattern{3, {0, 2, 3}, {0, 1, 2}};
///
/// The members are free to change. Functions that take a Pattern call check() or say what they
/// assume.
struct Pattern {
  /// The number of columns.
  std::size_t columns = 0;
  /// The position in `indices` at which each row starts, and the count of nonzeros at the end: one
  /// number more than there are rows.
  std::vector<std::size_t> starts{0};
  /// The column of each nonzero, row by row. The columns of a row increase strictly.
  std::vector<std::uint32_t> indices;

  /// Returns the number of rows. `starts` must not be empty.
  std::size_t rows() const noexcept { return starts.size() - 1; }
  /// Returns the columns of the nonzeros of row i, which must be below rows(). The span is valid
  /// until the pattern changes.
  std::span<const std::uint32_t> row(std::size_t i) const noexcept {
    return {indices.data() + starts[i], starts[i + 1] - starts[i]};
  }

  /// Returns the pattern of the transposed matrix. A colouring of its columns is one of the rows of
  /// this pattern, for reverse sweeps. Throws std::invalid_argument if check() does.
  Pattern transposed() const;

  /// Checks the members. Throws std::invalid_argument if `starts` does not lead from 0 to the count
  /// of indices without decreasing, if the columns of a row do not increase strictly or are not
  /// below `columns`, or if there are more than 2**32 - 1 rows or columns.
  void check() const;
};

inline void Pattern::check() const {
  const auto fail = [](const std::string& what) {
    throw std::invalid_argument("pattern: " + what);
  };
  constexpr std::size_t most = (std::numeric_limits<std::uint32_t>::max)();
  if (starts.empty() || starts.front() != 0 || starts.back() != indices.size())
    fail("starts must begin with 0 and end with the number of indices");
  if (rows() > most || columns > most)
    fail("more than " + std::to_string(most) + " rows or columns");
  if (!std::is_sorted(starts.begin(), starts.end())) fail("starts must not decrease");
  for (std::size_t i = 0; i < rows(); ++i) {
    const auto row = this->row(i);
    if (std::adjacent_find(row.begin(), row.end(), std::greater_equal<>()) != row.end())
      fail("row " + std::to_string(i) + " is not sorted, or has a column twice");
    if (!row.empty() && row.back() >= columns)
      fail("row " + std::to_string(i) + " has column " + std::to_string(row.back()) + " of " +
           std::to_string(columns));
  }
}

inline Pattern Pattern::transposed() const {
  check();
  Pattern result{rows(), std::vector<std::size_t>(columns + 1), {}};
  result.indices.resize(indices.size());
  for (const std::uint32_t j : indices) ++result.starts[j + 1];
  std::partial_sum(result.starts.begin(), result.starts.end(), result.starts.begin());
  std::vector<std::size_t> next(result.starts.begin(), result.starts.end() - 1);
  for (std::size_t i = 0; i < rows(); ++i)
    for (const std::uint32_t j : row(i)) result.indices[next[j]++] = static_cast<std::uint32_t>(i);
  return result;
}

}  // namespace tapegrad
