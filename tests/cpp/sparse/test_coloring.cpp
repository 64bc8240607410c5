#include <tapegrad/coloring.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using tapegrad::color_columns;
using tapegrad::color_symmetric;
using tapegrad::Coloring;
using tapegrad::Pattern;
using tapegrad::recover_symmetric;

namespace {

using Rows = std::vector<std::set<std::uint32_t>>;

Pattern pattern_of(std::size_t columns, const Rows& rows) {
  Pattern pattern{columns, {0}, {}};
  for (const auto& row : rows) {
    pattern.indices.insert(pattern.indices.end(), row.begin(), row.end());
    pattern.starts.push_back(pattern.indices.size());
  }
  return pattern;
}

// The entries (i, j) for which `has` is true.
template <class Has>
Pattern pattern_where(std::size_t rows, std::size_t columns, Has has) {
  Rows made(rows);
  for (std::uint32_t i = 0; i < rows; ++i)
    for (std::uint32_t j = 0; j < columns; ++j)
      if (has(i, j)) made[i].insert(j);
  return pattern_of(columns, made);
}

Pattern banded(std::size_t n, std::uint32_t below, std::uint32_t above) {
  return pattern_where(n, n, [=](auto i, auto j) { return j <= i + above && i <= j + below; });
}

// The first row and column, and the diagonal.
Pattern arrow(std::uint32_t n, std::uint32_t hub) {
  Rows rows(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    rows[i].insert({hub, i});
    rows[hub].insert(i);
  }
  return pattern_of(n, rows);
}

// Two residuals for each sight of a point by a camera, on the 9 numbers of the camera and the 3 of
// the point.
Pattern bundle_adjustment(std::uint32_t cameras, std::uint32_t points, bool points_first) {
  const std::uint32_t camera_base = points_first ? 3 * points : 0;
  const std::uint32_t point_base = points_first ? 0 : 9 * cameras;
  Rows rows;
  for (std::uint32_t p = 0; p < points; ++p)
    for (std::uint32_t sight = 0; sight < 3; ++sight) {
      const std::uint32_t camera = (p + sight * (1 + p / cameras)) % cameras;
      std::set<std::uint32_t> row;
      for (std::uint32_t k = 0; k < 9; ++k) row.insert(camera_base + 9 * camera + k);
      for (std::uint32_t k = 0; k < 3; ++k) row.insert(point_base + 3 * p + k);
      rows.insert(rows.end(), {row, row});
    }
  return pattern_of(9 * cameras + 3 * points, rows);
}

// That of J^T J.
Pattern normal_equations(const Pattern& jacobian) {
  Rows rows(jacobian.columns);
  for (std::size_t i = 0; i < jacobian.rows(); ++i)
    for (const auto j : jacobian.row(i))
      rows[j].insert(jacobian.row(i).begin(), jacobian.row(i).end());
  return pattern_of(jacobian.columns, rows);
}

// A square of cells, each with those above, below and beside it.
Pattern grid(std::uint32_t side) {
  return pattern_where(side * side, side * side, [=](std::uint32_t a, std::uint32_t b) {
    const auto distance = [](std::uint32_t x, std::uint32_t y) { return x < y ? y - x : x - y; };
    return distance(a / side, b / side) + distance(a % side, b % side) <= 1;
  });
}

Pattern random_pattern(std::mt19937& random, std::size_t rows, std::size_t columns,
                       double density) {
  std::bernoulli_distribution has(density);
  return pattern_where(rows, columns, [&](auto, auto) { return has(random); });
}

Pattern random_symmetric(std::mt19937& random, std::size_t n, double density, double diagonal) {
  std::bernoulli_distribution has(density), has_diagonal(diagonal);
  Rows rows(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    if (has_diagonal(random)) rows[i].insert(i);
    for (std::uint32_t j = 0; j < i; ++j)
      if (has(random)) {
        rows[i].insert(j);
        rows[j].insert(i);
      }
  }
  return pattern_of(n, rows);
}

bool has(const Pattern& pattern, std::size_t i, std::uint32_t j) {
  const auto row = pattern.row(i);
  return std::binary_search(row.begin(), row.end(), j);
}

// Every color below the count is there, and columns without nonzeros have color 0.
void check_colors(const Pattern& pattern, const Coloring& coloring) {
  REQUIRE(coloring.color.size() == pattern.columns);
  const std::set<std::uint32_t> used(coloring.color.begin(), coloring.color.end());
  CHECK(used.size() == coloring.count);
  if (!used.empty()) CHECK(*used.rbegin() == coloring.count - 1);
  const Pattern transposed = pattern.transposed();
  for (std::size_t j = 0; j < pattern.columns; ++j)
    if (transposed.row(j).empty()) CHECK(coloring.color[j] == 0);
}

bool separates_rows(const Pattern& pattern, const Coloring& coloring) {
  for (std::size_t i = 0; i < pattern.rows(); ++i) {
    std::set<std::uint32_t> colors;
    for (const auto j : pattern.row(i))
      if (!colors.insert(coloring.color[j]).second) return false;
  }
  return true;
}

// By the definition: neighbours differ, and no path of four vertices has two colors.
bool is_star_coloring(const Pattern& pattern, const Coloring& coloring) {
  const auto& color = coloring.color;
  for (std::uint32_t b = 0; b < pattern.rows(); ++b)
    for (const auto c : pattern.row(b)) {
      if (b == c) continue;
      if (color[b] == color[c]) return false;
      for (const auto a : pattern.row(b))
        for (const auto d : pattern.row(c))
          if (a != b && a != c && d != b && d != c && color[a] == color[c] && color[d] == color[b])
            return false;
    }
  return true;
}

// Whole numbers: what is read back is equal and not only close.
std::vector<double> random_values(std::mt19937& random, const Pattern& pattern) {
  std::uniform_int_distribution<int> number(1, 1000000);
  std::vector<double> values;
  for (std::size_t k = 0; k < pattern.indices.size(); ++k) values.push_back(number(random));
  return values;
}

std::vector<std::vector<double>> compressed(const Pattern& pattern,
                                            const std::vector<double>& values,
                                            const Coloring& coloring) {
  std::vector<std::vector<double>> seed(pattern.columns, std::vector<double>(coloring.count));
  for (std::size_t j = 0; j < pattern.columns; ++j) seed[j][coloring.color[j]] = 1.0;
  std::vector<std::vector<double>> product(pattern.rows(), std::vector<double>(coloring.count));
  for (std::size_t i = 0; i < pattern.rows(); ++i)
    for (std::size_t k = pattern.starts[i]; k < pattern.starts[i + 1]; ++k)
      for (std::size_t c = 0; c < coloring.count; ++c)
        product[i][c] += values[k] * seed[pattern.indices[k]][c];
  return product;
}

void check_jacobian(std::mt19937& random, const Pattern& pattern) {
  const Coloring coloring = color_columns(pattern);
  check_colors(pattern, coloring);
  CHECK(separates_rows(pattern, coloring));
  const auto values = random_values(random, pattern);
  const auto product = compressed(pattern, values, coloring);
  std::vector<double> recovered;
  for (std::size_t i = 0; i < pattern.rows(); ++i)
    for (const auto j : pattern.row(i)) recovered.push_back(product[i][coloring.color[j]]);
  CHECK(recovered == values);
}

void check_hessian(std::mt19937& random, const Pattern& pattern) {
  const Coloring coloring = color_symmetric(pattern);
  check_colors(pattern, coloring);
  CHECK(is_star_coloring(pattern, coloring));
  auto values = random_values(random, pattern);
  const auto at = [&](std::size_t i, std::uint32_t j) -> double& {
    const auto row = pattern.row(i);
    const auto place = std::lower_bound(row.begin(), row.end(), j) - row.begin();
    return values[pattern.starts[i] + static_cast<std::size_t>(place)];
  };
  for (std::uint32_t i = 0; i < pattern.rows(); ++i)
    for (const auto j : pattern.row(i)) at(j, i) = at(i, j);
  const auto product = compressed(pattern, values, coloring);
  std::vector<double> recovered;
  for (const auto& [row, color] : recover_symmetric(pattern, coloring))
    recovered.push_back(product.at(row).at(color));
  CHECK(recovered == values);
}

}  // namespace

