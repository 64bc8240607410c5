#include <tapegrad/detail/graph/tape.hpp>

#include <doctest/doctest.h>

#include <set>
#include <vector>

#include "support.hpp"

using namespace tapegrad;
using testing::function;

namespace {

constexpr Op sum = op<"sum">();
constexpr Op dot = op<"dot">();

std::vector<Argument> arguments_of(const Tape& tape, const std::vector<Index>& nodes) {
  std::vector<Argument> arguments;
  for (const Index i : nodes) arguments.push_back({i, tape.cell(i).primal});
  return arguments;
}

std::vector<Index> leaves(Tape& tape, std::size_t count) {
  std::vector<Index> nodes;
  for (std::size_t k = 0; k < count; ++k) nodes.push_back(tape.leaf(0.5 + static_cast<double>(k)));
  return nodes;
}

}  // namespace

TEST_CASE("a list has room for what was asked, whatever its length") {
  OperandPool lists;
  std::vector<OperandList*> taken;
  for (std::size_t size = 0; size < 3000; size = size * 5 / 4 + 1) {
    OperandList* list = lists.take(size);
    CHECK(list->size == size);
    CHECK(list->owners == 1);
    for (std::size_t k = 0; k < size; ++k) {
      list->numbers()[k] = static_cast<double>(k);
      list->nodes()[k] = static_cast<Index>(size);
    }
    taken.push_back(list);
  }
  for (OperandList* list : taken) {
    for (std::size_t k = 0; k < list->size; ++k) {
      REQUIRE(list->numbers()[k] == static_cast<double>(k));
      REQUIRE(list->nodes()[k] == list->size);
    }
    lists.give_back(list);
  }
}

TEST_CASE("a list that was given back is the next of its size") {
  OperandPool lists;
  OperandList* const first = lists.take(20);
  OperandList* const second = lists.take(20);
  lists.give_back(first);
  lists.give_back(second);
  CHECK(lists.take(20) == second);
  CHECK(lists.take(19) == first);
}

TEST_CASE("no more memory is taken for what comes and goes") {
  OperandPool lists;
  std::size_t bytes = 0;
  for (int round = 0; round < 100; ++round) {
    std::vector<OperandList*> taken;
    for (std::size_t k = 0; k < 300; ++k) taken.push_back(lists.take(k * 7 % 100));
    for (OperandList* list : taken) lists.give_back(list);
    if (round == 0) bytes = lists.bytes();
    CHECK(lists.bytes() == bytes);
  }
}

TEST_CASE("long lists go back to the system") {
  OperandPool lists;
  const std::size_t before = lists.bytes();
  OperandList* const list = lists.take(1000000);
  CHECK(lists.bytes() - before >= 12000000);
  lists.give_back(list);
  CHECK(lists.bytes() == before);
}

TEST_CASE("classes of size hold what belongs to them and waste at most a quarter") {
  for (std::size_t bytes = 1; bytes <= OperandPool::longest; ++bytes) {
    const std::size_t given = size_class::bytes(size_class::of(bytes));
    REQUIRE(given >= bytes);
    REQUIRE(given % alignof(OperandList) == 0);
    REQUIRE(given <= std::max<std::size_t>(size_class::smallest, bytes + bytes / 4));
  }
}

TEST_CASE("rows of a product share the list of what they are multiplied by") {
  Tape tape;
  const std::vector<Index> x = leaves(tape, 3);
  const Index w = tape.leaf(2.0), b = tape.leaf(10.0);
  std::vector<Index> rows;
  {
    OperandListBuilder xs(tape, 3);
    for (const Index i : x) xs.add(i, tape.cell(i).primal);
    for (int k = 0; k < 4; ++k) {
      OperandListBuilder row(tape, 4);
      for (int j = 0; j < 3; ++j) row.add(w, 2.0);
      row.add_start({b, 10.0});
      rows.push_back(tape.record_dot(row.list(), xs.list()));
    }
    CHECK(tape.factors(rows[0]) == &xs.list());
    CHECK(xs.list().owners == 5);
  }
  for (const Index i : rows) CHECK(tape.cell(i).primal == 19.0);
  CHECK(tape.cell(x[0]).owners == 2);
  CHECK(tape.cell(w).owners == 13);
  std::vector<std::pair<Index, double>> operands;
  tape.each_operand(rows[1], [&](Index i, double partial) { operands.emplace_back(i, partial); });
  const std::vector<std::pair<Index, double>> expected = {
      {w, 0.5}, {w, 1.5}, {w, 2.5}, {x[0], 2.0}, {x[1], 2.0}, {x[2], 2.0}, {b, 1.0}};
  CHECK(operands == expected);
  const Index total = tape.record<sum>(arguments_of(tape, rows));
  tape.backward(total);
  CHECK(tape.link(w).adjoint == 18.0);
  CHECK(tape.link(b).adjoint == 4.0);
  for (const Index i : x) CHECK(tape.link(i).adjoint == 8.0);
  for (const Index i : rows) tape.release(i);
  tape.release(total);
  CHECK(tape.cell(w).owners == 1);
  for (const Index i : x) CHECK(tape.cell(i).owners == 1);
}

