#include <tapegrad/detail/graph/tape.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "support.hpp"

using namespace tapegrad;
using testing::function;

namespace {

using Operands = std::vector<std::pair<Index, double>>;

// An absent partial, as the lists below have it: the number that a node holds equals nothing.
constexpr double absent = -12345.0;
double shown(double partial) { return is_absent(partial) ? absent : partial; }

Operands operands(const Tape& tape, Index i) {
  Operands all;
  tape.each_operand(i, [&](Index node, double partial) { all.emplace_back(node, shown(partial)); });
  return all;
}

// The operand list as it is kept, in the order of the operation: a constant is told by no_node and
// its own value.
Operands kept(Tape& tape, Index i) {
  Operands all;
  tape.need_list(i);
  std::vector<Operand> kept;
  tape.append_operands(i, kept);
  for (const Operand& operand : kept) all.emplace_back(operand.node, shown(operand.partial));
  return all;
}

}  // namespace

TEST_CASE("one operand") {
  Tape tape;
  const Index x = tape.leaf(2.0);
  const Index y = tape.record<op<"square">()>(x);
  CHECK(tape.cell(y).primal == 4.0);
  CHECK(tape.cell(y).op == op<"square">());
  CHECK(tape.cell(y).owners == 1);
  CHECK(operands(tape, y) == Operands{{x, 4.0}});
}

TEST_CASE("two operands") {
  Tape tape;
  const Index x = tape.leaf(6.0);
  const Index y = tape.leaf(2.0);
  const Index z = tape.record<op<"div">()>(x, y);
  CHECK(tape.cell(z).primal == 3.0);
  CHECK(operands(tape, z) == Operands{{x, 0.5}, {y, -1.5}});
  CHECK(tape.cell(x).owners == 2);
  CHECK(tape.cell(y).owners == 2);
}

TEST_CASE("the same operand twice") {
  Tape tape;
  const Index x = tape.leaf(3.0);
  const Index y = tape.record<op<"mul">()>(x, x);
  CHECK(operands(tape, y) == Operands{{x, 3.0}, {x, 3.0}});
  CHECK(tape.cell(x).owners == 3);
}

TEST_CASE("a number on the right makes no node") {
  Tape tape;
  const Index x = tape.leaf(6.0);
  const Index z = tape.record<op<"sub">()>(x, 2.0);
  CHECK(tape.cell(z).primal == 4.0);
  CHECK(operands(tape, z) == Operands{{x, 1.0}});
  CHECK(tape.pool().alive() == 2);
  CHECK(kept(tape, z) == Operands{{x, 1.0}, {no_node, 2.0}});
}

TEST_CASE("a number on the left makes no node") {
  Tape tape;
  const Index y = tape.leaf(2.0);
  const Index z = tape.record<op<"div">()>(6.0, y);
  CHECK(tape.cell(z).primal == 3.0);
  CHECK(operands(tape, z) == Operands{{y, -1.5}});
  CHECK(tape.pool().alive() == 2);
  CHECK(kept(tape, z) == Operands{{no_node, 6.0}, {y, -1.5}});
}

TEST_CASE("the exponent of pow_const is a number for good") {
  Tape tape;
  const Index x = tape.leaf(2.0);
  const Index y = tape.record<op<"pow_const">()>(x, 3.0);
  CHECK(tape.cell(y).primal == 8.0);
  CHECK(operands(tape, y) == Operands{{x, 12.0}});
  tape.show_constants(y);
  CHECK(operands(tape, y) == Operands{{x, 12.0}});
  CHECK(tape.pool().alive() == 2);
}

TEST_CASE("three operands, each a node or a number") {
  Tape tape;
  const Index x = tape.leaf(5.0);
  const Index high = tape.leaf(4.0);
  const Index y =
      tape.record<op<"clip">()>(std::vector<Argument>{{x, 5.0}, {no_node, 1.0}, {high, 4.0}});
  CHECK(tape.cell(y).primal == 4.0);
  CHECK(operands(tape, y) == Operands{{x, absent}, {high, 1.0}});
  CHECK(kept(tape, y) == Operands{{x, absent}, {no_node, 1.0}, {high, 1.0}});
  CHECK(tape.cell(high).owners == 2);
}

