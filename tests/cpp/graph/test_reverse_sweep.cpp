#include <tapegrad/detail/graph/tape.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <stdexcept>
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
constexpr Op mul = op<"mul">();
constexpr Op square = op<"square">();

}  // namespace

TEST_CASE("the root's adjoint becomes the seed") {
  Tape tape;
  const Index x = tape.leaf(3.0);
  const Index y = tape.record<square>(x);
  tape.link(y).adjoint = 100.0;
  tape.backward(y);
  CHECK(tape.link(y).adjoint == 1.0);
  CHECK(tape.link(x).adjoint == 6.0);
  tape.backward(y, 0.5);
  CHECK(tape.link(y).adjoint == 0.5);
  CHECK(tape.link(x).adjoint == 9.0);
}

TEST_CASE("a leaf for a root") {
  Tape tape;
  const Index x = tape.leaf(3.0);
  tape.backward(x, 2.0);
  CHECK(tape.link(x).adjoint == 2.0);
}

TEST_CASE("a shared node passes its adjoint on once it has all of it") {
  Tape tape;
  const Index x = tape.leaf(3.0);
  const Index a = tape.record<square>(x);
  const Index b = tape.record<mul>(a, a);
  const Index c = tape.record<add>(b, a);
  tape.backward(tape.record<mul>(c, a));
  // With a = 9: (3 a^2 + 2 a) 2 x.
  CHECK(tape.link(x).adjoint == 261.0 * 6.0);
}

TEST_CASE("a chain of ten million nodes") {
  Tape tape;
  const Index x = tape.leaf(1.0);
  Index last = tape.record<neg>(x);
  for (int k = 1; k < 10'000'000; ++k) {
    const Index next = tape.record<neg>(last);
    tape.release(last);
    last = next;
  }
  tape.backward(last);
  CHECK(tape.link(x).adjoint == 1.0);
  tape.zero_adjoints(last);
  CHECK(tape.link(x).adjoint == 0.0);
}