TEST_CASE("rows swept together get what each would get alone") {
  Tape tape;
  const std::vector<Index> x = leaves(tape, 5);
  const Index left_out = tape.leaf(1.0);
  // More rows than fit a block; one of them is not reached.
  std::vector<Index> rows, reached;
  {
    OperandListBuilder xs(tape, 5);
    for (const Index i : x) xs.add(i, tape.cell(i).primal);
    for (int k = 0; k < 1300; ++k) {
      OperandListBuilder row(tape, 5);
      for (int j = 0; j < 5; ++j) row.add(no_node, k == 700 ? 1e6 : 1.0 + k % 7);
      rows.push_back(tape.record_dot(row.list(), xs.list()));
      if (k != 700) reached.push_back(rows.back());
    }
  }
  tape.backward(tape.record<sum>(arguments_of(tape, reached)));
  double expected = 0.0;
  for (int k = 0; k < 1300; ++k)
    if (k != 700) expected += 1.0 + k % 7;
  for (const Index i : x) CHECK(tape.link(i).adjoint == expected);
  CHECK(tape.link(rows[700]).adjoint == 0.0);
  CHECK(tape.link(left_out).adjoint == 0.0);
  for (const Index i : rows) CHECK(testing::at_rest(tape, i));
}

TEST_CASE("a row among others may have a backward function") {
  Tape tape;
  const std::vector<Index> x = leaves(tape, 3);
  std::vector<Index> rows;
  OperandListBuilder xs(tape, 3);
  for (const Index i : x) xs.add(i, 1.0);
  for (int k = 0; k < 5; ++k) {
    OperandListBuilder row(tape, 3);
    for (int j = 0; j < 3; ++j) row.add(no_node, 2.0);
    rows.push_back(tape.record_dot(row.list(), xs.list()));
  }
  int calls = 0;
  tape.set_backward(rows[2], function([&](Index i) {
                      ++calls;
                      CHECK(tape.link(x[0]).adjoint == 4.0);  // of the two newer rows
                      tape.push_recorded(i);
                    }));
  tape.backward(tape.record<sum>(arguments_of(tape, rows)));
  CHECK(calls == 1);
  for (const Index i : x) CHECK(tape.link(i).adjoint == 10.0);
}

TEST_CASE("a list may be multiplied by itself") {
  Tape tape;
  const std::vector<Index> x = leaves(tape, 3);
  Index y;
  {
    OperandListBuilder xs(tape, 3);
    for (const Index i : x) xs.add(i, tape.cell(i).primal);
    y = tape.record_dot(xs.list(), xs.list());
  }
  CHECK(tape.cell(y).primal == 8.75);
  tape.backward(y);
  for (const Index i : x) CHECK(tape.link(i).adjoint == 2.0 * tape.cell(i).primal);
  tape.release(y);
  for (const Index i : x) CHECK(tape.cell(i).owners == 1);
}

TEST_CASE("constants of a shared list are shown for one node alone") {
  Tape tape;
  const Index w = tape.leaf(3.0);
  std::vector<Index> rows;
  {
    OperandListBuilder xs(tape, 2);
    xs.add(no_node, 5.0);
    xs.add(no_node, 7.0);
    for (int k = 0; k < 2; ++k) {
      OperandListBuilder row(tape, 2);
      row.add(w, 3.0);
      row.add(no_node, 4.0);
      rows.push_back(tape.record_dot(row.list(), xs.list()));
    }
  }
  const Index other = tape.copy(rows[0]);
  tape.backward(rows[0]);
  tape.show_constants(rows[0]);
  std::vector<std::pair<double, double>> shown;
  tape.each_operand(
      rows[0], [&](Index i, double partial) { shown.emplace_back(tape.cell(i).primal, partial); });
  CHECK(shown ==
        std::vector<std::pair<double, double>>{{3.0, 5.0}, {4.0, 7.0}, {5.0, 3.0}, {7.0, 4.0}});
  for (const Index i : {rows[1], other}) {
    std::size_t count = 0;
    tape.each_operand(i, [&](Index, double) { ++count; });
    CHECK(count == 1);
  }
  CHECK(tape.link(w).adjoint == 5.0);
  tape.link(w).adjoint = 0.0;
  tape.backward(rows[0]);
  CHECK(tape.link(w).adjoint == 5.0);
  for (const Index i : {rows[0], rows[1], other}) tape.release(i);
  CHECK(tape.pool().alive() == 1);
}