TEST_CASE("any number of operands make one node") {
  Tape tape;
  const Index a = tape.leaf(1.0), b = tape.leaf(2.0), c = tape.leaf(3.0);
  const auto before = tape.pool().alive();
  const Index total = tape.record<op<"sum">()>(
      std::vector<Argument>{{a, 1.0}, {b, 2.0}, {no_node, 10.0}, {a, 1.0}});
  const Index product =
      tape.record<op<"dot">()>(std::vector<Argument>{{a, 1.0}, {no_node, 4.0}, {b, 2.0}, {c, 3.0}});
  CHECK(tape.pool().alive() == before + 2);
  CHECK(tape.cell(total).primal == 14.0);
  CHECK(operands(tape, total) == Operands{{a, 1.0}, {b, 1.0}, {a, 1.0}});
  CHECK(tape.cell(product).primal == 14.0);
  CHECK(operands(tape, product) == Operands{{a, 2.0}, {b, 1.0}, {c, 4.0}});
  CHECK(tape.cell(a).owners == 4);
}

TEST_CASE("an open node has the partials that it was given") {
  Tape tape;
  const Index a = tape.leaf(1.0), b = tape.leaf(2.0), c = tape.leaf(3.0);
  const std::vector<Operand> all = {{a, 0.1}, {b, 0.2}, {c, 0.3}, {a, 0.4}};
  for (std::size_t n = 1; n <= all.size(); ++n) {
    const Index y = tape.open(7.0, std::span(all).first(n));
    CHECK(tape.cell(y).op == Op::custom);
    CHECK(tape.cell(y).primal == 7.0);
    Operands expected;
    for (std::size_t k = 0; k < n; ++k) expected.emplace_back(all[k].node, all[k].partial);
    CHECK(operands(tape, y) == expected);
    tape.show_constants(y);
    CHECK(operands(tape, y) == expected);
    tape.release(y);
  }
  CHECK(tape.cell(a).owners == 1);
  const Index leaf = tape.open(7.0, {});
  CHECK(tape.cell(leaf).op == Op::leaf);
}

TEST_CASE("partials are those of the moment of recording") {
  Tape tape;
  const Index x = tape.leaf(2.0);
  const Index y = tape.record<op<"square">()>(x);
  tape.cell(x).primal = 100.0;
  tape.backward(y);
  CHECK(tape.link(x).adjoint == 4.0);
}

TEST_CASE("operations known at run time record as those known at compile time") {
  Tape tape;
  const auto code = static_cast<std::size_t>(op<"sub">());
  const Index x = tape.leaf(5.0), y = tape.leaf(3.0);
  const std::vector<Argument> both = {{x, 5.0}, {y, 3.0}}, right = {{x, 5.0}, {no_node, 3.0}},
                              left = {{no_node, 5.0}, {y, 3.0}};
  CHECK(operands(tape, operation_functions[code].record(tape, both)) ==
        Operands{{x, 1.0}, {y, -1.0}});
  CHECK(operands(tape, operation_functions[code].record(tape, right)) == Operands{{x, 1.0}});
  CHECK(operands(tape, operation_functions[code].record(tape, left)) == Operands{{y, -1.0}});
}

TEST_CASE("constants are shown as leaves in the order of the operation") {
  Tape tape;
  const Index x = tape.leaf(2.0);
  Index y = no_node;
  Operands expected;
  const auto constant = [&](std::size_t k) { return operands(tape, y)[k].first; };
  SUBCASE("on the right") {
    y = tape.record<op<"div">()>(x, 4.0);
    tape.show_constants(y);
    expected = {{x, 0.25}, {constant(1), -0.125}};
    CHECK(tape.cell(constant(1)).primal == 4.0);
  }
  SUBCASE("on the left") {
    y = tape.record<op<"div">()>(4.0, x);
    tape.show_constants(y);
    expected = {{constant(0), 0.5}, {x, -1.0}};
    CHECK(tape.cell(constant(0)).primal == 4.0);
  }
  SUBCASE("on the left, in an extra") {
    y = tape.record<op<"div">()>(4.0, x);
    tape.need_list(y);
    tape.show_constants(y);
    expected = {{constant(0), 0.5}, {x, -1.0}};
    CHECK(tape.cell(constant(0)).primal == 4.0);
  }
  SUBCASE("among three") {
    y = tape.record<op<"clip">()>(std::vector<Argument>{{no_node, 9.0}, {no_node, 0.0}, {x, 2.0}});
    tape.show_constants(y);
    expected = {{constant(0), absent}, {constant(1), absent}, {x, 1.0}};
    CHECK(tape.cell(constant(0)).primal == 9.0);
    CHECK(tape.cell(constant(1)).primal == 0.0);
  }
  SUBCASE("in a dot product") {
    y = tape.record<op<"dot">()>(std::vector<Argument>{{x, 2.0}, {no_node, 5.0}});
    tape.show_constants(y);
    expected = {{x, 5.0}, {constant(1), 2.0}};
  }
  CHECK(operands(tape, y) == expected);
  tape.show_constants(y);
  CHECK(operands(tape, y) == expected);
  tape.release(y);
  CHECK(tape.pool().alive() == 1);
}