TEST_CASE("a transposed pattern has each nonzero at its mirror image") {
  std::mt19937 random(1);
  const Pattern pattern = random_pattern(random, 7, 11, 0.3);
  const Pattern transposed = pattern.transposed();
  CHECK(transposed.rows() == 11);
  CHECK(transposed.columns == 7);
  for (std::uint32_t i = 0; i < 7; ++i)
    for (std::uint32_t j = 0; j < 11; ++j) CHECK(has(transposed, j, i) == has(pattern, i, j));
  CHECK(transposed.transposed().indices == pattern.indices);
  CHECK(transposed.transposed().starts == pattern.starts);
}

TEST_CASE("columns of known Jacobians get the fewest colors") {
  const auto count = [](const Pattern& pattern) { return color_columns(pattern).count; };
  CHECK(count(banded(50, 0, 0)) == 1);
  CHECK(count(banded(50, 1, 1)) == 3);
  CHECK(count(banded(50, 2, 0)) == 3);
  CHECK(count(banded(50, 3, 5)) == 9);
  CHECK(count(banded(30, 30, 30)) == 30);
  CHECK(count(arrow(40, 0)) == 40);
  // Without its dense row.
  CHECK(count(pattern_where(40, 40, [](auto i, auto j) { return j == 0 || i == j; })) == 2);
  CHECK(count(bundle_adjustment(7, 60, false)) == 12);
  CHECK(count(bundle_adjustment(7, 60, true)) == 12);
}

