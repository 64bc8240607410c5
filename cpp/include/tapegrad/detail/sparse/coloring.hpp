// Colouring of sparse Jacobians and Hessians: columns of one colour are differentiated together,
// and every entry is read off the compressed product with the seed matrix, seed(j, color[j]) = 1.
//
// Curtis, Powell & Reid 1974; Coleman & Moré 1983 (Jacobians) and 1984 (Hessians); Gebremedhin,
// Manne & Pothen, "What color is your Jacobian?", SIAM Review 47(4), 2005. To find the fewest
// colours is NP-hard. Greedy colouring in several orders comes close; the best is kept, and where a
// lower bound is reached nothing more is tried.
//
// Time is at most in proportion to the sum over rows of squared row size, and memory to the
// nonzeros. So m nonzeros in a row cost color_columns m^2 steps (none where the row is full) and m
// colours: leave such rows to the reverse sweep. In color_symmetric they cost m for each colour.
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

// A colour below `count` for each column. One without nonzeros has colour 0.
struct Coloring {
  std::vector<std::uint32_t> color;
  std::uint32_t count = 0;
};

namespace coloring {

using Vertex = std::uint32_t;
using Color = std::uint32_t;
using Vertices = std::vector<Vertex>;

inline constexpr Color uncolored = (std::numeric_limits<Color>::max)();

// Columns, neighbours where they have a nonzero in one row.
class ColumnGraph {
 public:
  ColumnGraph(const Pattern& pattern, const Pattern& transposed)
      : pattern_(pattern), transposed_(transposed), seen_(pattern.columns, 0) {}

  std::size_t size() const noexcept { return pattern_.columns; }

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

// Rows and columns at once, neighbours where the symmetric pattern has a nonzero.
class AdjacencyGraph {
 public:
  explicit AdjacencyGraph(const Pattern& pattern) : pattern_(pattern) {}

  std::size_t size() const noexcept { return pattern_.columns; }

  template <class Visit>
  void each_neighbor(Vertex v, Visit visit) const {
    for (const Vertex w : pattern_.row(v))
      if (w != v) visit(w);
  }

 private:
  const Pattern& pattern_;
};

template <class Graph>
Vertices degrees(Graph& graph) {
  Vertices degree(graph.size());
  for (Vertex v = 0; v < degree.size(); ++v) graph.each_neighbor(v, [&](Vertex) { ++degree[v]; });
  return degree;
}

inline Vertices natural_order(std::size_t size) {
  Vertices order(size);
  std::iota(order.begin(), order.end(), Vertex{0});
  return order;
}

// Vertices by degree, the smallest first; those of degree d begin at begin[d].
struct Buckets {
  explicit Buckets(const Vertices& degree)
      : begin(degree.empty() ? 1 : *std::max_element(degree.begin(), degree.end()) + 2),
        order(degree.size()) {
    for (const Vertex d : degree) ++begin[d + 1];
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    std::vector<std::size_t> next = begin;
    for (Vertex v = 0; v < degree.size(); ++v) order[next[degree[v]]++] = v;
  }

  std::vector<std::size_t> begin;
  Vertices order;
};

// Welsh & Powell 1967.
inline Vertices largest_first(const Vertices& degree) {
  Vertices order = Buckets(degree).order;
  std::reverse(order.begin(), order.end());
  return order;
}

// Matula & Beck 1983: what has the fewest neighbours among those left is taken out, and comes last.
// No more colours than the largest of these numbers and one are needed then to keep neighbours
// apart, which is the fewest possible where the graph is chordal, as that of a banded matrix is.
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

// The colours in use, and which of them the vertex at hand may not have.
class Palette {
 public:
  void begin_vertex() noexcept {
    ++vertices_;
    open_ = forbidden_.size();
  }
  void forbid(Color color) noexcept {
    if (std::exchange(forbidden_[color], vertices_) != vertices_) --open_;
  }
  // Once none is left, a new colour will be taken whatever else is forbidden.
  bool open() const noexcept { return open_ > 0; }
  Color take() {
    const auto allowed = [&](std::size_t vertex) { return vertex != vertices_; };
    const auto found = open() ? std::find_if(forbidden_.begin(), forbidden_.end(), allowed)
                              : forbidden_.insert(forbidden_.end(), vertices_);
    return static_cast<Color>(found - forbidden_.begin());
  }
  Color count() const noexcept { return static_cast<Color>(forbidden_.size()); }

