// What a backward function may do while its own sweep is under way.
#include <tapegrad/detail/graph/reverse_sweep.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "reference.hpp"
#include "support.hpp"

using namespace tapegrad;
using testing::at_rest;
using testing::function;
using testing::Reference;

namespace {

constexpr Op neg = op<"neg">();
constexpr Op add = op<"add">();
constexpr Op sub = op<"sub">();
constexpr Op mul = op<"mul">();
constexpr Op square = op<"square">();

// While hook's function runs, `waiting` is pending.
struct Waiting {
  explicit Waiting(std::function<Index(Tape&, Index)> make) {
    x = tape.leaf(2.0);
    waiting = make(tape, x);
    hook = tape.record<neg>(x);
    root = tape.record<add>(waiting, hook);
  }
  // The derivative of the root by x, when this is done in hook's function.
  double slope_after(std::function<void()> action) {
    tape.set_backward(hook, function([this, action](Index i) {
                        action();
                        tape.push_recorded(i);
                      }));
    tape.backward(root);
    return tape.link(x).adjoint;
  }
  Tape tape;
  Index x, waiting, hook, root;
};

const auto squared = [](Tape& tape, Index x) { return tape.record<square>(x); };
const auto three_minus = [](Tape& tape, Index x) { return tape.record<sub>(3.0, x); };

}  // namespace

TEST_CASE("a sweep of another graph of the same tape") {
  Tape tape;
  const Index x = tape.leaf(2.0), other = tape.leaf(5.0);
  const Index other_root = tape.record<square>(other);
  const Index low = tape.record<square>(x);
  int spread = 0;
  SUBCASE("in the same block") { spread = 1; }
  SUBCASE("with nodes pending in several blocks") { spread = 3000; }
  std::vector<Index> middle;
  for (int k = 0; k < spread; ++k) middle.push_back(tape.record<neg>(x));
  const Index high = tape.record<mul>(x, 10.0);
  const Index hook = tape.record<neg>(x);
  tape.set_backward(hook, function([&](Index i) {
                      tape.backward(other_root);
                      tape.push_recorded(i);
                    }));
  Index root = tape.record<add>(low, high);
  root = tape.record<add>(root, middle[middle.size() / 2]);
  root = tape.record<add>(root, hook);
  tape.backward(root);
  CHECK(tape.link(other).adjoint == 10.0);
  CHECK(tape.link(x).adjoint == 4.0 + 10.0 - 1.0 - 1.0);
  for (const Index i : {low, high, hook, root, other_root}) CHECK(at_rest(tape, i));
}

TEST_CASE("a sweep of a part of the same graph") {
  Tape tape;
  const Index x = tape.leaf(2.0);
  const Index part = tape.record<square>(x);
  const Index hook = tape.record<neg>(part);
  const Index root = tape.record<add>(part, hook);
  tape.set_backward(hook, function([&](Index i) {
                      // As a hand-written sweep would: part has 1 of root, becomes 1, x gets 4.
                      tape.backward(part);
                      CHECK(tape.link(x).adjoint == 4.0);
                      tape.push_recorded(i);
                    }));
  tape.backward(root);
  CHECK(tape.link(part).adjoint == 0.0);
  CHECK(tape.link(x).adjoint == 4.0);
}

TEST_CASE("a sweep of a graph that is recorded and dropped on the spot") {
  Tape tape;
  const Index x = tape.leaf(2.0), far = tape.record<square>(x);
  for (int k = 0; k < 1000; ++k) tape.record<neg>(x);
  const Index near = tape.record<square>(x);
  const Index hook = tape.record<neg>(x);
  double inner = 0.0;
  tape.set_backward(hook, function([&](Index i) {
                      const Index y = tape.leaf(3.0);
                      std::vector<Index> fresh = {tape.record<square>(y)};
                      for (int k = 0; k < 2000; ++k)
                        fresh.push_back(tape.record<add>(fresh.back(), y));
                      tape.backward(fresh.back());
                      inner = tape.link(y).adjoint;
                      for (const Index j : fresh) tape.release(j);
                      tape.release(y);
                      tape.push_recorded(i);
                    }));
  Index root = tape.record<add>(far, near);
  root = tape.record<add>(root, hook);
  const auto alive = tape.pool().alive();
  tape.backward(root);
  CHECK(inner == 2006.0);
  CHECK(tape.link(x).adjoint == 7.0);
  CHECK(tape.pool().alive() == alive);
}

