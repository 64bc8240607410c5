#include <tapegrad/detail/graph/arena.hpp>

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support.hpp"

using namespace tapegrad;
using testing::function;
using testing::witness;

namespace {

constexpr Op neg = op<"neg">();
constexpr Op add = op<"add">();

std::size_t alive(const Arena& arena) { return arena.pool().alive(); }

}  // namespace

TEST_CASE("a leaf is what it was given") {
  Arena arena;
  const Index x = arena.leaf(2.5);
  CHECK(arena.cell(x).primal == 2.5);
  CHECK(arena.link(x).adjoint == 0.0);
  CHECK(arena.cell(x).op == Op::leaf);
  CHECK(arena.cell(x).owners == 1);
  CHECK(!arena.has_list(x));
  CHECK(arena.find_extra(x) == nullptr);
}

TEST_CASE("a node lives as long as it has owners") {
  Arena arena;
  const Index x = arena.leaf(1.0);
  arena.own(x);
  arena.release(x);
  CHECK(alive(arena) == 1);
  arena.release(x);
  CHECK(alive(arena) == 0);
}

TEST_CASE("a handle is an owner as others are, and can be told from them") {
  Arena arena;
  const Index x = arena.leaf(1.0);
  arena.own(x);
  CHECK(!arena.has_handle(x));
  arena.give_to_handle(x);
  CHECK(arena.has_handle(x));
  arena.release(x);
  CHECK(arena.cell(x).owners == handle_owner);
  arena.take_from_handle(x);
  CHECK(!arena.has_handle(x));
  CHECK(arena.cell(x).owners == 1);
  arena.give_to_handle(x);
  arena.release(x, handle_owner);
  CHECK(alive(arena) == 0);
}

TEST_CASE("operands live as long as a user does") {
  Tape tape;
  const Index x = tape.leaf(1.0);
  const Index y = tape.record<neg>(x);
  const Index z = tape.record<add>(y, y);
  CHECK(tape.cell(y).owners == 3);
  tape.release(x);
  tape.release(y);
  CHECK(alive(tape) == 3);
  CHECK(tape.cell(y).primal == -1.0);
  tape.release(z);
  CHECK(alive(tape) == 0);
}

TEST_CASE("what outlives a graph is not touched when the graph goes") {
  Tape tape;
  const Index x = tape.leaf(1.0);
  const Index y = tape.record<neg>(x);
  const Index z = tape.record<add>(x, y);
  const Index w = tape.record<add>(z, y);
  tape.release(z);
  tape.release(w);
  CHECK(alive(tape) == 2);
  CHECK(tape.cell(x).owners == 2);
  CHECK(tape.cell(y).owners == 1);
  CHECK(tape.cell(y).primal == -1.0);
}

TEST_CASE("a chain of ten million nodes is dropped without recursion") {
  Tape tape;
  const Index x = tape.leaf(1.0);
  Index last = tape.record<neg>(x);
  for (int k = 1; k < 10'000'000; ++k) {
    const Index next = tape.record<neg>(last);
    tape.release(last);
    last = next;
  }
  CHECK(alive(tape) == 10'000'001);
  CHECK(tape.cell(last).primal == 1.0);
  tape.release(last);
  CHECK(alive(tape) == 1);
  tape.release(x);
  CHECK(alive(tape) == 0);
}

TEST_CASE("a million users of one node are dropped in any order") {
  Tape tape;
  const Index x = tape.leaf(1.0);
  std::vector<Index> users;
  for (int k = 0; k < 1'000'000; ++k) users.push_back(tape.record<neg>(x));
  CHECK(tape.cell(x).owners == 1'000'001);
  for (std::size_t k = 0; k < users.size(); k += 2) tape.release(users[k]);
  for (std::size_t k = users.size(); k-- > 0;)
    if (k % 2 == 1) tape.release(users[k]);
  CHECK(tape.cell(x).owners == 1);
  CHECK(alive(tape) == 1);
}

TEST_CASE("a node of a million operands drops them all") {
  Tape tape;
  std::vector<Argument> arguments;
  for (int k = 0; k < 1'000'000; ++k) arguments.push_back({tape.leaf(1.0), 1.0});
  const Index total = tape.record<op<"sum">()>(arguments);
  for (const Argument& argument : arguments) tape.release(argument.node);
  CHECK(alive(tape) == 1'000'001);
  CHECK(tape.cell(total).primal == 1e6);
  tape.release(total);
  CHECK(alive(tape) == 0);
}