TEST_CASE("a banded Jacobian gets the fewest colors in whatever order its columns come") {
  std::mt19937 random(2);
  for (int round = 0; round < 20; ++round) {
    std::vector<std::uint32_t> moved(60);
    for (std::uint32_t j = 0; j < 60; ++j) moved[j] = j;
    std::shuffle(moved.begin(), moved.end(), random);
    const Pattern band = banded(60, 2, 3);
    const Pattern shuffled =
        pattern_where(60, 60, [&](auto i, auto j) { return has(band, i, moved[j]); });
    CHECK(color_columns(shuffled).count == 6);
  }
}

TEST_CASE("known Hessians get the fewest colors of a star coloring") {
  const auto count = [](const Pattern& pattern) { return color_symmetric(pattern).count; };
  CHECK(count(banded(50, 0, 0)) == 1);
  CHECK(count(banded(2, 1, 1)) == 2);
  CHECK(count(banded(3, 1, 1)) == 2);
  CHECK(count(banded(50, 1, 1)) == 3);
  CHECK(count(banded(30, 30, 30)) == 30);
  CHECK(count(arrow(40, 0)) == 2);
  CHECK(count(arrow(40, 17)) == 2);
  CHECK(count(arrow(40, 39)) == 2);
}

// Had two cameras a color in common, no two of the points that both see could.
TEST_CASE("the points of a bundle adjustment's Hessian share colors, the cameras do not") {
  for (const bool points_first : {false, true}) {
    // Three cameras that see all points.
    const Pattern all = normal_equations(bundle_adjustment(3, 60, points_first));
    CHECK(color_symmetric(all).count == 9 * 3 + 3);
    // A point may have a color of a camera that does not see it.
    const Pattern some = normal_equations(bundle_adjustment(7, 60, points_first));
    CHECK(color_symmetric(some).count <= 9 * 7 + 3);
  }
}

TEST_CASE("the colors of a grid do not grow with it") {
  CHECK(color_columns(grid(12)).count <= 7);
  CHECK(color_columns(grid(25)).count <= 7);
  CHECK(color_symmetric(grid(12)).count <= 7);
  CHECK(color_symmetric(grid(25)).count <= 7);
}

TEST_CASE("a Jacobian is read off its product with the seed") {
  std::mt19937 random(3);
  for (const std::size_t rows : {1u, 3u, 20u, 60u})
    for (const std::size_t columns : {1u, 4u, 25u, 60u})
      for (const double density : {0.0, 0.02, 0.1, 0.4, 0.9, 1.0})
        check_jacobian(random, random_pattern(random, rows, columns, density));
  check_jacobian(random, bundle_adjustment(5, 30, true));
  check_jacobian(random, grid(9));
}

