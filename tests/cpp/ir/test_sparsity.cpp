#include <tapegrad/detail/ir/sparsity.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <vector>

using namespace tapegrad;

namespace {

using Symbols = std::vector<Symbol>;
using Places = std::vector<ValueId>;
using Matrix = std::vector<std::vector<double>>;
using Rows = std::vector<std::set<std::uint32_t>>;

// A recording that is open, with n inputs.
class Function {
 public:
  explicit Function(std::size_t n) : before_(std::exchange(Recording::current, &recording_)) {
    for (std::size_t k = 0; k < n; ++k) {
      inputs_.push_back(recording_.input(0.3 + 0.17 * static_cast<double>(k % 7)));
      x.push_back(Symbol::at(recording_, inputs_.back()));
    }
  }
  Function(const Function&) = delete;
  Function& operator=(const Function&) = delete;
  ~Function() { Recording::current = before_; }

  Recording& recording() { return recording_; }
  const Places& inputs() const { return inputs_; }
  static Places places(const Symbols& symbols) {
    Places places;
    for (const Symbol& symbol : symbols) places.push_back(symbol.place());
    return places;
  }
  ActiveRange range() { return ActiveRange(recording_, inputs_, recording_.size()); }

  Pattern pattern(const Symbols& outputs) {
    return jacobian_pattern(range(), inputs_, places(outputs));
  }

  Symbols gradient(const Symbol& y) {
    const ActiveRange all = range();
    ReverseSweep<Symbol> sweep(all);
    sweep.seed(y.place(), 1.0);
    sweep.run();
    Symbols adjoints;
    for (const ValueId input : inputs_) adjoints.push_back(sweep.adjoint(input));
    return adjoints;
  }

  // Column by column.
  Matrix dense(const Symbols& outputs) {
    const ActiveRange all = range();
    Matrix matrix(outputs.size(), std::vector<double>(inputs_.size()));
    for (std::size_t j = 0; j < inputs_.size(); ++j) {
      ForwardSweep<double> sweep(all, 1);
      sweep.seed(inputs_[j], 0, 1.0);
      sweep.run();
      for (std::size_t i = 0; i < outputs.size(); ++i)
        matrix[i][j] = sweep.tangent(outputs[i].place(), 0);
    }
    return matrix;
  }

  template <class Number = double>
  std::vector<Number> sparse(const Symbols& outputs, const Compression& compression) {
    return nonzeros<Number>(range(), inputs_, places(outputs), compression);
  }

  Symbols x;