TEST_CASE("in a random history all that can be reached lives, as it was, and nothing else") {
  Tape tape;
  std::mt19937 random(11);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  struct Known {
    double primal;
    std::vector<Index> operands;
  };
  std::map<Index, Known> known;  // the latest node of each index
  std::vector<Index> held;
  const auto hold = [&](Index i, std::vector<Index> operands) {
    known[i] = {tape.cell(i).primal, std::move(operands)};
    held.push_back(i);
  };
  const auto any = [&] { return held[held.size() - 1 - below(below(held.size()) + 1)]; };
  const auto drop = [&](std::size_t k) {
    std::swap(held[k], held.back());
    tape.release(held.back());
    held.pop_back();
  };
  for (int step = 0; step < 60'000; ++step) {
    const std::size_t what = held.size() < 5 ? 0 : below(8);
    if (what == 0) {
      hold(tape.leaf(step), {});
    } else if (what <= 4) {
      const Index a = any(), b = any();
      hold(tape.record<add>(a, b), {a, b});
    } else if (what == 5) {
      std::vector<Argument> arguments;
      std::vector<Index> operands;
      for (std::size_t k = 0, count = 2 * (1 + below(5)); k < count; ++k) {
        operands.push_back(any());
        arguments.push_back({operands.back(), tape.cell(operands.back()).primal});
      }
      const bool is_dot = below(2) == 0;
      hold(is_dot ? tape.record<op<"dot">()>(arguments) : tape.record<op<"sum">()>(arguments),
           operands);
      if (below(4) == 0) tape.need_extra(held.back()).label = "extra";
    } else {
      drop(below(held.size()));
    }
    // Now and then most handles go, so that a graph of many blocks does.
    const std::size_t most = step % 9'000 == 8'999 ? 20 : 4'000;
    while (held.size() > most) drop(below(held.size()));
    if (step % 3'000 != 2'999) continue;
    std::set<Index> reached(held.begin(), held.end());
    std::vector<Index> open(reached.begin(), reached.end());
    while (!open.empty()) {
      const Index i = open.back();
      open.pop_back();
      CHECK(tape.cell(i).primal == known.at(i).primal);
      for (const Index operand : known.at(i).operands)
        if (reached.insert(operand).second) open.push_back(operand);
    }
    CHECK(alive(tape) == reached.size());
  }
  while (!held.empty()) drop(below(held.size()));
  CHECK(alive(tape) == 0);
}

TEST_CASE("a sum of products takes with it what nothing else needs") {
  Tape tape;
  std::mt19937 random(7);
  const auto one_in = [&](unsigned n) { return random() % n == 0; };
  std::map<Index, std::vector<Index>> operands;
  std::set<Index> extra;
  int attached = 0;
  std::vector<Index> held;
  for (int k = 0; k < 30; ++k) held.push_back(tape.leaf(k));
  const auto any = [&] { return held[random() % held.size()]; };
  const auto made = [&](Index node, std::vector<Index> of) {
    operands[node] = std::move(of);
    if (one_in(30)) {
      tape.need_extra(node).attachment = witness([&] { --attached; });
      ++attached;
      extra.insert(node);
    } else {
      extra.erase(node);
    }
    return node;
  };
  // Of what is held, all but leaves have handles.
  const auto owner_of = [&](Index node) { return tape.has_handle(node) ? handle_owner : 1; };
  const auto let_go = [&](Index node) {
    if (!one_in(30)) return tape.release(node);
    tape.give_to_handle(node);
    held.push_back(node);
  };
  for (int round = 0; round < 20; ++round) {
    const Index a = any(), b = any();
    Index sum = made(tape.record<op<"mul">()>(a, b), {a, b});
    for (int term = 0; term < 1'500; ++term) {
      const Index x = one_in(30) ? sum : any(), y = any();
      const Index product = one_in(30) ? made(tape.record<op<"mul">()>(x, 2.0), {x})
                                       : made(tape.record<op<"mul">()>(x, y), {x, y});
      const Index next = made(tape.record<add>(sum, product), {sum, product});
      let_go(product);
      let_go(std::exchange(sum, next));
    }
    tape.release(sum);
    std::map<Index, std::uint32_t> owners;
    std::vector<Index> open;
    const auto own = [&](Index node, std::uint32_t owner) {
      if (owners[node] == 0) open.push_back(node);
      owners[node] += owner;
    };
    for (const Index node : held) own(node, owner_of(node));
    while (!open.empty()) {
      const Index node = open.back();
      open.pop_back();
      for (const Index operand : operands[node]) own(operand, 1);
    }
    CHECK(alive(tape) == owners.size());
    std::size_t visited = 0;
    tape.pool().each_newer(held[0], [&](Index) { ++visited; });
    CHECK(visited == owners.size() - 30);
    int with_note = 0;
    for (const auto& [node, count] : owners) {
      CHECK(tape.cell(node).owners == count);
      with_note += extra.contains(node);
    }
    CHECK(attached == with_note);
    while (held.size() > 60) {
      std::swap(held[30 + random() % (held.size() - 30)], held.back());
      tape.release(held.back(), owner_of(held.back()));
      held.pop_back();
    }
  }
  for (const Index node : held) tape.release(node, owner_of(node));
  CHECK(alive(tape) == 0);
}

