// Colouring of sparse Jacobians and Hessians. One sweep differentiates all columns of a colour
// together. Each entry is read from the compressed product of the matrix with the seed matrix,
// which has seed(j, color[j]) = 1 and zeros elsewhere.
//
// Curtis, Powell & Reid 1974; Coleman & Moré 1983 (Jacobians) and 1984 (Hessians); Gebremedhin,
// Manne & Pothen, "What color is your Jacobian?", SIAM Review 47(4), 2005. Finding the fewest
// colours is NP-hard. The functions colour greedily in several orders and keep the best result;
// they stop early when it reaches a lower bound.
//
// Time is at most proportional to the sum over the rows of the squared row size, and memory to the
// count of nonzeros. A row of m nonzeros thus costs color_columns() m^2 steps (none if the row is
// full) and m colours: leave such rows to the reverse sweep. In color_symmetric() it costs m steps
// for each colour.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tapegrad/detail/sparse/pattern.hpp"

namespace tapegrad {

/// A colouring of the columns of a matrix.
struct Coloring {
  /// The colour of each column, below `count`. A column without nonzeros has the colour 0.
  std::vector<std::uint32_t> color;
  /// The number of colours, which is the number of columns of the seed matrix.
  std::uint32_t count = 0;
};

// The algorithms and data structures behind the functions at the end of this file. They assume
// patterns that pass Pattern::check().
namespace coloring {

/// The index of a vertex: a column of the pattern.
using Vertex = std::uint32_t;
/// The index of a colour.
using Color = std::uint32_t;
/// One number for each vertex, or vertices in some order.
using Vertices = std::vector<Vertex>;

/// The colour of a vertex that has none yet.
inline constexpr Color uncolored = (std::numeric_limits<Color>::max)();

/// The column intersection graph of a pattern: its vertices are the columns, and two columns are
/// neighbours if a row has nonzeros in both. It refers to the patterns, which must outlive it.
class ColumnGraph {
 public:
  /// Creates the graph of a pattern, given its transposed pattern as well.
  ColumnGraph(const Pattern& pattern, const Pattern& transposed)
      : pattern_(pattern), transposed_(transposed), seen_(pattern.columns, 0) {}

  /// Returns the number of vertices.
  std::size_t size() const noexcept { return pattern_.columns; }

  /// Calls visit(w) once for each neighbour w of v. Calls must not nest.
  template <class Visit>
  void each_neighbor(Vertex v, Visit visit) {
    seen_[v] = ++visits_;
    for (const std::uint32_t i : transposed_.row(v))
      for (const Vertex w : pattern_.row(i))
        if (std::exchange(seen_[w], visits_) != visits_) visit(w);
  }

 private:
  const Pattern& pattern_;
  const Pattern& transposed_;
  std::vector<std::size_t> seen_;
  std::size_t visits_ = 0;
};

/// The adjacency graph of a symmetric pattern: a vertex is a row and the column of the same index,
/// and two vertices are neighbours if the pattern has a nonzero there. Loops, from the diagonal,
/// are ignored. It refers to the pattern, which must outlive it.
class AdjacencyGraph {
 public:
  /// Creates the graph of a symmetric pattern.
  explicit AdjacencyGraph(const Pattern& pattern) : pattern_(pattern) {}

  /// Returns the number of vertices.
  std::size_t size() const noexcept { return pattern_.columns; }

  /// Calls visit(w) once for each neighbour w of v.
  template <class Visit>
  void each_neighbor(Vertex v, Visit visit) const {
    for (const Vertex w : pattern_.row(v))
      if (w != v) visit(w);
  }