TEST_CASE("a shown constant has the adjoint that a sweep would have given it") {
  Tape tape;
  const Index x = tape.leaf(2.0);
  const Index y = tape.record<op<"mul">()>(5.0, x);
  const Index z = tape.record<op<"square">()>(y);
  tape.backward(z);
  tape.show_constants(y);
  const Index constant = operands(tape, y)[0].first;
  CHECK(tape.link(constant).adjoint == 40.0);
  const Index fresh = tape.record<op<"mul">()>(x, 3.0);
  tape.show_constants(fresh);
  CHECK(tape.link(operands(tape, fresh)[1].first).adjoint == 0.0);
  tape.backward(tape.record<op<"neg">()>(fresh));
  CHECK(tape.link(operands(tape, fresh)[1].first).adjoint == -2.0);
}

TEST_CASE("a copy is a node of its own with the same operands") {
  Tape tape;
  const Index x = tape.leaf(2.0);
  tape.link(x).adjoint = 9.0;
  std::vector<Index> nodes = {
      x,
      tape.record<op<"exp">()>(x),
      tape.record<op<"mul">()>(x, x),
      tape.record<op<"sub">()>(x, 1.0),
      tape.record<op<"sub">()>(1.0, x),
      tape.record<op<"sum">()>(std::vector<Argument>{{x, 2.0}, {no_node, 1.0}, {x, 2.0}}),
  };
  for (const Index i : nodes) {
    const std::uint32_t owners = tape.cell(x).owners;
    tape.need_extra(i).label = "note";
    tape.link(i).adjoint = 9.0;
    const Index j = tape.copy(i);
    CHECK(j != i);
    CHECK(tape.cell(j).op == tape.cell(i).op);
    CHECK(tape.cell(j).primal == tape.cell(i).primal);
    CHECK(tape.cell(j).owners == 1);
    CHECK(tape.link(j).adjoint == 9.0);
    CHECK(tape.find_extra(j) == nullptr);
    CHECK(operands(tape, j) == operands(tape, i));
    CHECK(kept(tape, j) == kept(tape, i));
    tape.release(j);
    CHECK(tape.cell(x).owners == owners);
  }
}

TEST_CASE("a copy has no backward function") {
  Tape tape;
  const Index x = tape.leaf(2.0);
  const Index y = tape.record<op<"square">()>(x);
  int calls = 0;
  tape.set_backward(y, function([&](Index) { ++calls; }));
  tape.backward(tape.copy(y));
  CHECK(calls == 0);
  CHECK(tape.link(x).adjoint == 4.0);
}

TEST_CASE("a restored node is what was written down") {
  Tape tape;
  const Index x = tape.leaf(2.0);
  const Index y = tape.restore(op<"sub">(), 3.0, {{no_node, 5.0}, {x, -1.0}});
  CHECK(tape.cell(y).primal == 3.0);
  CHECK(tape.cell(y).op == op<"sub">());
  CHECK(operands(tape, y) == Operands{{x, -1.0}});
  tape.backward(y);
  CHECK(tape.link(x).adjoint == -1.0);
  tape.show_constants(y);
  REQUIRE(operands(tape, y).size() == 2);
  CHECK(tape.cell(operands(tape, y)[0].first).primal == 5.0);
  CHECK(operands(tape, y)[0].second == 1.0);
  tape.release(y);
  CHECK(tape.pool().alive() == 1);
}

TEST_CASE("numbers at the ends of the range are recorded as IEEE has them") {
  Tape tape;
  const double infinity = std::numeric_limits<double>::infinity();
  const Index zero = tape.leaf(0.0);
  CHECK(tape.cell(tape.record<op<"log">()>(zero)).primal == -infinity);
  CHECK(tape.cell(tape.record<op<"div">()>(1.0, zero)).primal == infinity);
  CHECK(std::isnan(tape.cell(tape.record<op<"div">()>(zero, zero)).primal));
}
