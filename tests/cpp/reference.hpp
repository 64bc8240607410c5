// A random graph, recorded on a tape and beside it in the plainest way, to be compared.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <utility>
#include <vector>

#include "support.hpp"

namespace tapegrad::testing {

// Nodes are numbered in the order of creation; leaves are among them.
class Reference {
 public:
  struct Node {
    std::vector<std::pair<std::size_t, double>> operands;  // a repeated one is there twice
    Index index;
    double adjoint = 0.0;
    double magnitude = 0.0;  // of what was added up to make the adjoint, for the tolerance
    bool held = true;
  };

  explicit Reference(unsigned seed) : random_(seed) {
    for (int k = 0; k < 20; ++k) add_leaf();
  }

  Tape& tape() { return tape_; }
  std::vector<Node>& nodes() { return nodes_; }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }

  void grow(std::size_t count) {
    for (std::size_t k = 0; k < count; ++k) below(100) == 0 ? add_products() : add_node();
  }

  // Gives up its hold of nodes, the newest rather than old ones; users keep what they need.
  void shrink(std::size_t count) {
    for (std::size_t k = 0; k < count && held_.size() > 40; ++k) {
      const std::size_t n = held_.size();
      const std::size_t place = below(2) == 0 ? n - 1 - below(n / 4) : below(n);
      Node& node = nodes_[held_[place]];
      held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(place));
      node.held = false;
      tape_.release(node.index);
    }
  }

  // A node that is held, late in the order rather than early.
  std::size_t pick() { return held_[std::max(below(held_.size()), below(held_.size()))]; }

  void backward(std::size_t root, double seed) {
    tape_.backward(nodes_[root].index, seed);
    nodes_[root].adjoint = seed;
    nodes_[root].magnitude = std::fabs(seed);
    descend(root, [&](Node& node) {
      for (const auto& [operand, partial] : node.operands) {
        nodes_[operand].adjoint += partial * node.adjoint;
        nodes_[operand].magnitude += std::fabs(partial) * node.magnitude;
      }
    });
  }

  void zero(std::size_t root) {
    tape_.zero_adjoints(nodes_[root].index);
    descend(root, [&](Node& node) { node.adjoint = node.magnitude = 0.0; });
  }

  void scatter_adjoints() {
    for (const std::size_t k : held_) {
      nodes_[k].adjoint = tape_.link(nodes_[k].index).adjoint = static_cast<double>(below(100));
      nodes_[k].magnitude = nodes_[k].adjoint;
    }
  }

  std::size_t mismatches() const {
    std::size_t count = 0;
    for (const std::size_t k : held_) {
      const Node& node = nodes_[k];
      const double error = std::fabs(tape_.link(node.index).adjoint - node.adjoint);
      count += !(error <= 1e-12 * node.magnitude) || !at_rest(tape_, node.index);
    }
    return count;
  }

  std::vector<double> adjoints() const {
    std::vector<double> all;
    for (const std::size_t k : held_) all.push_back(tape_.link(nodes_[k].index).adjoint);
    return all;
  }

 private:
  void add_leaf() { adopt(tape_.leaf(1.0), {}); }

  // Near operands make chains, far ones cross blocks.
  std::size_t operand() {
    const std::size_t n = held_.size();
    switch (below(4)) {
      case 0:
        return held_[n - 1];
      case 1:
        return held_[n - 1 - below(std::min<std::size_t>(n, 10))];
      default:
        return held_[below(n)];
    }
  }

  double partial() { return (static_cast<double>(below(2001)) - 1000.0) / 1500.0; }

  void add_node() {
    const std::size_t kind = below(12);
    if (kind == 0) return add_leaf();
    const std::size_t count = kind < 4 ? 1 : kind < 10 ? 2 : 3 + below(5);
    std::vector<std::pair<std::size_t, double>> operands;
    for (std::size_t k = 0; k < count; ++k) operands.emplace_back(operand(), partial());
    if (below(8) == 0 && count > 1) operands[1].first = operands[0].first;
    if (below(4) == 0 && count == 2) {  // as a sum of products has them
      operands[0].first = held_[held_.size() - 2];
      operands[1].first = held_.back();
    }
    if (kind == 1) {
      operands[0].second = -1.0;
      const Index x = nodes_[operands[0].first].index;
      return adopt(tape_.record<op<"sub">()>(1.5, x), std::move(operands));
    }
    if (kind == 2) {
      const Index x = nodes_[operands[0].first].index;
      const double factor = operands[0].second;
      return adopt(tape_.record<op<"mul">()>(x, factor), std::move(operands));
    }
    adopt_open(std::move(operands));
  }

  // A sum of products, recorded product after product; now and then something comes in between.
  void add_products() {
    adopt_open({{operand(), partial()}, {operand(), partial()}});
    for (std::size_t count = below(40); count > 0; --count) {
      const std::size_t sum = held_.back();
      const std::size_t factor = below(10) == 0 ? sum : operand();
      adopt_open({{factor, partial()}, {operand(), partial()}});
      if (below(20) == 0) add_node();
      adopt_open({{sum, partial()}, {held_.back(), partial()}});
    }
  }

  void adopt_open(std::vector<std::pair<std::size_t, double>> operands) {
    std::vector<Operand> given;
    for (const auto& [k, partial] : operands) given.push_back({nodes_[k].index, partial});
    adopt(tape_.open(1.0, given), std::move(operands));
  }

  void adopt(Index index, std::vector<std::pair<std::size_t, double>> operands) {
    held_.push_back(nodes_.size());
    nodes_.push_back({std::move(operands), index});
  }

  // Calls visit for the root and all that it reaches, the newest first.
  template <class Visit>
  void descend(std::size_t root, Visit visit) {
    std::vector<bool> reached(root + 1);
    reached[root] = true;
    for (std::size_t k = root + 1; k-- > 0;) {
      if (!reached[k]) continue;
      for (const auto& [operand, partial] : nodes_[k].operands) reached[operand] = true;
      visit(nodes_[k]);
    }
  }

  Tape tape_;
  std::mt19937 random_;
  std::vector<Node> nodes_;
  std::vector<std::size_t> held_;
};

}  // namespace tapegrad::testing