 private:
  const Pattern& pattern_;
};

/// Returns the number of neighbours of each vertex.
template <class Graph>
Vertices degrees(Graph& graph) {
  Vertices degree(graph.size());
  for (Vertex v = 0; v < degree.size(); ++v) graph.each_neighbor(v, [&](Vertex) { ++degree[v]; });
  return degree;
}

/// Returns the vertices in the order of their indices.
inline Vertices natural_order(std::size_t size) {
  Vertices order(size);
  std::iota(order.begin(), order.end(), Vertex{0});
  return order;
}

/// Vertices sorted by degree, the smallest first, by counting sort.
struct Buckets {
  /// Sorts the vertices by these degrees.
  explicit Buckets(const Vertices& degree)
      : begin(degree.empty() ? 1 : *std::max_element(degree.begin(), degree.end()) + 2),
        order(degree.size()) {
    for (const Vertex d : degree) ++begin[d + 1];
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    std::vector<std::size_t> next = begin;
    for (Vertex v = 0; v < degree.size(); ++v) order[next[degree[v]]++] = v;
  }

  /// For each degree d the position in `order` of the first vertex of that degree.
  std::vector<std::size_t> begin;
  /// The sorted vertices.
  Vertices order;
};

/// Returns the vertices by degree, the largest first (Welsh & Powell 1967).
inline Vertices largest_first(const Vertices& degree) {
  Vertices order = Buckets(degree).order;
  std::reverse(order.begin(), order.end());
  return order;
}

/// Returns the vertices in smallest-last order (Matula & Beck 1983): repeatedly removes a vertex
/// with the fewest neighbours among those that are left, and puts it before the vertices removed
/// earlier.
///
/// Greedy colouring in this order gives neighbours different colours with at most d + 1 colours,
/// where d is the largest number of neighbours that a vertex had at its removal. That is the fewest
/// possible for a chordal graph, such as the column intersection graph of a banded matrix.
template <class Graph>
Vertices smallest_last(Graph& graph, Vertices degree) {
  Buckets buckets(degree);
  Vertices& order = buckets.order;
  std::vector<std::size_t> place(order.size());
  for (std::size_t k = 0; k < order.size(); ++k) place[order[k]] = k;
  for (std::size_t k = 0; k < order.size(); ++k) {
    const Vertex v = order[k];
    graph.each_neighbor(v, [&](Vertex w) {
      if (degree[w] <= degree[v]) return;
      // The first of its bucket becomes the last of the one below.
      const std::size_t from = place[w], to = buckets.begin[degree[w]--]++;
      std::swap(order[from], order[to]);
      place[order[from]] = from;
      place[order[to]] = to;
    });
  }
  std::reverse(order.begin(), order.end());
  return std::move(order);
}

/// The colours in use, and those of them that are forbidden to the current vertex.
class Palette {
 public:
  /// Starts with the next vertex: no colour is forbidden to it.
  void begin_vertex() noexcept {
    ++vertices_;
    open_ = forbidden_.size();
  }
  /// Forbids a colour in use to the current vertex.
  void forbid(Color color) noexcept {
    if (std::exchange(forbidden_[color], vertices_) != vertices_) --open_;
  }
  /// Returns whether a colour in use is still allowed. If none is, take() adds a new colour, and
  /// forbidding more has no effect.
  bool open() const noexcept { return open_ > 0; }
  /// Returns the smallest allowed colour, a new one if every colour in use is forbidden.
  Color take() {
    const auto allowed = [&](std::size_t vertex) { return vertex != vertices_; };
    const auto found = open() ? std::find_if(forbidden_.begin(), forbidden_.end(), allowed)
                              : forbidden_.insert(forbidden_.end(), vertices_);
    return static_cast<Color>(found - forbidden_.begin());
  }
  /// Returns the number of colours in use.
  Color count() const noexcept { return static_cast<Color>(forbidden_.size()); }