TEST_CASE("operand lists and notes go with their node and their places are used again") {
  Tape tape;
  const Index x = tape.leaf(1.0);
  const auto step = [&] {
    std::vector<Index> nodes;
    for (int k = 0; k < 100; ++k) {
      nodes.push_back(tape.record<op<"clip">()>(std::vector<Argument>{{x, 1.0}, {}, {}}));
      tape.need_extra(nodes.back()).label = "a label too long for any small string";
    }
    for (const Index i : nodes) tape.release(i);
  };
  step();
  const std::size_t bytes = tape.bytes();
  for (int k = 0; k < 1000; ++k) step();
  CHECK(tape.bytes() == bytes);
  CHECK(tape.cell(x).owners == 1);
}

TEST_CASE("a slot that is used again has nothing of its former node") {
  Tape tape;
  const Index x = tape.leaf(1.0);
  Index y = tape.record<neg>(x);
  tape.need_extra(y).label = "old";
  tape.set_backward(y, function([](Index) {}));
  tape.link(y).adjoint = 7.0;
  tape.release(y);
  const Index z = tape.record<neg>(x);
  REQUIRE(z == y);
  CHECK(tape.find_extra(z) == nullptr);
  CHECK(!tape.has_list(z));
  CHECK(tape.link(z).adjoint == 0.0);
  tape.need_extra(x).label = "old leaf";
  tape.set_backward(x, function([](Index) {}));
  tape.release(z);
  tape.release(x);
  const Index w = tape.leaf(2.0);
  REQUIRE(w == x);
  CHECK(tape.find_extra(w) == nullptr);
  CHECK(!tape.has_list(w));
}

TEST_CASE("attachments and backward functions are destroyed with their node once") {
  Tape tape;
  int destroyed = 0;
  struct Counting final : Backward {
    explicit Counting(int& count) : count(count) {}
    ~Counting() override { ++count; }
    void operator()(Index) override {}
    int& count;
  };
  const Index x = tape.leaf(1.0);
  const Index y = tape.record<neg>(x);
  tape.need_extra(y).attachment = witness([&] { ++destroyed; });
  tape.set_backward(y, std::make_unique<Counting>(destroyed));
  CHECK(destroyed == 0);
  tape.set_backward(y, std::make_unique<Counting>(destroyed));
  CHECK(destroyed == 1);
  tape.release(y);
  CHECK(destroyed == 3);
}

TEST_CASE("an attachment is destroyed only when the nodes of its graph are gone") {
  Tape tape;
  const Index x = tape.leaf(1.0);
  Index y = x;
  std::vector<std::size_t> seen;
  for (int k = 0; k < 5; ++k) {
    const Index z = tape.record<neg>(y);
    tape.release(y);
    tape.need_extra(z).attachment = witness([&] { seen.push_back(alive(tape)); });
    y = z;
  }
  tape.release(y);
  CHECK(seen == std::vector<std::size_t>(5, 0));
}

