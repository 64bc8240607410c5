// Where a sparse matrix has nonzeros.
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

// For each row the columns of its nonzeros, sorted.
struct Pattern {
  std::size_t columns = 0;
  std::vector<std::size_t> starts{0};  // rows + 1
  std::vector<std::uint32_t> indices;

  std::size_t rows() const noexcept { return starts.size() - 1; }
  std::span<const std::uint32_t> row(std::size_t i) const noexcept {
    return {indices.data() + starts[i], starts[i + 1] - starts[i]};
  }

  // To color its columns is to color this one's rows, for reverse sweeps.
  Pattern transposed() const;

  // Throws std::invalid_argument where it is no pattern, or its rows are not sorted.
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