TEST_CASE("a node that shares no list is an owner of each of its operands") {
  Tape tape;
  const Index x = tape.leaf(3.0), w = tape.leaf(2.0);
  std::vector<Index> rows;
  {
    OperandListBuilder xs(tape, 1);
    xs.add(x, 3.0);
    for (int k = 0; k < 3; ++k) {
      OperandListBuilder row(tape, 1);
      row.add(w, 2.0);
      rows.push_back(tape.record_dot(row.list(), xs.list()));
    }
  }
  CHECK(tape.cell(x).owners == 2);
  tape.unshare(rows[1]);
  CHECK(tape.cell(x).owners == 3);
  tape.unshare(rows[1]);
  tape.unshare(rows[0]);
  tape.unshare(rows[2]);
  CHECK(tape.cell(x).owners == 4);
  CHECK(tape.cell(w).owners == 4);
  for (const Index i : rows) {
    tape.backward(i);
    tape.release(i);
  }
  CHECK(tape.link(x).adjoint == 6.0);
  CHECK(tape.link(w).adjoint == 9.0);
  CHECK(tape.cell(x).owners == 1);
}

TEST_CASE("products longer than what is summed apart are swept too") {
  Tape tape;
  for (const std::size_t size : {255u, 256u, 257u, 2000u}) {
    const std::vector<Index> x = leaves(tape, size);
    std::vector<Argument> both = arguments_of(tape, x);
    both.insert(both.end(), both.begin(), both.end());
    const Index y = tape.record<dot>(both);
    tape.backward(y);
    for (const Index i : x) REQUIRE(tape.link(i).adjoint == 2.0 * tape.cell(i).primal);
    tape.release(y);
    for (const Index i : x) tape.release(i);
  }
  CHECK(tape.pool().alive() == 0);
}

TEST_CASE("a sum of products may start with an operand or a number") {
  Tape tape;
  const Index x = tape.leaf(2.0), b = tape.leaf(10.0);
  const Index y = tape.record<dot>(std::vector<Argument>{{x, 2.0}, {no_node, 3.0}, {b, 10.0}});
  const Index z = tape.record<dot>(std::vector<Argument>{{x, 2.0}, {no_node, 3.0}, {no_node, 1.0}});
  CHECK(tape.cell(y).primal == 16.0);
  CHECK(tape.cell(z).primal == 7.0);
  tape.backward(y);
  tape.backward(z);
  CHECK(tape.link(x).adjoint == 6.0);
  CHECK(tape.link(b).adjoint == 1.0);
  tape.show_constants(z);
  std::vector<double> shown;
  tape.each_operand(z, [&](Index i, double) { shown.push_back(tape.cell(i).primal); });
  CHECK(shown == std::vector<double>{2.0, 3.0, 1.0});
}

TEST_CASE("a deep chain of nodes with lists goes without recursion") {
  Tape tape;
  Index x = tape.leaf(1.0);
  for (int k = 0; k < 200000; ++k) {
    const double value = tape.cell(x).primal;
    const Index y = tape.record<sum>(std::vector<Argument>{{x, value}, {no_node, 1e-6}, {x, 0.0}});
    tape.release(x);
    x = y;
  }
  tape.release(x);
  CHECK(tape.pool().alive() == 0);
}

TEST_CASE("steps of nodes with lists keep memory as it was") {
  Tape tape;
  const std::vector<Index> x = leaves(tape, 20);
  std::size_t bytes = 0;
  for (int step = 0; step < 1000; ++step) {
    std::vector<Index> made;
    for (std::size_t size = 3; size <= 20; ++size)
      made.push_back(tape.record<sum>(arguments_of(tape, {x.begin(), x.begin() + size})));
    const Index all = tape.record<sum>(arguments_of(tape, made));
    tape.backward(all);
    for (const Index i : made) tape.release(i);
    tape.release(all);
    if (step == 0) bytes = tape.bytes();
  }
  CHECK(tape.bytes() == bytes);
  CHECK(tape.pool().alive() == x.size());
}

TEST_CASE("a full arena leaves operands with the owners they had") {
  Tape tape(2 * NodePool::size);
  const std::vector<Index> x = leaves(tape, 4);
  std::vector<Index> made;
  const auto fill = [&] {
    for (;;) made.push_back(tape.record<sum>(arguments_of(tape, x)));
  };
  CHECK_THROWS_AS(fill(), ArenaFull);
  CHECK(made.size() == NodePool::size);
  for (const Index i : x) CHECK(tape.cell(i).owners == 1 + made.size());
  OperandListBuilder xs(tape, 4);
  for (const Index i : x) xs.add(i, 1.0);
  CHECK_THROWS_AS(tape.record_dot(xs.list(), xs.list()), ArenaFull);
  CHECK(xs.list().owners == 1);
  for (const Index i : made) tape.release(i);
  for (const Index i : x) CHECK(tape.cell(i).owners == 2);
}

TEST_CASE("what was written of a list that nobody recorded is let go") {
  Tape tape;
  const Index x = tape.leaf(1.0);
  {
    OperandListBuilder unfinished(tape, 1000);
    unfinished.add(x, 1.0);
    unfinished.add(no_node, 2.0);
    CHECK(tape.cell(x).owners == 2);
  }
  CHECK(tape.cell(x).owners == 1);
}