TEST_CASE("blocks between the root and an old operand are passed over") {
  Tape tape;
  const Index x = tape.leaf(3.0);
  const Index old = tape.record<square>(x);
  std::vector<Index> between;
  for (int k = 0; k < 100'000; ++k) between.push_back(tape.record<neg>(x));
  for (const Index i : between) tape.link(i).adjoint = 5.0;
  tape.backward(tape.record<neg>(old));
  CHECK(tape.link(x).adjoint == -6.0);
  CHECK(std::all_of(between.begin(), between.end(),
                    [&](Index i) { return tape.link(i).adjoint == 5.0; }));
}

TEST_CASE("random graphs get the gradients of a naive sweep") {
  for (const unsigned seed : {1u, 2u, 3u, 4u, 5u}) {
    CAPTURE(seed);
    Reference graph(seed);
    graph.grow(6000);
    for (int round = 0; round < 12; ++round) {
      const std::size_t root = graph.pick();
      graph.backward(root, 1.0);
      REQUIRE(graph.mismatches() == 0);
    }
  }
}

TEST_CASE(
    "random graphs that lose and gain nodes between sweeps get the gradients of a naive one") {
  for (const unsigned seed : {11u, 12u, 13u}) {
    CAPTURE(seed);
    Reference graph(seed);
    for (int round = 0; round < 25; ++round) {
      graph.grow(1500);
      graph.shrink(1400);
      graph.backward(graph.pick(), 0.5);
      REQUIRE(graph.mismatches() == 0);
    }
  }
}

TEST_CASE("random adjoints are cleared below the root and nowhere else") {
  for (const unsigned seed : {21u, 22u, 23u}) {
    CAPTURE(seed);
    Reference graph(seed);
    graph.grow(4000);
    graph.scatter_adjoints();
    for (int round = 0; round < 5; ++round) {
      graph.zero(graph.pick());
      REQUIRE(graph.mismatches() == 0);
    }
  }
}

TEST_CASE("a second sweep finds what the first one left, as micrograd's does") {
  Tape tape;
  const Index x = tape.leaf(3.0);
  const Index y = tape.record<mul>(x, 2.0);
  const Index z = tape.record<mul>(y, 5.0);
  tape.backward(z);
  CHECK(tape.link(y).adjoint == 5.0);
  CHECK(tape.link(x).adjoint == 10.0);
  tape.backward(z);
  CHECK(tape.link(y).adjoint == 10.0);
  CHECK(tape.link(x).adjoint == 30.0);
  tape.zero_adjoints(z);
  tape.backward(z);
  CHECK(tape.link(x).adjoint == 10.0);
}

TEST_CASE("walk visits each node that has operands once and users first") {
  Tape tape;
  const Index x = tape.leaf(3.0);
  std::vector<Index> chain = {tape.record<square>(x)};
  for (int k = 0; k < 2000; ++k) {
    tape.record<neg>(x);
    chain.push_back(tape.record<add>(chain.back(), chain[chain.size() / 2]));
  }
  std::vector<Index> visited;
  walk(tape, chain.back(), [&](Index i) { visited.push_back(i); });
  std::reverse(visited.begin(), visited.end());
  CHECK(visited == chain);
  visited.clear();
  walk(tape, x, [&](Index i) { visited.push_back(i); });
  CHECK(visited == std::vector<Index>{x});
}

TEST_CASE("a walk that throws leaves nothing pending") {
  Tape tape;
  const Index x = tape.leaf(3.0);
  std::vector<Index> chain = {tape.record<square>(x)};
  for (int k = 0; k < 2000; ++k)
    chain.push_back(tape.record<add>(chain.back(), chain[chain.size() / 2]));
  int visits = 0;
  const auto visit = [&](Index) {
    if (++visits == 3) throw std::runtime_error("enough");
  };
  CHECK_THROWS_AS(walk(tape, chain.back(), visit), std::runtime_error);
  for (const Index i : chain) REQUIRE(at_rest(tape, i));
}

TEST_CASE("a backward function takes the place of the recorded partials") {
  Tape tape;
  const Index x = tape.leaf(3.0);
  const Index y = tape.record<square>(x);
  std::vector<Index> called;
  tape.set_backward(y, function([&](Index i) {
                      called.push_back(i);
                      tape.link(x).adjoint += 1000.0 * tape.link(i).adjoint;
                    }));
  const Index z = tape.record<mul>(y, 2.0);
  tape.backward(z);
  CHECK(called == std::vector<Index>{y});
  CHECK(tape.link(x).adjoint == 2000.0);
  tape.push_adjoint(y);
  CHECK(tape.link(x).adjoint == 4000.0);
  tape.push_recorded(y);
  CHECK(tape.link(x).adjoint == 4012.0);
}

TEST_CASE("a backward function sees the whole adjoint and its operands come after it") {
  Tape tape;
  const Index x = tape.leaf(3.0);
  const Index y = tape.record<square>(x);
  const Index hook = tape.record<neg>(y);
  const Index u = tape.record<mul>(hook, 2.0);
  const Index v = tape.record<add>(u, hook);
  double seen = 0.0;
  tape.set_backward(hook, function([&](Index i) {
                      seen = tape.link(i).adjoint;
                      CHECK(tape.link(x).adjoint == 0.0);
                      tape.link(y).adjoint += 10.0;
                    }));
  tape.backward(v);
  CHECK(seen == 3.0);
  CHECK(tape.link(x).adjoint == 60.0);
}

TEST_CASE("a leaf's backward function is called once in each sweep that reaches it") {
  Tape tape;
  std::vector<Index> leaves;
  std::vector<int> calls(2000);
  for (std::size_t k = 0; k < calls.size(); ++k) {
    leaves.push_back(tape.leaf(1.0));
    if (k % 7 == 0) tape.set_backward(leaves[k], function([&calls, k](Index) { ++calls[k]; }));
  }
  Index total = tape.record<neg>(leaves[1]);
  for (std::size_t k = 0; k < leaves.size(); k += 2) total = tape.record<add>(total, leaves[k]);
  tape.backward(total);
  for (std::size_t k = 0; k < leaves.size(); ++k) {
    REQUIRE(calls[k] == (k % 14 == 0 ? 1 : 0));
    REQUIRE(tape.link(leaves[k]).adjoint == (k % 2 == 0 ? 1.0 : k == 1 ? -1.0 : 0.0));
    REQUIRE(at_rest(tape, leaves[k]));
  }
  tape.backward(leaves[7]);
  CHECK(calls[7] == 1);
}

TEST_CASE("a backward function that throws leaves nothing pending and the graph usable") {
  Tape tape;
  const Index x = tape.leaf(3.0);
  const Index w = tape.leaf(1.0);
  int hooked = 0;
  tape.set_backward(w, function([&](Index) { ++hooked; }));
  const Index low = tape.record<mul>(x, w);
  std::vector<Index> many;
  for (int k = 0; k < 3000; ++k) many.push_back(tape.record<neg>(low));
  const Index bad = tape.record<neg>(x);
  bool fails = true;
  tape.set_backward(bad, function([&](Index i) {
                      if (fails) throw std::runtime_error("as it was");
                      tape.push_recorded(i);
                    }));
  Index root = bad;
  for (const Index i : many) root = tape.record<add>(root, i);
  // It fails while all of `many` are pending.
  root = tape.record<add>(root, low);
  CHECK_THROWS_WITH_AS(tape.backward(root), "as it was", std::runtime_error);
  for (const Index i : many) REQUIRE(at_rest(tape, i));
  for (const Index i : {low, bad, root, x, w}) CHECK(at_rest(tape, i));
  CHECK(hooked == 0);
  fails = false;
  tape.zero_adjoints(root);
  tape.backward(root);
  CHECK(tape.link(x).adjoint == -1.0 - 3000.0 + 1.0);
  CHECK(hooked == 1);
}

TEST_CASE("results are the same bit for bit from run to run") {
  std::vector<double> first;
  for (int run = 0; run < 2; ++run) {
    Reference graph(31);
    graph.grow(3000);
    graph.backward(graph.pick(), 1.0);
    if (run == 0) first = graph.adjoints();
    else CHECK(graph.adjoints() == first);
  }
}