TEST_CASE("attachments that hold further nodes make a chain that is dropped without recursion") {
  Tape tape;
  const Index x = tape.leaf(1.0);
  Index held = tape.record<neg>(x);
  int destroyed = 0;
  for (int k = 0; k < 300'000; ++k) {
    const Index y = tape.record<neg>(x);
    tape.need_extra(y).attachment = witness([&tape, &destroyed, held] {
      ++destroyed;
      tape.release(held);
    });
    held = y;
  }
  tape.release(held);
  CHECK(destroyed == 300'000);
  CHECK(alive(tape) == 1);
}

TEST_CASE("a destructor may record and keep what it recorded") {
  Tape tape;
  const Index x = tape.leaf(1.0);
  std::vector<Index> recorded;
  for (int k = 0; k < 1000; ++k) {
    const Index y = tape.record<neg>(x);
    const Index z = tape.record<add>(y, x);
    tape.release(y);
    tape.need_extra(y).attachment = witness([&] {
      const Index a = tape.record<neg>(x);
      const Index b = tape.record<add>(a, x);
      tape.release(a);
      tape.backward(b);
      tape.release(tape.record<neg>(b));
      recorded.push_back(b);
    });
    tape.release(z);
  }
  CHECK(recorded.size() == 1000);
  CHECK(alive(tape) == 1 + 2 * recorded.size());
  for (const Index b : recorded) {
    CHECK(tape.cell(b).owners == 1);
    CHECK(tape.cell(b).primal == 0.0);
    tape.release(b);
  }
  CHECK(alive(tape) == 1);
}

TEST_CASE("what is discarded while another is being destroyed is destroyed after it") {
  Arena arena;
  std::vector<int> order;
  arena.discard(witness([&] {
    arena.discard(witness([&] { order.push_back(2); }));
    order.push_back(1);
  }));
  CHECK(order == std::vector<int>{1, 2});
  arena.discard(nullptr);
  arena.discard(witness([&] { order.push_back(3); }));
  CHECK(order.back() == 3);
}

TEST_CASE("operands in an extra keep their order and their constants") {
  Tape tape;
  const Index x = tape.leaf(3.0);
  const Index y = tape.record<op<"sub">()>(10.0, x);
  tape.need_list(y);
  std::vector<Operand> operands;
  tape.append_operands(y, operands);
  REQUIRE(operands.size() == 2);
  CHECK(operands[0].node == no_node);
  CHECK(operands[0].partial == 10.0);
  CHECK(operands[1].node == x);
  CHECK(operands[1].partial == -1.0);
  const OperandList* const list = tape.list(y);
  tape.need_list(y);
  CHECK(tape.list(y) == list);
  tape.release(y);
  CHECK(tape.cell(x).owners == 1);
}

TEST_CASE("labels stay with their nodes while others come and go") {
  Tape tape;
  std::vector<Index> nodes;
  for (int k = 0; k < 2000; ++k) {
    nodes.push_back(tape.leaf(k));
    tape.need_extra(nodes.back()).label = std::to_string(k);
  }
  for (std::size_t k = 0; k < nodes.size(); k += 3) tape.release(nodes[k]);
  for (std::size_t k = 0; k < nodes.size(); ++k)
    if (k % 3 != 0) CHECK(tape.find_extra(nodes[k])->label == std::to_string(k));
}

TEST_CASE("a full arena leaves the graph as it was") {
  Tape tape(2 * NodePool::size);
  const Index x = tape.leaf(1.0);
  const std::vector<Argument> arguments(3, Argument{x, 1.0});
  std::vector<Index> nodes;
  while (nodes.size() < NodePool::size) nodes.push_back(tape.record<neg>(x));
  const std::uint32_t owners = tape.cell(x).owners;
  const auto full = alive(tape);
  CHECK_THROWS_AS(tape.record<neg>(x), ArenaFull);
  CHECK_THROWS_AS(tape.record<add>(x, x), ArenaFull);
  CHECK_THROWS_AS(tape.record<add>(2.0, x), ArenaFull);
  CHECK_THROWS_AS(tape.record<op<"sum">()>(arguments), ArenaFull);
  CHECK_THROWS_AS(tape.copy(nodes[0]), ArenaFull);
  CHECK(tape.cell(x).owners == owners);
  CHECK(alive(tape) == full);
  tape.backward(nodes[0]);
  CHECK(tape.link(x).adjoint == -1.0);
}