TEST_CASE("a Hessian is read off its product with the seed") {
  std::mt19937 random(4);
  for (const std::size_t n : {1u, 2u, 5u, 12u, 30u, 60u})
    for (const double density : {0.0, 0.03, 0.1, 0.3, 0.8, 1.0})
      for (const double diagonal : {0.0, 0.5, 1.0})
        for (int round = 0; round < 3; ++round)
          check_hessian(random, random_symmetric(random, n, density, diagonal));
  check_hessian(random, normal_equations(bundle_adjustment(5, 15, false)));
  check_hessian(random, grid(9));
  check_hessian(random, arrow(30, 11));
}

TEST_CASE("every order and either way make valid colorings") {
  namespace coloring = tapegrad::coloring;
  std::mt19937 random(5);
  for (int round = 0; round < 50; ++round) {
    const Pattern jacobian = random_pattern(random, 30, 25, 0.1);
    const Pattern transposed = jacobian.transposed();
    const Pattern hessian = random_symmetric(random, 25, 0.15, 0.5);
    coloring::Vertices order = coloring::natural_order(25);
    std::shuffle(order.begin(), order.end(), random);
    const auto columns = coloring::greedy_columns(jacobian, transposed, order, 26);
    REQUIRE(columns);
    CHECK(separates_rows(jacobian, *columns));
    CHECK(!coloring::greedy_columns(jacobian, transposed, order, columns->count));
    for (const bool eager : {false, true}) {
      const auto star = coloring::greedy_star(hessian, order, eager, 26);
      REQUIRE(star);
      CHECK(is_star_coloring(hessian, *star));
      CHECK(!coloring::greedy_star(hessian, order, eager, star->count));
    }
  }
}

TEST_CASE("an order has every vertex once, by its degree") {
  namespace coloring = tapegrad::coloring;
  std::mt19937 random(6);
  for (int round = 0; round < 20; ++round) {
    const Pattern hessian = random_symmetric(random, 40, 0.1, 0.5);
    coloring::AdjacencyGraph graph(hessian);
    const auto degree = coloring::degrees(graph);
    const auto by_size = coloring::largest_first(degree);
    CHECK(std::set(by_size.begin(), by_size.end()).size() == 40);
    CHECK(std::is_sorted(by_size.begin(), by_size.end(),
                         [&](auto v, auto w) { return degree[v] > degree[w]; }));

    // Nobody has more neighbours before it than the largest of the least degrees, the degeneracy,
    // found here by taking out a least one at a time.
    const auto last = coloring::smallest_last(graph, degree);
    CHECK(std::set(last.begin(), last.end()).size() == 40);
    const auto neighbors_among = [&](std::uint32_t v, const std::set<std::uint32_t>& others) {
      std::size_t found = 0;
      graph.each_neighbor(v, [&](auto w) { found += others.count(w); });
      return found;
    };
    std::set<std::uint32_t> left(last.begin(), last.end());
    std::size_t degeneracy = 0;
    while (!left.empty()) {
      const auto least = *std::min_element(left.begin(), left.end(), [&](auto v, auto w) {
        return neighbors_among(v, left) < neighbors_among(w, left);
      });
      degeneracy = std::max(degeneracy, neighbors_among(least, left));
      left.erase(least);
    }
    std::size_t most = 0;
    std::set<std::uint32_t> before;
    for (const auto v : last) {
      most = std::max(most, neighbors_among(v, before));
      before.insert(v);
    }
    CHECK(most == degeneracy);
  }
}

TEST_CASE("patterns without nonzeros") {
  for (const std::size_t columns : {0u, 1u, 5u})
    for (const std::size_t rows : {0u, 1u, 5u}) {
      const Coloring coloring = color_columns(pattern_of(columns, Rows(rows)));
      CHECK(coloring.color == std::vector<std::uint32_t>(columns, 0));
      CHECK(coloring.count == (columns > 0 ? 1 : 0));
    }
  for (const std::size_t n : {0u, 1u, 5u}) {
    const Pattern pattern = pattern_of(n, Rows(n));
    const Coloring coloring = color_symmetric(pattern);
    CHECK(coloring.color == std::vector<std::uint32_t>(n, 0));
    CHECK(coloring.count == (n > 0 ? 1 : 0));
    CHECK(recover_symmetric(pattern, coloring).empty());
  }
  CHECK(color_columns(Pattern{}).count == 0);
  CHECK(color_symmetric(Pattern{}).count == 0);
}