 private:
  std::vector<std::size_t> forbidden_;  // the last vertex, counted from 1, that it was forbidden to
  std::size_t vertices_ = 0;
  std::size_t open_ = 0;
};

// Greedy partial distance-2 colouring, Gebremedhin, Manne & Pothen 2005, section 3.
// Nothing where that needs as many colours as `limit`.
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

// For each vertex, the colours of its neighbours. Two colours make stars: a vertex with several
// neighbours of one colour is the hub of these, and they are leaves.
class Neighborhoods {
 public:
  struct Entry {
    Color color;
    Vertex first;  // the first neighbour that got it
    bool many;     // the vertex is the hub: other neighbours have it as well
    bool leaf;     // the neighbour is the hub: it has others of the vertex's own colour
  };

  explicit Neighborhoods(const Pattern& pattern)
      : pattern_(pattern), sizes_(pattern.columns), entries_(pattern.indices.size()) {}

  std::span<Entry> of(Vertex v) noexcept {
    return {entries_.data() + pattern_.starts[v], sizes_[v]};
  }
  Entry* find(Vertex v, Color color) noexcept {
    for (Entry& entry : of(v))
      if (entry.color == color) return &entry;
    return nullptr;
  }
  Entry& at(Vertex v, Color color) noexcept { return *find(v, color); }
  void add(Vertex v, Entry entry) noexcept { entries_[pattern_.starts[v] + sizes_[v]++] = entry; }

 private:
  const Pattern& pattern_;
  Vertices sizes_;
  std::vector<Entry> entries_;
};

// Star colouring: neighbours differ, and so does one of every path of four vertices. With `eager`
// two neighbours of an uncoloured vertex differ too (Gebremedhin, Manne & Pothen 2005,
// algorithm 4.1); without, they may agree, and that vertex becomes a hub (Gebremedhin, Tarafdar,
// Manne & Pothen, "New acyclic and star coloring algorithms", SIAM J. Sci. Comput. 29(3), 2007).
// Neither is always better.
// Nothing where that needs as many colours as `limit`.
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
      // A neighbour that becomes v's leaf has no other neighbour of v's colour, nor has one that is
      // a leaf already that of its hub.
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

// Every vertex that has neighbours or a diagonal has a colour of its own.
inline Coloring all_different(const Pattern& transposed) {
  Coloring result{std::vector<Color>(transposed.rows()), transposed.rows() > 0 ? 1u : 0u};
  Color next = 0;
  for (std::size_t v = 0; v < transposed.rows(); ++v)
    if (!transposed.row(v).empty()) result.color[v] = next++;
  result.count = (std::max)(result.count, next);
  return result;
}

// The best of three orders, until there are no more colours than `bound`.
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

// k colours make k (k - 1) / 2 pairs, and two classes of a and b vertices share at most a + b - 1
// edges, since these form stars.
inline Color least_star_count(std::size_t vertices, std::size_t edges) {
  std::size_t count = 1;
  while ((count - 1) * vertices - count * (count - 1) / 2 < edges) ++count;
  return static_cast<Color>(count);
}

// Where each nonzero's mirror image across the diagonal lies among the indices. Throws
// std::invalid_argument where there is none.
inline std::vector<std::size_t> mirrored(const Pattern& pattern) {
  pattern.check();
  if (pattern.rows() != pattern.columns)
    throw std::invalid_argument("pattern: a symmetric one is square, and not " +
                                std::to_string(pattern.rows()) + " by " +
                                std::to_string(pattern.columns));
  std::vector<std::size_t> mirror(pattern.indices.size());
  // Row by row, the images in any one row come in order.
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

// No two columns of one colour have a nonzero in one row: with it, entry (i, j) of a Jacobian is
// (J seed)(i, color[j]). Throws std::invalid_argument where Pattern::check does.
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

// A star colouring of a symmetric pattern, a Hessian's: of any entry (i, j) and its mirror image,
// one can be read off H seed directly. Throws std::invalid_argument where the pattern is not
// symmetric.
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

// For each nonzero of a symmetric pattern, in the pattern's order, the row and the colour where H
// seed has it. Throws std::invalid_argument where the pattern is not symmetric, or the colouring
// not one that all can be read with.
inline std::vector<std::pair<std::uint32_t, std::uint32_t>> recover_symmetric(
    const Pattern& pattern, const Coloring& coloring) {
  const std::vector<std::size_t> mirror = coloring::mirrored(pattern);
  const auto& color = coloring.color;
  if (color.size() != pattern.columns)
    throw std::invalid_argument("coloring: " + std::to_string(color.size()) + " colors for " +
                                std::to_string(pattern.columns) + " columns");
  if (std::any_of(color.begin(), color.end(), [&](auto c) { return c >= coloring.count; }))
    throw std::invalid_argument("coloring: a color is not below the count");

  // A nonzero is there by itself where no other of its row has its column's colour.
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