 private:
  Recording recording_;
  Recording* before_;
  Places inputs_;
};

Rows rows_of(const Pattern& pattern) {
  Rows rows;
  for (std::size_t i = 0; i < pattern.rows(); ++i)
    rows.emplace_back(pattern.row(i).begin(), pattern.row(i).end());
  return rows;
}

Matrix filled(const Pattern& pattern, const std::vector<double>& numbers) {
  Matrix matrix(pattern.rows(), std::vector<double>(pattern.columns));
  for (std::size_t i = 0; i < pattern.rows(); ++i)
    for (std::size_t k = pattern.starts[i]; k < pattern.starts[i + 1]; ++k)
      matrix[i][pattern.indices[k]] = numbers[k];
  return matrix;
}

void check_close(const Matrix& found, const Matrix& wanted) {
  REQUIRE(found.size() == wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i)
    for (std::size_t j = 0; j < wanted[i].size(); ++j) {
      CAPTURE(i);
      CAPTURE(j);
      CHECK(std::abs(found[i][j] - wanted[i][j]) <= 1e-12 * (1.0 + std::abs(wanted[i][j])));
    }
}

// By columns, by rows and by what is cheaper, as numbers and recorded.
void check_jacobian(Function& f, const Symbols& outputs) {
  const Matrix wanted = f.dense(outputs);
  const Pattern pattern = f.pattern(outputs);
  for (const Compression& compression :
       {compress_columns(pattern), compress_rows(pattern), compress(pattern)}) {
    CAPTURE(compression.forward);
    check_close(filled(pattern, f.sparse(outputs, compression)), wanted);
    std::vector<double> primals;
    for (const Symbol& symbol : f.sparse<Symbol>(outputs, compression))
      primals.push_back(symbol.primal());
    check_close(filled(pattern, primals), wanted);
  }
  CHECK(compress(pattern).coloring.count <=
        std::min(compress_columns(pattern).coloring.count, compress_rows(pattern).coloring.count));
}

void check_hessian(Function& f, const Symbol& y) {
  const Symbols gradient = f.gradient(y);
  const Compression compression = compress_symmetric(symmetrized(f.pattern(gradient)));
  check_close(filled(compression.pattern, f.sparse(gradient, compression)), f.dense(gradient));
}

// y_i of x_(i-1), x_i and x_(i+1).
Symbols banded(const Symbols& x) {
  Symbols y;
  for (std::size_t i = 0; i < x.size(); ++i) {
    Symbol sum = sin(x[i]);
    if (i > 0) sum = sum + x[i - 1] * x[i];
    if (i + 1 < x.size()) sum = sum - exp(x[i + 1]);
    y.push_back(sum);
  }
  return y;
}

Symbol total(const Symbols& terms) {
  Symbol sum = 0.0;
  for (const Symbol& term : terms) sum = sum + term;
  return sum;
}

struct Doubled : Rule {
  int pulls = 0, pushes = 0;
  std::vector<Symbol> pull(std::span<const Symbol> cotangents, const std::vector<bool>&,
                           bool) override {
    ++pulls;
    Symbol sum = 0.0;
    for (const Symbol& cotangent : cotangents) sum = sum + cotangent;
    return {2.0 * sum, 2.0 * sum};
  }
  bool goes_forward() const override { return true; }
  std::vector<Symbol> push(std::span<const Symbol> tangents, const std::vector<bool>&,
                           bool) override {
    ++pushes;
    const Symbol both = 2.0 * (tangents[0] + tangents[1]);
    return {both, both};
  }
};

}  // namespace

TEST_CASE("the pattern has the inputs that each output depends on") {
  Function f(4);
  const auto& x = f.x;
  const Symbols y{x[0] * x[2], x[1], x[3] + x[3] * x[0], sin(x[2]) - x[2], Symbol(1.5)};
  CHECK(rows_of(f.pattern(y)) == Rows{{0, 2}, {1}, {0, 3}, {2}, {}});
  CHECK(f.pattern(y).columns == 4);
  CHECK_NOTHROW(f.pattern(y).check());
}

TEST_CASE("what has no slope has no part in the pattern") {
  Function f(3);
  const auto& x = f.x;
  const Symbol less = (x[0] < x[1]).symbol;
  const Symbol chosen = where(x[0] < x[1], x[1] * 2.0, x[2]);
  const Symbol stopped = Symbol::apply<op<"stop">()>(x[0]) * x[1];
  CHECK(rows_of(f.pattern({less, chosen, stopped})) == Rows{{}, {1, 2}, {1}});
}

TEST_CASE("an output may be asked for twice, and later numbers may use it") {
  Function f(3);
  const Symbol a = f.x[0] * f.x[1];
  const Symbol b = a + f.x[2];
  CHECK(rows_of(f.pattern({a, b, a})) == Rows{{0, 1}, {0, 1, 2}, {0, 1}});
}

TEST_CASE("numbers that share a set do not grow with each other") {
  Function f(4);
  const auto& x = f.x;
  const Symbol a = x[0] * x[1];
  const Symbol b = sin(a), c = cos(a);
  const Symbol d = b * x[2], e = c * x[3];
  CHECK(rows_of(f.pattern({d, e, d * e, b})) == Rows{{0, 1, 2}, {0, 1, 3}, {0, 1, 2, 3}, {0, 1}});
}

TEST_CASE("sets grow in any order of the inputs") {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    Function f(12);
    Symbol sum = 0.0;
    std::set<std::uint32_t> wanted;
    for (int k = 0; k < 9; ++k) {
      const auto i = static_cast<std::uint32_t>(random() % 12),
                 j = static_cast<std::uint32_t>(random() % 12);
      sum = sum + f.x[i] * f.x[j];
      wanted.insert({i, j});
    }
    CHECK(rows_of(f.pattern({sum})) == Rows{wanted});
  }
}

TEST_CASE("a long sum is no square of its length") {
  constexpr std::uint32_t n = 200000;
  Function f(n);
  const Symbol sum = total(f.x);
  const Pattern pattern = f.pattern({sum});
  CHECK(pattern.indices.size() == n);
  CHECK(compress(pattern).coloring.count == 1);
}