TEST_CASE("sweeps within sweeps within sweeps") {
  Tape tape;
  constexpr std::size_t depth = 6;
  std::vector<Index> xs(depth), roots(depth);
  for (std::size_t k = 0; k < depth; ++k) {
    xs[k] = tape.leaf(2.0);
    const Index low = tape.record<square>(xs[k]);
    for (int n = 0; n < 700; ++n) tape.record<neg>(xs[k]);
    const Index high = tape.record<square>(xs[k]);
    const Index hook = tape.record<neg>(xs[k]);
    tape.set_backward(hook, function([&tape, &roots, k](Index i) {
                        if (k > 0) tape.backward(roots[k - 1]);
                        tape.push_recorded(i);
                        if (k > 0) tape.backward(roots[k - 1]);
                      }));
    roots[k] = tape.record<add>(tape.record<add>(low, high), hook);
    for (int n = 0; n < 700; ++n) tape.record<neg>(xs[k]);
  }
  // The outermost runs first and the oldest graph last: each level runs the one below twice.
  tape.backward(roots[depth - 1]);
  CHECK(tape.link(xs[depth - 1]).adjoint == 7.0);
  CHECK(tape.link(xs[depth - 2]).adjoint > 7.0);
  for (const Index i : roots) CHECK(at_rest(tape, i));
}

TEST_CASE("a sweep on another tape") {
  Tape tape, other;
  const Index x = tape.leaf(2.0), y = other.leaf(3.0);
  const Index there = other.record<square>(y);
  const Index low = tape.record<square>(x);
  const Index hook = tape.record<neg>(x);
  tape.set_backward(hook, function([&](Index i) {
                      other.backward(there, tape.link(i).adjoint);
                      tape.push_recorded(i);
                    }));
  tape.backward(tape.record<add>(low, hook), 2.0);
  CHECK(other.link(y).adjoint == 12.0);
  CHECK(tape.link(x).adjoint == 6.0);
}

TEST_CASE("an inner sweep that throws") {
  Tape tape;
  const Index x = tape.leaf(2.0), y = tape.leaf(3.0);
  const Index inner_low = tape.record<square>(y);
  const Index inner_bad = tape.record<neg>(y);
  tape.set_backward(inner_bad, function([](Index) { throw std::runtime_error("inner"); }));
  const Index inner = tape.record<add>(inner_low, inner_bad);
  const Index low = tape.record<square>(x);
  for (int k = 0; k < 1000; ++k) tape.record<neg>(x);
  const Index high = tape.record<square>(x);
  const Index hook = tape.record<neg>(x);
  const Index root = tape.record<add>(tape.record<add>(low, high), hook);
  bool caught = false;
  SUBCASE("and is caught goes no further") {
    tape.set_backward(hook, function([&](Index i) {
                        CHECK_THROWS_WITH(tape.backward(inner), "inner");
                        caught = true;
                        tape.push_recorded(i);
                      }));
    tape.backward(root);
    CHECK(caught);
    CHECK(tape.link(x).adjoint == 7.0);
  }
  SUBCASE("and is not caught ends both") {
    tape.set_backward(hook, function([&](Index) { tape.backward(inner); }));
    CHECK_THROWS_WITH(tape.backward(root), "inner");
    tape.set_backward(hook, nullptr);
    tape.zero_adjoints(root);
    tape.backward(root);
    CHECK(tape.link(x).adjoint == 7.0);
  }
  for (const Index i : {inner_low, inner_bad, inner, low, high, hook, root})
    CHECK(at_rest(tape, i));
}

TEST_CASE("a node that is pending is copied") {
  Waiting w(squared);
  Index copy = no_node;
  CHECK(w.slope_after([&] { copy = w.tape.copy(w.waiting); }) == 3.0);
  CHECK(w.tape.cell(w.x).owners == 4);
  CHECK(at_rest(w.tape, copy));
  w.tape.link(w.x).adjoint = 0.0;
  w.tape.backward(copy);
  CHECK(w.tape.link(w.x).adjoint == 4.0);
  w.tape.release(copy);
  CHECK(w.tape.cell(w.x).owners == 3);
}