 private:
  std::vector<std::size_t> forbidden_;  // per colour, number of the last vertex it is forbidden to
  std::size_t vertices_ = 0;
  std::size_t open_ = 0;
};

/// Returns a greedy partial distance-2 colouring of the columns in this order (Gebremedhin, Manne &
/// Pothen 2005, section 3), or nothing if it needs `limit` colours or more.
inline std::optional<Coloring> greedy_columns(const Pattern& pattern, const Pattern& transposed,
                                              const Vertices& order, Color limit) {
  std::vector<Color> color(pattern.columns, uncolored);
  Palette palette;
  const auto forbid_row = [&](std::size_t i) {
    for (const Vertex w : pattern.row(i)) {
      if (color[w] == uncolored) continue;
      palette.forbid(color[w]);
      if (!palette.open()) return;
    }
  };
  for (const Vertex v : order) {
    palette.begin_vertex();
    for (const std::uint32_t i : transposed.row(v)) {
      if (!palette.open()) break;
      forbid_row(i);
    }
    color[v] = palette.take();
    if (palette.count() >= limit) return std::nullopt;
  }
  return Coloring{std::move(color), palette.count()};
}

/// The colours among the neighbours of each vertex. In a star colouring, the vertices of two
/// colours form stars: a vertex with several neighbours of one colour is the hub of a star, and
/// these neighbours are its leaves.
class Neighborhoods {
 public:
  /// A colour among the neighbours of a vertex.
  struct ColoredNeighbor {
    Color color;   ///< The colour.
    Vertex first;  ///< The first neighbour that got the colour.
    bool many;     ///< Whether several neighbours have it, so that the vertex is their hub.
    bool leaf;     ///< Whether the neighbour is a hub and the vertex one of its leaves.
  };

  /// Starts with no vertex coloured. Refers to the pattern, which must outlive this object.
  explicit Neighborhoods(const Pattern& pattern)
      : pattern_(pattern), sizes_(pattern.columns), entries_(pattern.indices.size()) {}

  /// Returns the entries of v.
  std::span<ColoredNeighbor> of(Vertex v) noexcept {
    return {entries_.data() + pattern_.starts[v], sizes_[v]};
  }
  /// Returns the entry of v for a colour, or null if no neighbour has it.
  ColoredNeighbor* find(Vertex v, Color color) noexcept {
    for (ColoredNeighbor& entry : of(v))
      if (entry.color == color) return &entry;
    return nullptr;
  }
  /// Returns the entry of v for a colour that a neighbour has.
  ColoredNeighbor& at(Vertex v, Color color) noexcept { return *find(v, color); }
  /// Adds an entry for a colour that no neighbour of v had before.
  void add(Vertex v, ColoredNeighbor entry) noexcept {
    entries_[pattern_.starts[v] + sizes_[v]++] = entry;
  }