TEST_CASE("a dense row and column among very many is no work") {
  // Squared, the row would be 4e10 steps.
  constexpr std::uint32_t n = 200000;
  CHECK(color_columns(arrow(n, 0)).count == n);
  for (const std::uint32_t hub : {0u, n / 2, n - 1}) {
    CHECK(color_symmetric(arrow(n, hub)).count == 2);
    // With a tail, which needs three: no order reaches the lower bound, and all are tried.
    Pattern tailed = arrow(n, hub);
    Rows rows(n + 3);
    for (std::uint32_t i = 0; i < n; ++i)
      rows[i].insert(tailed.row(i).begin(), tailed.row(i).end());
    const std::uint32_t end = hub == 0 ? 1 : 0;
    for (const auto& [i, j] : {std::pair{end, n}, {n, n + 1}, {n + 1, n + 2}}) {
      rows[i].insert(j);
      rows[j].insert(i);
    }
    tailed = pattern_of(n + 3, rows);
    const Coloring star = color_symmetric(tailed);
    CHECK(star.count == 3);
    CHECK(recover_symmetric(tailed, star).size() == tailed.indices.size());
  }
}

TEST_CASE("what is no pattern is refused") {
  const auto refused = [](const Pattern& pattern) {
    CHECK_THROWS_AS(color_columns(pattern), std::invalid_argument);
    CHECK_THROWS_AS(color_symmetric(pattern), std::invalid_argument);
    CHECK_THROWS_AS(pattern.transposed(), std::invalid_argument);
    const Coloring coloring{std::vector<std::uint32_t>(pattern.columns), 1};
    CHECK_THROWS_AS(recover_symmetric(pattern, coloring), std::invalid_argument);
  };
  refused({2, {}, {}});
  refused({2, {1, 2, 2}, {0, 1}});
  refused({2, {0, 1, 3}, {0, 1}});
  refused({2, {0, 3, 2}, {0, 1}});
  refused({2, {0, 1, 2}, {0, 2}});
  refused({2, {0, 2, 4}, {1, 0, 0, 1}});
  refused({2, {0, 2, 2}, {0, 0}});
}

TEST_CASE("a Hessian's pattern that is not symmetric is refused, and says where") {
  const auto refused = [](const Pattern& pattern, const std::string& message) {
    CHECK_THROWS_WITH_AS(color_symmetric(pattern), message.c_str(), std::invalid_argument);
    const Coloring coloring = color_columns(pattern);
    CHECK_THROWS_WITH_AS(recover_symmetric(pattern, coloring), message.c_str(),
                         std::invalid_argument);
  };
  refused({3, {0, 1, 2}, {0, 1}}, "pattern: a symmetric one is square, and not 2 by 3");
  refused({2, {0, 2, 3}, {0, 1, 1}}, "pattern: not symmetric around row 0, column 1");
  refused({2, {0, 1, 3}, {0, 0, 1}}, "pattern: not symmetric around row 1, column 0");
  refused({3, {0, 1, 2, 3}, {1, 2, 0}}, "pattern: not symmetric around row 0, column 1");
}

TEST_CASE("a coloring that a Hessian cannot be read with is refused") {
  const Pattern path = banded(4, 1, 1);
  const auto refused = [&](const Coloring& coloring) {
    CHECK_THROWS_AS(recover_symmetric(path, coloring), std::invalid_argument);
  };
  refused({{0, 1, 0, 1}, 2});     // a path of two colors
  refused({{0, 0, 1, 2}, 3});     // neighbours
  refused({{0, 1, 0}, 2});        // too few
  refused({{0, 1, 0, 2, 0}, 3});  // too many
  refused({{0, 1, 0, 2}, 2});     // not below the count
  CHECK(recover_symmetric(path, {{0, 1, 0, 2}, 3}).size() == path.indices.size());
}