TEST_CASE("every output of a rule depends on every operand") {
  Function f(3);
  auto& r = f.recording();
  const auto rule = std::make_shared<Doubled>();
  const ValueId first =
      r.record_group({f.inputs()[0], f.inputs()[2]}, {f.inputs()[0], f.inputs()[2]}, rule);
  const Symbol a = Symbol::at(r, first), b = Symbol::at(r, first + 1);
  CHECK(rows_of(f.pattern({a * f.x[1], b, a + b})) == Rows{{0, 1, 2}, {0, 2}, {0, 2}});
  check_jacobian(f, {a * f.x[1], b, a + b});
}

TEST_CASE("there is one sweep for each color") {
  Function f(30);
  const auto rule = std::make_shared<Doubled>();
  Symbols y;
  for (std::size_t k = 0; k < 10; ++k) {
    const ValueId first =
        f.recording().record_group({f.inputs()[3 * k], f.inputs()[3 * k + 1]},
                                   {f.inputs()[3 * k], f.inputs()[3 * k + 1]}, rule);
    y.push_back(Symbol::at(f.recording(), first) * f.x[3 * k + 2]);
  }
  const Pattern pattern = f.pattern(y);
  // Ten rules, each called in the directions of the colors of its two operands.
  f.sparse(y, compress_columns(pattern));
  CHECK(compress_columns(pattern).coloring.count == 3);
  CHECK(rule->pushes == 20);
  f.sparse(y, compress(pattern));
  CHECK(!compress(pattern).forward);
  CHECK(compress(pattern).coloring.count == 1);
  CHECK(rule->pulls == 10);
}

TEST_CASE("a banded Jacobian takes as many directions as it has bands") {
  Function f(40);
  const Symbols y = banded(f.x);
  const Compression compression = compress(f.pattern(y));
  CHECK(compression.coloring.count == 3);
  CHECK(compression.forward);
  check_jacobian(f, y);
}

TEST_CASE("few outputs of many inputs are taken backwards, many of few forwards") {
  Function f(20);
  const Compression wide = compress(f.pattern({total(f.x) * f.x[0], f.x[3]}));
  CHECK(!wide.forward);
  CHECK(wide.coloring.count == 2);
  Function g(2);
  Symbols y;
  for (int k = 0; k < 20; ++k) y.push_back(g.x[0] * g.x[1] + k);
  const Compression tall = compress(g.pattern(y));
  CHECK(tall.forward);
  CHECK(tall.coloring.count == 2);
  check_jacobian(g, y);
}

TEST_CASE("an arrow, a bundle, dense and empty rows") {
  SUBCASE("arrow") {
    Function f(12);
    Symbols y{total(f.x) * f.x[0]};
    for (std::size_t k = 1; k < 12; ++k) y.push_back(f.x[0] * f.x[k]);
    check_jacobian(f, y);
  }
  SUBCASE("bundle") {
    // Each point is seen by two cameras.
    Function f(4 * 3 + 10 * 2);
    Symbols y;
    for (std::size_t p = 0; p < 10; ++p)
      for (const std::size_t camera : {p % 4, (p + 1 + p / 4) % 4}) {
        const Symbol *c = &f.x[3 * camera], *q = &f.x[12 + 2 * p];
        y.push_back(c[0] * q[0] + sin(c[1]) * q[1]);
        y.push_back(c[2] / (1.0 + q[0] * q[1]));
      }
    CHECK(compress(f.pattern(y)).coloring.count < 12);
    check_jacobian(f, y);
  }
  SUBCASE("dense") {
    Function f(5);
    Symbols y;
    for (std::size_t k = 0; k < 7; ++k) y.push_back(total(f.x) * f.x[k % 5]);
    check_jacobian(f, y);
  }
  SUBCASE("empty rows and columns") {
    Function f(5);
    check_jacobian(f, {Symbol(2.0), f.x[3] * f.x[3], Symbol(), f.x[1]});
  }
  SUBCASE("nothing at all") {
    Function f(3);
    const Compression compression = compress(f.pattern({Symbol(2.0), Symbol(3.0)}));
    CHECK(compression.coloring.count == 0);
    CHECK(compression.entries.empty());
    CHECK(f.sparse({Symbol(2.0), Symbol(3.0)}, compression).empty());
    CHECK(compress(f.pattern({})).coloring.count == 0);
  }
}