 private:
  const Pattern& pattern_;
  Vertices sizes_;
  std::vector<ColoredNeighbor> entries_;
};

/// Returns a greedy star colouring in this order, or nothing if it needs `limit` colours or more.
/// In a star colouring neighbours have different colours, and every path of four vertices has at
/// least three colours.
///
/// With `eager`, two neighbours of an uncoloured vertex get different colours (Gebremedhin, Manne &
/// Pothen 2005, algorithm 4.1). Without it they may get the same colour, and that vertex becomes a
/// hub (Gebremedhin, Tarafdar, Manne & Pothen, "New acyclic and star coloring algorithms", SIAM J.
/// Sci. Comput. 29(3), 2007). Neither variant always needs fewer colours.
inline std::optional<Coloring> greedy_star(const Pattern& pattern, const Vertices& order,
                                           bool eager, Color limit) {
  std::vector<Color> color(pattern.columns, uncolored);
  Neighborhoods around(pattern);
  Palette palette;
  for (const Vertex v : order) {
    palette.begin_vertex();
    for (const auto& entry : around.of(v)) palette.forbid(entry.color);
    for (const Vertex w : pattern.row(v)) {
      if (!palette.open()) break;
      if (w == v) continue;
      // If w is to become a leaf of v, no other neighbour of w may have v's colour. If w is a leaf
      // of another hub, v must not have the colour of that hub.
      const bool all = color[w] == uncolored ? eager : around.at(v, color[w]).many;
      for (const auto& entry : around.of(w))
        if (all || entry.leaf) palette.forbid(entry.color);
    }
    const Color chosen = palette.take();
    if (palette.count() >= limit) return std::nullopt;
    color[v] = chosen;
    for (const Vertex w : pattern.row(v)) {
      if (w == v) continue;
      auto* const mine = color[w] == uncolored ? nullptr : around.find(v, color[w]);
      auto* const known = around.find(w, chosen);
      if (known == nullptr) {
        around.add(w, {chosen, v, false, mine != nullptr && mine->many});
        continue;
      }
      known->many = true;
      if (mine == nullptr) continue;
      mine->leaf = true;
      around.at(known->first, color[w]).leaf = true;
    }
  }
  return Coloring{std::move(color), palette.count()};
}

/// Returns the trivial colouring: every vertex with a nonzero has a colour of its own.
inline Coloring all_different(const Pattern& transposed) {
  Coloring result{std::vector<Color>(transposed.rows()), transposed.rows() > 0 ? 1u : 0u};
  Color next = 0;
  for (std::size_t v = 0; v < transposed.rows(); ++v)
    if (!transposed.row(v).empty()) result.color[v] = next++;
  result.count = (std::max)(result.count, next);
  return result;
}

/// Replaces `best` by a better colouring from greedy(order, limit) in natural, largest-first and
/// smallest-last order, as long as `best` has more colours than `bound`, a lower bound.
template <class Graph, class Greedy>
void improve(Coloring& best, Color bound, Graph graph, Greedy greedy) {
  const auto improvable = [&] { return best.count > bound; };
  const auto attempt = [&](const Vertices& order) {
    if (auto better = greedy(order, best.count)) best = std::move(*better);
  };
  if (improvable()) attempt(natural_order(graph.size()));
  if (!improvable()) return;
  Vertices degree = degrees(graph);
  attempt(largest_first(degree));
  if (improvable()) attempt(smallest_last(graph, std::move(degree)));
}

/// Returns a lower bound on the colours of a star colouring of a graph. Two classes of a and b
/// vertices share at most a + b - 1 edges, because these edges form stars. Summed over all pairs of
/// k classes, that is (k - 1) * vertices - k * (k - 1) / 2. The bound is the smallest k for which
/// this is at least `edges`.
inline Color least_star_count(std::size_t vertices, std::size_t edges) {
  std::size_t count = 1;
  while ((count - 1) * vertices - count * (count - 1) / 2 < edges) ++count;
  return static_cast<Color>(count);
}

/// Returns, for each nonzero (i, j), the position of (j, i) in `indices`. Throws
/// std::invalid_argument if check() does or if the pattern is not symmetric.
inline std::vector<std::size_t> mirrored(const Pattern& pattern) {
  pattern.check();
  if (pattern.rows() != pattern.columns)
    throw std::invalid_argument("pattern: a symmetric one is square, and not " +
                                std::to_string(pattern.rows()) + " by " +
                                std::to_string(pattern.columns));
  std::vector<std::size_t> mirror(pattern.indices.size());
  // The loop visits the nonzeros row by row, so it meets the mirror images of each row in order.
  std::vector<std::size_t> next(pattern.starts.begin(), pattern.starts.end() - 1);
  for (std::size_t i = 0; i < pattern.rows(); ++i)
    for (std::size_t k = pattern.starts[i]; k < pattern.starts[i + 1]; ++k) {
      const std::uint32_t j = pattern.indices[k];
      if (next[j] == pattern.starts[j + 1] || pattern.indices[next[j]] != i)
        throw std::invalid_argument("pattern: not symmetric around row " + std::to_string(i) +
                                    ", column " + std::to_string(j));
      mirror[k] = next[j]++;
    }
  return mirror;
}

}  // namespace coloring

/// Returns a colouring of the columns of a Jacobian J in which no two columns of a colour have a
/// nonzero in the same row. Entry (i, j) of J is then (J seed)(i, color[j]).
///
///     const tapegrad::Pattern pattern{3, {0, 2, 3}, {0, 1, 2}};
///     const tapegrad::Coloring coloring = tapegrad::color_columns(pattern);  // count: 2
///
/// For reverse sweeps, colour pattern.transposed(). Throws std::invalid_argument if
/// Pattern::check() does.
inline Coloring color_columns(const Pattern& pattern) {
  const Pattern transposed = pattern.transposed();
  Coloring best = coloring::all_different(transposed);
  std::size_t longest = 1;
  for (std::size_t i = 0; i < pattern.rows(); ++i)
    longest = (std::max)(longest, pattern.row(i).size());
  coloring::improve(best, static_cast<std::uint32_t>(longest),
                    coloring::ColumnGraph(pattern, transposed),
                    [&](const auto& order, std::uint32_t limit) {
                      return coloring::greedy_columns(pattern, transposed, order, limit);
                    });
  return best;
}

/// Returns a star colouring of a symmetric pattern, that of a Hessian H. Of an entry (i, j) and its
/// mirror image (j, i), at least one can be read from H seed directly; recover_symmetric() tells
/// which. Throws std::invalid_argument if Pattern::check() does or if the pattern is not symmetric.
inline Coloring color_symmetric(const Pattern& pattern) {
  coloring::mirrored(pattern);
  Coloring best = coloring::all_different(pattern);
  std::size_t vertices = 0, ends = 0;
  for (std::size_t i = 0; i < pattern.rows(); ++i) {
    const auto row = pattern.row(i);
    const std::size_t degree =
        row.size() - std::binary_search(row.begin(), row.end(), static_cast<std::uint32_t>(i));
    vertices += degree > 0;
    ends += degree;
  }
  const std::uint32_t bound = coloring::least_star_count(vertices, ends / 2);
  for (const bool eager : {false, true})
    coloring::improve(best, bound, coloring::AdjacencyGraph(pattern),
                      [&](const auto& order, std::uint32_t limit) {
                        return coloring::greedy_star(pattern, order, eager, limit);
                      });
  return best;
}

/// Returns, for each nonzero of a symmetric pattern in the order of `indices`, the row and the
/// column (a colour) of the entry of H seed that holds its value.
///
///     // A tridiagonal Hessian of three variables.
///     const tapegrad::Pattern pattern{3, {0, 2, 5, 7}, {0, 1, 0, 1, 2, 1, 2}};
///     const tapegrad::Coloring coloring = tapegrad::color_symmetric(pattern);
///     for (const auto& [row, color] : tapegrad::recover_symmetric(pattern, coloring)) {
///       // read the nonzero from column `color` of H seed, at `row`
///     }
///
/// Throws std::invalid_argument if Pattern::check() does, if the pattern is not symmetric, if the
/// colouring has the wrong length or a colour that is not below its count, or if an entry cannot be
/// read.
inline std::vector<std::pair<std::uint32_t, std::uint32_t>> recover_symmetric(
    const Pattern& pattern, const Coloring& coloring) {
  const std::vector<std::size_t> mirror = coloring::mirrored(pattern);
  const auto& color = coloring.color;
  if (color.size() != pattern.columns)
    throw std::invalid_argument("coloring: " + std::to_string(color.size()) + " colors for " +
                                std::to_string(pattern.columns) + " columns");
  if (std::any_of(color.begin(), color.end(), [&](auto c) { return c >= coloring.count; }))
    throw std::invalid_argument("coloring: a color is not below the count");

  // A nonzero is alone, and can be read, if no other nonzero of its row has its column's colour.
  constexpr std::size_t nowhere = (std::numeric_limits<std::size_t>::max)();
  std::vector<std::size_t> last(coloring.count, nowhere);
  std::vector<bool> alone(pattern.indices.size(), true);
  for (std::size_t i = 0; i < pattern.rows(); ++i)
    for (std::size_t k = pattern.starts[i]; k < pattern.starts[i + 1]; ++k) {
      const std::size_t before = std::exchange(last[color[pattern.indices[k]]], k);
      if (before == nowhere || before < pattern.starts[i]) continue;
      alone[before] = alone[k] = false;
    }

  std::vector<std::pair<std::uint32_t, std::uint32_t>> places;
  places.reserve(pattern.indices.size());
  for (std::uint32_t i = 0; i < pattern.rows(); ++i)
    for (std::size_t k = pattern.starts[i]; k < pattern.starts[i + 1]; ++k) {
      const std::uint32_t j = pattern.indices[k];
      if (!alone[k] && !alone[mirror[k]])
        throw std::invalid_argument("coloring: the entry of row " + std::to_string(i) +
                                    ", column " + std::to_string(j) + " cannot be read");
      places.push_back(alone[k] ? std::pair{i, color[j]} : std::pair{j, color[i]});
    }
  return places;
}

}  // namespace tapegrad