TEST_CASE("the constants of a node that is pending are shown") {
  Waiting w(three_minus);
  CHECK(w.slope_after([&] { w.tape.show_constants(w.waiting); }) == -2.0);
  std::vector<Index> operands;
  w.tape.each_operand(w.waiting, [&](Index node, double) { operands.push_back(node); });
  REQUIRE(operands.size() == 2);
  CHECK(w.tape.cell(operands[0]).primal == 3.0);
  CHECK(w.tape.link(operands[0]).adjoint == 1.0);
  CHECK(operands[1] == w.x);
}

TEST_CASE("a node that is pending is given a backward function and it is used") {
  Waiting w(squared);
  int calls = 0;
  const double slope = w.slope_after([&] {
    w.tape.set_backward(w.waiting, function([&](Index i) {
                          ++calls;
                          w.tape.push_recorded(i);
                        }));
  });
  CHECK(slope == 3.0);
  CHECK(calls == 1);
}

TEST_CASE("the operands of a node that is pending are looked at in an extra") {
  Waiting w(three_minus);
  CHECK(w.slope_after([&] { w.tape.need_list(w.waiting); }) == -2.0);
}

TEST_CASE("a backward function that is replaced while it runs runs to its end") {
  Tape tape;
  const Index x = tape.leaf(2.0);
  const Index y = tape.record<square>(x);
  std::string said;
  auto text = std::make_shared<std::string>("still here");
  const std::weak_ptr<std::string> alive = text;
  tape.set_backward(y, function([&tape, &said, y, mine = *text, text](Index i) {
                      tape.set_backward(y, nullptr);
                      said = mine;
                      tape.push_recorded(i);
                    }));
  text.reset();
  tape.backward(y);
  CHECK(said == "still here");
  CHECK(tape.link(x).adjoint == 4.0);
  CHECK(alive.expired());
  tape.backward(y);
  CHECK(tape.link(x).adjoint == 8.0);
}

TEST_CASE("nodes that are recorded in a backward function are not part of the sweep") {
  Tape tape;
  const Index x = tape.leaf(2.0);
  const Index y = tape.record<square>(x);
  const Index hook = tape.record<neg>(y);
  std::vector<Index> fresh;
  tape.set_backward(hook, function([&](Index i) {
                      for (int k = 0; k < 2000; ++k) {
                        fresh.push_back(tape.record<square>(y));
                        tape.release(tape.leaf(1.0));
                      }
                      tape.push_recorded(i);
                    }));
  tape.backward(hook);
  CHECK(tape.link(x).adjoint == -4.0);
  for (const Index i : fresh) REQUIRE(tape.link(i).adjoint == 0.0);
}

TEST_CASE("random graphs whose backward functions do all of this get a naive sweep's gradients") {
  for (const unsigned seed : {41u, 42u, 43u, 44u}) {
    CAPTURE(seed);
    Reference graph(seed);
    Tape& tape = graph.tape();
    graph.grow(3000);
    const Index y = tape.leaf(3.0);
    std::vector<Index> kept;
    const Index standing = tape.record<square>(y);
    const auto any_node = [&] { return graph.nodes()[graph.below(graph.nodes().size())].index; };
    const auto act = [&](Index i) {
      switch (graph.below(7)) {
        case 0:
          tape.backward(standing);
          break;
        case 1:
          kept.push_back(tape.copy(any_node()));
          break;
        case 2:
          tape.show_constants(any_node());
          break;
        case 3:
          tape.need_list(any_node());
          break;
        case 4:
          for (int k = 0; k < 600; ++k) kept.push_back(tape.record<square>(standing));
          break;
        case 5:
          for (const Index k : kept) tape.release(k);
          kept.clear();
          break;
        default: {
          const Index z = tape.leaf(1.0);
          const Index fresh = tape.record<add>(z, z);
          tape.backward(fresh);
          tape.release(fresh);
          tape.release(z);
        }
      }
      tape.push_recorded(i);
    };
    for (int k = 0; k < 60; ++k) {
      const auto& node = graph.nodes()[graph.pick()];
      if (!node.operands.empty()) tape.set_backward(node.index, function(act));
    }
    for (int round = 0; round < 6; ++round) {
      graph.backward(graph.pick(), 1.0);
      REQUIRE(graph.mismatches() == 0);
    }
  }
}