TEST_CASE("more colors than directions that go together") {
  Function f(21);
  Symbols y;
  for (std::size_t k = 0; k < 21; ++k) {
    Symbol sum = 0.0;
    for (std::size_t j = k; j < k + 19; ++j) sum = sum + sin(f.x[j % 21] * double(j));
    y.push_back(sum);
  }
  CHECK(compress_columns(f.pattern(y)).coloring.count > 16);
  check_jacobian(f, y);
}

TEST_CASE("an entry that is not finite stays alone") {
  Function f(6);
  const Symbol zero = f.x[2] - f.x[2].primal();
  const Symbols y{f.x[0] * f.x[1], sqrt(zero), f.x[3] * f.x[4], f.x[5] / zero};
  const Pattern pattern = f.pattern(y);
  for (const Compression& compression : {compress_columns(pattern), compress_rows(pattern)}) {
    const Matrix found = filled(pattern, f.sparse(y, compression));
    CHECK(found[0][0] == f.x[1].primal());
    CHECK(found[1][2] == std::numeric_limits<double>::infinity());
    CHECK(found[2][3] == f.x[4].primal());
    CHECK(std::isinf(found[3][5]));
    CHECK(found[3][2] == -std::numeric_limits<double>::infinity());
  }
}

TEST_CASE("Hessians by star colors") {
  SUBCASE("of a chain") {
    Function f(30);
    Symbol y = 0.0;
    for (std::size_t k = 0; k + 1 < 30; ++k) y = y + sin(f.x[k] * f.x[k + 1]);
    const Symbols gradient = f.gradient(y);
    CHECK(compress_symmetric(symmetrized(f.pattern(gradient))).coloring.count == 3);
    check_hessian(f, y);
  }
  SUBCASE("of an arrow, which takes two") {
    Function f(30);
    Symbol y = 0.0;
    for (std::size_t k = 0; k < 30; ++k) y = y + square(f.x[k]) * f.x[0];
    const Symbols gradient = f.gradient(y);
    CHECK(compress_symmetric(symmetrized(f.pattern(gradient))).coloring.count == 2);
    check_hessian(f, y);
  }
  SUBCASE("where all depend on all") {
    Function f(6);
    check_hessian(f, exp(total(f.x)) * f.x[2]);
  }
  SUBCASE("of a linear function, which has none") {
    Function f(4);
    const Symbols gradient = f.gradient(total(f.x) * 3.0);
    const Compression compression = compress_symmetric(symmetrized(f.pattern(gradient)));
    CHECK(compression.coloring.count == 0);
    CHECK(compression.pattern.indices.empty());
    CHECK(compression.pattern.rows() == 4);
  }
}

TEST_CASE("a pattern with its mirror image") {
  const Pattern pattern{3, {0, 2, 3, 3}, {0, 2, 0}};
  CHECK(rows_of(symmetrized(pattern)) == Rows{{0, 1, 2}, {0}, {0}});
  CHECK_THROWS_AS(compress_symmetric(pattern), std::invalid_argument);
}

TEST_CASE("random functions have the derivatives of their dense sweeps") {
  std::mt19937 random(11);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (int round = 0; round < 200; ++round) {
    CAPTURE(round);
    Function f(1 + below(12));
    Symbols numbers = f.x;
    for (std::size_t k = below(40); k-- > 0;) {
      const Symbol& a = numbers[below(numbers.size())];
      const Symbol& b = numbers[below(numbers.size())];
      const Symbol made[] = {a + b,      a - b * 0.5,      a * b,         sin(a),
                             tanh(a),    Symbol(0.25) * a, maximum(a, b), where(a < b, a, b),
                             Symbol(1.5)};
      numbers.push_back(made[below(std::size(made))]);
    }
    Symbols outputs;
    for (std::size_t k = below(12); k-- > 0;) outputs.push_back(numbers[below(numbers.size())]);
    check_jacobian(f, outputs);
    check_hessian(f, tanh(numbers.back() * f.x[0]) + numbers[below(numbers.size())]);
  }
}
